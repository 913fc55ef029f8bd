"""What preflight refuses."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.profiles import OHIF, ResultKind
from tests import result_requests as made
from tests import sources
from tests.encoded import items, one_image, read
from workers.objects.encode import encode
from workers.objects.preflight import PreflightFailed, preflight
from workers.objects.request import EncodedResult
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


def _cut_pixels(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[:100]


def _drop_label(ds: Dataset) -> None:
    del ds.ContentLabel


def _drop_birth_date(ds: Dataset) -> None:
    del ds.PatientBirthDate


def _empty_meaning(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeMeaning = ""


def _drop_plane(ds: Dataset) -> None:
    del ds.SegmentSequence


def _private(ds: Dataset) -> None:
    ds.private_block(0x0011, "SOMEONE", create=True).add_new(0x01, "LO", "x")


def _private_within(ds: Dataset) -> None:
    ds.SegmentSequence[0].private_block(0x0011, "SOMEONE", create=True).add_new(0x01, "LO", "x")


def _of_another_kind(ds: Dataset) -> None:
    ds.KVP = "100"


def _unknown(ds: Dataset) -> None:
    ds.add_new(0x00089999, "LO", "x")


def _other_source(ds: Dataset) -> None:
    ds.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def _other_patient(ds: Dataset) -> None:
    ds.PatientID = "OTHER"


def _other_study(ds: Dataset) -> None:
    ds.StudyInstanceUID = "1.2.3"


def _other_accession(ds: Dataset) -> None:
    ds.AccessionNumber = "OTHER"


def _other_algorithm(ds: Dataset) -> None:
    ds.ContributingEquipmentSequence[0].DeviceUID = "1.2.3"


def _no_algorithm(ds: Dataset) -> None:
    del ds.ContributingEquipmentSequence


def _other_structure(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "80891009"


def _other_tracking(ds: Dataset) -> None:
    ds.SegmentSequence[0].TrackingUID = "1.2.3"


SEG_DAMAGES = {
    _change_number: "segments are numbered",
    _empty_frames: "frame 1 is empty",
    _cut_pixels: "Pixel Data cannot be decoded",
    _drop_label: r"ContentLabel is missing or empty, expected a value \(Type 1\)",
    _drop_birth_date: r"PatientBirthDate is missing, .* \(Type 2\)",
    _empty_meaning: "SegmentSequence.SegmentedPropertyTypeCodeSequence.CodeMeaning is missing or empty",
    _drop_plane: "SegmentSequence is missing",
    _private: r"\(0011,0010\) is no attribute",
    _private_within: r"SegmentSequence\.\(0011,0010\) is no attribute",
    _of_another_kind: "KVP is no attribute",
    _unknown: r"\(0008,9999\) is no attribute",
    _other_source: "no source of it",
    _other_patient: "PatientID differs",
    _other_study: "StudyInstanceUID is 1.2.3, expected",
    _other_accession: "AccessionNumber differs",
    _other_algorithm: "Device UIDs",
    _no_algorithm: "ContributingEquipmentSequence is missing",
    _other_structure: "segment 1 has other codes",
    _other_tracking: "holds 3 segments, of which 2 were found",
}


def _item(ds: Dataset, value_type: str) -> Dataset:
    return next(item for item in items(ds) if item.ValueType == value_type)


def _number_without_value(ds: Dataset) -> None:
    del _item(ds, "NUM").MeasuredValueSequence


def _text_without_value(ds: Dataset) -> None:
    _item(ds, "TEXT").TextValue = ""


def _unlisted_evidence(ds: Dataset) -> None:
    del ds.CurrentRequestedProcedureEvidenceSequence


def _not_preliminary(ds: Dataset) -> None:
    del ds.PreliminaryFlag


def _nothing_said(ds: Dataset) -> None:
    ds.ContentSequence = []


SR_DAMAGES = {
    _number_without_value: "a content item NUM needs it",
    _text_without_value: "a content item TEXT needs it",
    _unlisted_evidence: "which its evidence does not list",
    _not_preliminary: "PreliminaryFlag is missing",
    _nothing_said: "ContentSequence is missing or empty",
    _other_patient: "PatientID differs",
    _of_another_kind: "KVP is no attribute",
    _private: r"\(0011,0010\) is no attribute",
}


def _damaged(result: EncodedResult, damage: Any) -> EncodedResult:
    ds = read(result)
    damage(ds)
    buffer = BytesIO()
    ds.save_as(buffer)
    return replace(result, content=buffer.getvalue())


@pytest.mark.parametrize(("damage", "message"), SEG_DAMAGES.items(), ids=[d.__name__ for d in SEG_DAMAGES])
def test_preflight_names_what_is_wrong_with_a_seg(tmp_path: Path, damage: Any, message: str) -> None:
    request = one_image(tmp_path)
    seg, sr = encode(request, profile=OHIF)
    with pytest.raises(PreflightFailed, match=message) as caught:
        preflight((_damaged(seg, damage), sr), request, read_sources(request.sources), OHIF)
    ((faulty, faults),) = caught.value.faults
    assert faulty.kind is ResultKind.SEG and faults
    assert "OTHER" not in str(caught.value) and "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(("damage", "message"), SR_DAMAGES.items(), ids=[d.__name__ for d in SR_DAMAGES])
def test_preflight_names_what_is_wrong_with_an_sr(tmp_path: Path, damage: Any, message: str) -> None:
    request = one_image(tmp_path)
    seg, sr = encode(request, profile=OHIF)
    with pytest.raises(PreflightFailed, match=message):
        preflight((seg, _damaged(sr, damage)), request, read_sources(request.sources), OHIF)


def test_preflight_refuses_two_results_of_one_uid_and_a_result_in_the_series_of_a_source(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    seg, sr = encode(request, profile=OHIF)
    sources_ = read_sources(request.sources)
    with pytest.raises(PreflightFailed, match="that of another result"):
        preflight((seg, seg, sr), request, sources_, OHIF)

    def into_the_series(ds: Dataset) -> None:
        ds.SeriesInstanceUID = sources_[0].series_instance_uid

    moved = replace(_damaged(seg, into_the_series), series_instance_uid=sources_[0].series_instance_uid)
    with pytest.raises(PreflightFailed, match="expected a series of its own"):
        preflight((moved, sr), request, sources_, OHIF)


def test_preflight_says_what_it_cannot_check(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    seg, sr = encode(request, profile=OHIF)
    with pytest.raises(PreflightFailed, match=r"SOP class 1\.2\.3 is none that the node knows"):
        preflight((replace(seg, sop_class_uid="1.2.3"), sr), request, read_sources(request.sources), OHIF)


def test_preflight_wants_exactly_one_report(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    results = encode(request, profile=OHIF)
    with pytest.raises(ValueError, match="expected 1 and 1"):
        preflight(results[:1], request, read_sources(request.sources), OHIF)
