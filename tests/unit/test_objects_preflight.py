"""What preflight refuses."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.profiles import OHIF
from tests import result_requests as made
from tests import sources
from tests.encoded import (
    one_image,
    read,
)
from workers.objects.encode import encode
from workers.objects.preflight import PreflightFailed, preflight
from workers.objects.source import read_sources


def test_a_source_of_another_study_fails_preflight(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="belongs to study"):
        encode(one_image(tmp_path, StudyInstanceUID="1.2.3"), profile=OHIF)


def test_two_patients_in_one_study_fail_preflight(tmp_path: Path) -> None:
    paths = (sources.source(tmp_path), sources.source(tmp_path, number=2, PatientID="OTHER"))
    request = made.request(paths, (made.image(sources.uid(1)), made.image(sources.uid(2))))
    with pytest.raises(ValueError, match="different patients") as caught:
        encode(request, profile=OHIF)
    assert "OTHER" not in str(caught.value) and "PLANTED" not in str(caught.value)


def test_a_mask_on_another_grid_or_without_a_pixel_is_refused(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    with pytest.raises(ValueError, match="source image is"):
        encode(made.request((path,), (made.image(sources.uid(), 10, 10),)), profile=OHIF)
    image = made.image(sources.uid())
    empty = replace(image, segments=(replace(image.segments[0], mask=np.zeros((96, 80), np.bool_)),))
    with pytest.raises(ValueError, match="empty"):
        encode(made.request((path,), (empty,)), profile=OHIF)


def _change_number(ds: Dataset) -> None:
    ds.SegmentSequence[1].SegmentNumber = 7


def _empty_frames(ds: Dataset) -> None:
    ds.PixelData = bytes(len(ds.PixelData))


def _drop_label(ds: Dataset) -> None:
    del ds.ContentLabel


def _other_source(ds: Dataset) -> None:
    ds.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def _other_patient(ds: Dataset) -> None:
    ds.PatientID = "OTHER"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_change_number, "segments are numbered"),
        (_empty_frames, "frame 1 is empty"),
        (_drop_label, "ContentLabel is missing"),
        (_other_source, "no source of it"),
        (_other_patient, "PatientID differs"),
    ],
)
def test_preflight_names_what_is_wrong_with_a_seg(tmp_path: Path, damage: Any, message: str) -> None:
    request = one_image(tmp_path)
    seg, sr = encode(request, profile=OHIF)
    ds = read(seg)
    damage(ds)
    buffer = BytesIO()
    ds.save_as(buffer)
    with pytest.raises(PreflightFailed, match=message):
        preflight((replace(seg, content=buffer.getvalue()), sr), request, read_sources(request.sources), OHIF)


def test_preflight_wants_exactly_one_report(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    results = encode(request, profile=OHIF)
    with pytest.raises(ValueError, match="expected 1 and 1"):
        preflight(results[:1], request, read_sources(request.sources), OHIF)
