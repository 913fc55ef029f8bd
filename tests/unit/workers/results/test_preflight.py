"""What preflight refuses."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.delivery.profiles import OHIF
from node.dicom.kinds import ResultKind
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import items, one_image, read
from workers.results.encode import encode
from workers.results.preflight import PreflightFailed, preflight
from workers.results.request import EncodedResult, Predecessor


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


def _other_name(ds: Dataset) -> None:
    ds.PatientName = "Other^Name"


def _other_time(ds: Dataset) -> None:
    ds.StudyTime = "235959"


def _other_issuer(ds: Dataset) -> None:
    ds.IssuerOfPatientID = "OTHER"


def _other_referrer(ds: Dataset) -> None:
    ds.ReferringPhysicianName = "Other^Name"


def _other_zone(ds: Dataset) -> None:
    ds.TimezoneOffsetFromUTC = "+0100"


def _frame_of_no_segment(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9


def _segment_without_frame(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2


def _strange_maker(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName = "another"


def _strange_version(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion = "0.0.1"


def _strange_name_of_maker(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentAlgorithmName = "another"


def _drop_orientation(ds: Dataset) -> None:
    del ds.PatientOrientation


def _empty_thickness(ds: Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness = None


def _source_of_another_class(ds: Dataset) -> None:
    ds.SourceImageSequence[0].ReferencedSOPClassUID = sources.CR


def _source_of_another_series(ds: Dataset) -> None:
    ds.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


def _invented_order(ds: Dataset) -> None:
    order = Dataset()
    order.RequestedProcedureID = "OTHER"
    ds.RequestAttributesSequence = [order]


SEG_DAMAGES = {
    _invented_order: "RequestAttributesSequence differs from the orders",
    _other_name: "PatientName differs",
    _other_time: "StudyTime differs",
    _other_issuer: "IssuerOfPatientID differs",
    _other_referrer: "ReferringPhysicianName differs",
    _other_zone: "TimezoneOffsetFromUTC differs",
    _frame_of_no_segment: r"frames show segments \[9, 2, 3\], expected \[1, 2, 3\]",
    _segment_without_frame: r"frames show segments \[2, 2, 3\], expected \[1, 2, 3\]",
    _strange_maker: "segment 1 names another 2.0.1, which is no algorithm",
    _strange_version: "segment 1 names lungs-heart 0.0.1, which is no algorithm",
    _strange_name_of_maker: "segment 1 names lungs-heart 2.0.1, which is no algorithm",
    _drop_orientation: r"PatientOrientation is missing, .* \(Type 2C\)",
    _empty_thickness: r"PixelMeasuresSequence\.SliceThickness is empty, .* \(Type 1C\)",
    _source_of_another_class: rf"as {sources.CR}, expected {sources.DX}",
    _source_of_another_series: "in series 1.2.3, which is not its own",
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


def _no_such_segment(ds: Dataset) -> None:
    _segment_reference(ds).ReferencedSegmentNumber = 77


def _segment_of_an_image(ds: Dataset) -> None:
    reference = _item(ds, "IMAGE").ReferencedSOPSequence[0]
    reference.ReferencedSegmentNumber = 1


def _segmentation_of_another_class(ds: Dataset) -> None:
    _segment_reference(ds).ReferencedSOPClassUID = sources.DX


def _segment_reference(ds: Dataset) -> Dataset:
    return next(
        reference
        for item in items(ds)
        for reference in item.get("ReferencedSOPSequence", ())
        if "ReferencedSegmentNumber" in reference
    )


def _evidence_of_another_study(ds: Dataset) -> None:
    ds.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID = "1.2.3"


SR_DAMAGES = {
    _no_such_segment: r"refers to segments \[77\] of instance .*, which has \[1, 2, 3\]",
    _segment_of_an_image: r"refers to segments \[1\] of instance .*, which has \[\]",
    _segmentation_of_another_class: f"as {sources.DX}, expected 1.2.840.10008.5.1.4.1.1.66.4",
    _evidence_of_another_study: "refers to study 1.2.3, expected",
    _other_name: "PatientName differs",
    _other_time: "StudyTime differs",
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
        preflight((_damaged(seg, damage), sr), request, OHIF)
    # Of a damaged SEG the report may refer to what is not there any more.
    faulty, faults = caught.value.faults[0]
    assert faulty.kind is ResultKind.SEG and faults
    assert "OTHER" not in str(caught.value) and "PLANTED" not in str(caught.value)


@pytest.mark.parametrize(("damage", "message"), SR_DAMAGES.items(), ids=[d.__name__ for d in SR_DAMAGES])
def test_preflight_names_what_is_wrong_with_an_sr(tmp_path: Path, damage: Any, message: str) -> None:
    request = one_image(tmp_path)
    seg, sr = encode(request, profile=OHIF)
    with pytest.raises(PreflightFailed, match=message):
        preflight((seg, _damaged(sr, damage)), request, OHIF)


def _supersede_another(ds: Dataset) -> None:
    _superseded_report(ds).ReferencedSOPInstanceUID = "1.2.3"


def _supersede_another_class(ds: Dataset) -> None:
    _superseded_report(ds).ReferencedSOPClassUID = sources.DX


def _supersede_its_source(ds: Dataset) -> None:
    reference = _superseded_report(ds)
    reference.ReferencedSOPInstanceUID, reference.ReferencedSOPClassUID = sources.uid(), sources.DX


def _supersede_another_study(ds: Dataset) -> None:
    ds.PredecessorDocumentsSequence[0].StudyInstanceUID = "1.2.3"


def _supersede_another_series(ds: Dataset) -> None:
    ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


def _superseded_report(ds: Dataset) -> Dataset:
    return ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]


PREDECESSORS = {
    _supersede_another: "supersedes instance 1.2.3, which is no result of an earlier revision",
    _supersede_another_class: rf"as {sources.DX}, expected",
    _supersede_its_source: "which is no result of an earlier revision",
    _supersede_another_study: "refers to study 1.2.3, expected",
    _supersede_another_series: "in series 1.2.3, which is not its own",
}


@pytest.mark.parametrize(("damage", "message"), PREDECESSORS.items(), ids=[d.__name__ for d in PREDECESSORS])
def test_preflight_knows_what_a_report_may_supersede(tmp_path: Path, damage: Any, message: str) -> None:
    first = one_image(tmp_path)
    earlier = [
        Predecessor(r.sop_class_uid, r.sop_instance_uid, r.series_instance_uid) for r in encode(first, profile=OHIF)
    ]
    request = replace(first, revision=2)
    seg, sr = encode(request, profile=OHIF, predecessors=earlier)
    with pytest.raises(PreflightFailed, match=message):
        preflight((seg, _damaged(sr, damage)), request, OHIF, earlier)
    with pytest.raises(PreflightFailed, match="no result of an earlier revision"):
        preflight((seg, sr), request, OHIF)


def test_preflight_refuses_two_results_of_one_uid_and_a_result_in_the_series_of_a_source(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    seg, sr = encode(request, profile=OHIF)
    with pytest.raises(PreflightFailed, match="that of another result"):
        preflight((seg, seg, sr), request, OHIF)

    def into_the_series(ds: Dataset) -> None:
        ds.SeriesInstanceUID = request.sources[0].series_instance_uid

    moved = replace(_damaged(seg, into_the_series), series_instance_uid=request.sources[0].series_instance_uid)
    with pytest.raises(PreflightFailed, match="expected a series of its own"):
        preflight((moved, sr), request, OHIF)


def test_preflight_says_what_it_cannot_check(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    seg, sr = encode(request, profile=OHIF)
    with pytest.raises(PreflightFailed, match=r"SOP class 1\.2\.3 is none that the node knows"):
        preflight((replace(seg, sop_class_uid="1.2.3"), sr), request, OHIF)


def test_preflight_wants_exactly_one_report(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    results = encode(request, profile=OHIF)
    with pytest.raises(ValueError, match="expected 1 and 1"):
        preflight(results[:1], request, OHIF)
