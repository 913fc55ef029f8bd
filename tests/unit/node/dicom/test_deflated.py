"""Deflated objects (PS3.5 section A.5): only their beginning is read, and results among them are recognised."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from node.delivery.profiles import Profile
from node.dicom.contexts import accepted_contexts, choose_syntax
from node.dicom.deflated import MAXIMUM_HEAD_BYTES, inflated_head
from node.dicom.header import read_header
from node.dicom.kinds import RESULT_CLASSES
from node.dicom.part10 import encode_meta
from node.dicom.uids import DEFLATED_LITTLE_ENDIAN
from node.errors import Quarantined
from node.intake.eligibility import Disposition, judge
from node.reasons import Reason
from tests.support.data import sources
from tests.support.data.sources import read_sources
from tests.support.peers import wire
from tests.support.peers.commitment import encoded
from tests.support.results.encoded import one_image
from tests.support.results.encoded import read as read_result
from workers.results.encode import encode

BOMB_BYTES = 1 << 28
"""Length of a value that deflates to a quarter of a megabyte."""


def image(folder: Path, sop_class: str = sources.SC) -> Dataset:
    return dcmread(sources.source(folder, sop_class=sop_class))


def deflated(path: Path, ds: Dataset, *, bomb: tuple[int, int] | None = None) -> Path:
    """Write a data set as a deflated file; `bomb` is a tag (group, element) under which it gets `BOMB_BYTES` zeros."""
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    tag = bomb or (0xFFFF, 0xFFFF)
    before, behind = (encoded(part) for part in (ds[: tag[0] << 16 | tag[1]], ds[tag[0] << 16 | tag[1] :]))
    content = [compressor.compress(before)]
    if bomb is not None:
        content.append(compressor.compress(struct.pack("<HH2sHL", *tag, b"OB", 0, BOMB_BYTES)))
        content += [compressor.compress(bytes(1 << 22)) for _ in range(BOMB_BYTES >> 22)]
    content += [compressor.compress(behind), compressor.flush()]
    path.write_bytes(meta_of(ds.SOPClassUID, ds.SOPInstanceUID) + b"".join(content))
    return path


def meta_of(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    return encode_meta(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=DEFLATED_LITTLE_ENDIAN,
        source_ae_title="TEST",
    )


@contextmanager
def little_memory() -> Iterator[None]:
    """Fail where the block holds much more than the part that may be inflated."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * MAXIMUM_HEAD_BYTES


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
    assert judge(header).reason is Reason.OWN_RESULT


@pytest.mark.parametrize("sop_class", [sources.SC, sources.DX])
def test_a_deflated_image_of_another_system_is_answered_with_the_reason(tmp_path: Path, sop_class: str) -> None:
    verdict = judge(read_header(deflated(tmp_path / "x.dcm", image(tmp_path, sop_class))))
    assert (verdict.disposition, verdict.reason) == (Disposition.DECLINE, Reason.TRANSFER_SYNTAX)


def test_the_answer_about_a_deflated_image_names_its_patient(tmp_path: Path) -> None:
    (source,) = read_sources([deflated(tmp_path / "x.dcm", image(tmp_path))])
    assert (source.patient_id, source.patient_name, source.uid) == ("PLANTED-ID", "Planted^Patient", sources.uid())


def test_pixels_that_would_fill_the_memory_are_not_inflated(tmp_path: Path) -> None:
    ds = image(tmp_path)
    del ds.PixelData
    path = deflated(tmp_path / "bomb.dcm", ds, bomb=(0x7FE0, 0x0010))
    assert path.stat().st_size < BOMB_BYTES >> 8
    with little_memory():
        header = read_header(path)
        (source,) = read_sources([path])
    assert header.sop_instance_uid == source.uid == sources.uid()


def test_a_bomb_in_front_of_the_uids_is_put_aside(tmp_path: Path) -> None:
    path = deflated(tmp_path / "bomb.dcm", image(tmp_path), bomb=(0x0009, 0x1001))
    with little_memory():
        with pytest.raises(Quarantined) as caught:
            read_header(path)
        assert read_sources([path]) == ()
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"not deflated at all"])
def test_what_is_not_deflated_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(meta_of(sources.SC, "1.2.3") + content)
    with pytest.raises(Quarantined) as caught:
        read_header(path)
    assert caught.value.reason in (Reason.MALFORMED, Reason.TRUNCATED)


@given(st.binary(max_size=400))
def test_no_bytes_inflate_to_more_than_the_limit_or_raise_anything_else(content: bytes) -> None:
    try:
        assert len(inflated_head(content)) <= MAXIMUM_HEAD_BYTES
    except Quarantined as error:
        assert error.reason is Reason.MALFORMED


def test_every_encoding_that_a_profile_gives_to_results_is_taken_back() -> None:
    accepted = accepted_contexts()
    for row in RESULT_CLASSES:
        assert set(row.transfer_syntaxes) <= set(accepted[row.sop_class_uid]), row.name
    others = set(accepted) - {row.sop_class_uid for row in RESULT_CLASSES}
    assert [uid for uid in others if DEFLATED_LITTLE_ENDIAN in accepted[uid]] == []


def test_deflated_is_chosen_only_where_no_other_syntax_can_be() -> None:
    accepted = accepted_contexts()[sources.SC]
    assert choose_syntax([DEFLATED_LITTLE_ENDIAN, wire.EXPLICIT], accepted) == wire.EXPLICIT
    assert choose_syntax([DEFLATED_LITTLE_ENDIAN, "1.2.3"], accepted) == DEFLATED_LITTLE_ENDIAN
    assert choose_syntax([DEFLATED_LITTLE_ENDIAN], accepted_contexts()[sources.DX]) is None
