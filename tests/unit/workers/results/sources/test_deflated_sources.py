"""Deflated sources and results: results among them are recognised, and the answer about an image names its patient."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.delivery.profiles import Profile
from node.dicom.header import read_header
from node.dicom.uids import DEFLATED_LITTLE_ENDIAN
from node.intake.eligibility import judge
from node.reasons import Reason
from tests.support.data import sources
from tests.support.data.deflated import deflated, image, little_memory
from tests.support.data.sources import read_sources
from tests.support.results.encoded import one_image
from tests.support.results.encoded import read as read_result
from workers.pipelines.chest.pipeline import PIPELINE as CHEST_PIPELINE
from workers.results.encode import encode


@pytest.mark.parametrize("kind", ["SEG", "SR"])
def test_a_deflated_result_is_recognised_as_ours(tmp_path: Path, kind: str) -> None:
    results = encode(one_image(tmp_path), profile=Profile(name="small", compression="deflated"))
    (result,) = [found for found in results if found.kind == kind]
    path = tmp_path / "result.dcm"
    path.write_bytes(result.content)
    header = read_header(path)
    assert header.transfer_syntax_uid == DEFLATED_LITTLE_ENDIAN
    assert header.study_instance_uid == read_result(result).StudyInstanceUID
    assert header.series_instance_uid == result.series_instance_uid
    assert judge(header, CHEST_PIPELINE).reason is Reason.OWN_RESULT


def test_the_answer_about_a_deflated_image_names_its_patient(tmp_path: Path) -> None:
    (source,) = read_sources([deflated(tmp_path / "x.dcm", image(tmp_path))])
    assert (source.patient_id, source.uid) == ("PLANTED-ID", sources.uid())
    assert source.identity.values[0x00100010].strip() == b"Planted^Patient"


def test_pixels_that_would_fill_the_memory_are_not_inflated(tmp_path: Path) -> None:
    ds = image(tmp_path)
    del ds.PixelData
    path = deflated(tmp_path / "bomb.dcm", ds, bomb=(0x7FE0, 0x0010))
    with little_memory():
        (source,) = read_sources([path])
    assert source.uid == sources.uid()


def test_a_bomb_in_front_of_the_uids_is_no_source(tmp_path: Path) -> None:
    path = deflated(tmp_path / "bomb.dcm", image(tmp_path), bomb=(0x0009, 0x1001))
    with little_memory():
        assert read_sources([path]) == ()
