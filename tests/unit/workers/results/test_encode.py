"""Encoded results: structure, coded findings, exact masks, and that equal requests give equal bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.seg import Segmentation
from hypothesis import given, settings
from hypothesis import strategies as st

from node.delivery.profiles import OHIF, STRICT, Profile
from node.dicom.kinds import ResultKind
from node.reasons import Reason
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import (
    CLASSES,
    PROFILES,
    answers,
    measurement_groups,
    named,
    one_image,
    read,
    report_of,
)
from workers.results.encode import encode
from workers.results.readback import findings_of_segs
from workers.results.request import DeclinedImage, EncodedResult, ResultRequest
from workers.results.text import vocabulary
from workers.results.text.summary import summary


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("sop_class", CLASSES.values(), ids=CLASSES)
def test_an_analysed_image_yields_one_seg_and_one_sr(tmp_path: Path, sop_class: str, profile: Profile) -> None:
    results = encode(one_image(tmp_path, sop_class=sop_class), profile=profile)
    assert [r.kind for r in results] == [ResultKind.SEG, ResultKind.SR]
    seg, sr = map(read, results)
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["Right lung", "Left lung", "Heart"]
    assert (seg.Rows, seg.Columns, seg.NumberOfFrames, seg.SegmentationType) == (96, 80, 3, "BINARY")
    assert seg.SegmentsOverlap == "YES"
    derivation = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert derivation.SourceImageSequence[0].SpatialLocationsPreserved == "YES"
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == f"{sources.STUDY}.2.1"
    assert seg.PatientOrientation == ["L", "F"]
    assert "Research use only - not for clinical use" in seg.SeriesDescription
    assert "Research use only - not for clinical use" in sr.SeriesDescription
    assert (sr.PreliminaryFlag, sr.VerificationFlag, sr.CompletionFlag) == ("PRELIMINARY", "UNVERIFIED", "COMPLETE")
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_plane_orientation_is_written_for_ohif_only(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    ohif, strict = (read(encode(request, profile=p)[0]).SharedFunctionalGroupsSequence[0] for p in PROFILES)
    assert ohif.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    assert "PlaneOrientationSequence" not in strict


def test_a_frame_of_reference_is_kept_and_slice_thickness_set(tmp_path: Path) -> None:
    seg = read(encode(one_image(tmp_path, FrameOfReferenceUID="1.2.3"), profile=STRICT)[0])
    assert seg.FrameOfReferenceUID == "1.2.3"
    assert seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 1


def test_the_position_of_a_source_in_the_patient_is_copied(tmp_path: Path) -> None:
    where: dict[str, Any] = {"ImagePositionPatient": [1, 2, 3], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    seg = read(encode(one_image(tmp_path, FrameOfReferenceUID="1.2.3", **where), profile=OHIF)[0])
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 0, -1]


def test_the_orientation_of_a_source_is_copied_for_ohif_where_its_position_is_not_whole(tmp_path: Path) -> None:
    coronal = [1, 0, 0, 0, 0, -1]
    seg = read(encode(one_image(tmp_path, ImageOrientationPatient=coronal), profile=OHIF)[0])
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == coronal
    assert "FrameOfReferenceUID" not in seg


@pytest.mark.parametrize("orientation", [[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 2, 0]])
def test_an_orientation_that_is_none_is_not_copied(tmp_path: Path, orientation: list[float]) -> None:
    seg = read(encode(one_image(tmp_path, ImageOrientationPatient=orientation), profile=OHIF)[0])
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("profile", PROFILES)
def test_encoding_twice_gives_the_same_bytes(tmp_path: Path, profile: Profile) -> None:
    assert encode(one_image(tmp_path), profile=profile) == encode(one_image(tmp_path), profile=profile)


def test_no_result_shows_another_clock_than_the_request(tmp_path: Path) -> None:
    for ds in map(read, encode(one_image(tmp_path), profile=OHIF)):
        assert (
            (ds.ContentDate, ds.ContentTime)
            == (ds.InstanceCreationDate, ds.InstanceCreationTime)
            == ("20260110", "081630")
        )
        assert {i.ContributionDateTime for i in ds.ContributingEquipmentSequence} == {"20260110081630+0000"}


def test_times_follow_the_time_zone_of_the_source(tmp_path: Path) -> None:
    sr = report_of(encode(one_image(tmp_path, TimezoneOffsetFromUTC="-0330"), profile=OHIF))
    assert (sr.TimezoneOffsetFromUTC, sr.ContentTime) == ("-0330", "044630")


def test_a_request_without_a_time_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="time zone"):
        encode(replace(one_image(tmp_path), created_at=made.CREATED.replace(tzinfo=None)), profile=OHIF)


@pytest.mark.parametrize("columns", [511, 513, 2021])
def test_masks_survive_widths_that_are_no_multiple_of_eight(tmp_path: Path, columns: int) -> None:
    request = one_image(tmp_path, rows=37, columns=columns)
    _assert_masks(request, encode(request, profile=STRICT)[0], tmp_path)


@pytest.mark.parametrize(("rows", "columns"), [(120, 64), (64, 120)], ids=["portrait", "landscape"])
def test_masks_keep_their_shape(tmp_path: Path, rows: int, columns: int) -> None:
    request = one_image(tmp_path, rows=rows, columns=columns)
    _assert_masks(request, encode(request, profile=STRICT)[0], tmp_path)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), rows=st.integers(2, 40), columns=st.integers(2, 40))
def test_any_mask_survives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, rows: int, columns: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    mask = np.frombuffer(data.draw(st.binary(min_size=rows * columns, max_size=rows * columns)), np.uint8) > 127
    mask = mask.reshape(rows, columns) | np.eye(rows, columns, dtype=np.bool_)
    image = made.image(sources.uid(), 40, 40)
    image = replace(image, segments=(replace(image.segments[0], mask=mask),), measurements=())
    request = made.request((sources.source(folder, rows=rows, columns=columns),), (image,))
    _assert_masks(request, encode(request, profile=STRICT)[0], folder)


def _assert_masks(request: ResultRequest, result: EncodedResult, folder: Path) -> None:
    path = folder / "seg.dcm"
    path.write_bytes(result.content)
    found = findings_of_segs([path])
    expected = request.images[0]
    assert found.sop_instance_uid == expected.sop_instance_uid
    for ours, theirs in zip(expected.segments, found.segments, strict=True):
        assert np.array_equal(ours.mask, theirs.mask)
        assert (ours.label, ours.laterality, ours.colour_rgb) == (theirs.label, theirs.laterality, theirs.colour_rgb)


def test_segments_carry_snomed_codes_laterality_colour_and_algorithm(tmp_path: Path) -> None:
    seg = read(encode(one_image(tmp_path), profile=STRICT)[0])
    right, left, heart = seg.SegmentSequence
    modifiers = [
        s.SegmentedPropertyTypeCodeSequence[0].get("SegmentedPropertyTypeModifierCodeSequence", [None])[0]
        for s in (right, left, heart)
    ]
    assert [m and m.CodeValue for m in modifiers] == ["24028007", "7771000", None]
    assert [s.SegmentedPropertyTypeCodeSequence[0].CodeValue for s in (right, heart)] == ["39607008", "80891009"]
    assert right.AnatomicRegionSequence[0].CodeValue == "51185008"
    assert right.SegmentAlgorithmType == "AUTOMATIC"
    assert len(right.RecommendedDisplayCIELabValue) == 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sop_class": sources.DX}, ["DX"]),
        ({"sop_class": sources.CR}, ["CR"]),
        ({"sop_class": sources.SC}, []),
        ({"Modality": "RG"}, []),
        ({"drop": ("Modality",)}, []),
    ],
)
def test_the_image_library_names_the_modality_where_it_is_one_of_cid_29(
    tmp_path: Path, values: dict[str, Any], said: list[str]
) -> None:
    sr = report_of(encode(one_image(tmp_path, **values), profile=STRICT))
    assert answers(sr, "121139") == said


def test_an_image_of_which_nothing_is_known_is_listed_all_the_same(tmp_path: Path) -> None:
    unknown = ("Modality", "Rows", "Columns", "PatientOrientation", "PixelSpacing", "ImagerPixelSpacing")
    path = sources.source(tmp_path, drop=unknown)
    declined = DeclinedImage(sources.uid(), Reason.MALFORMED, "")
    sr = report_of(encode(made.request((path,), (), declined), profile=STRICT))
    (group,) = named(sr, vocabulary.IMAGE_LIBRARY_GROUP.value)
    (entry,) = group.ContentSequence
    assert entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == sources.uid()


def test_two_images_of_a_study_yield_two_segs_in_two_series_and_one_sr(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n) for n in (1, 2))
    request = made.request(paths, tuple(made.image(sources.uid(n)) for n in (1, 2)))
    results = encode(request, profile=OHIF)
    assert [r.kind for r in results] == [ResultKind.SEG, ResultKind.SEG, ResultKind.SR]
    assert len({r.sop_instance_uid for r in results}) == len({r.series_instance_uid for r in results}) == 3
    lines = [i.TextValue for i in named(report_of(results), vocabulary.SUMMARY.value)]
    assert any(line.startswith("Series 2 image 1: Pneumonia: present") for line in lines)


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n) for n in (1, 2))
    request = made.request(paths, tuple(made.image(sources.uid(n)) for n in (1, 2)))
    assert encode(request, profile=OHIF) == encode(
        replace(request, sources=sources.read_sources(paths[::-1])), profile=OHIF
    )


def test_another_time_gives_other_uids_because_it_stands_in_the_bytes(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    later = replace(request, created_at=request.created_at + timedelta(seconds=1))
    elsewhere = replace(request, created_at=request.created_at.astimezone(timezone(timedelta(hours=9))))
    uids = [[r.sop_instance_uid for r in encode(each, profile=OHIF)] for each in (request, later, elsewhere)]
    assert set(uids[0]).isdisjoint(uids[1])
    assert uids[0] == uids[2]


def test_findings_are_plain_items_with_text(tmp_path: Path) -> None:
    sr = report_of(encode(one_image(tmp_path), profile=OHIF))
    groups = {named(g, "112039")[0].TextValue: g for g in measurement_groups(sr)}
    pneumonia, atelectasis = groups["Pneumonia, series 1 image 1"], groups["Atelectasis, series 1 image 1"]
    assert answers(pneumonia, "121071") == ["233604007"]
    assert answers(pneumonia, "233604007") == [vocabulary.PRESENT.value]
    assert answers(atelectasis, "46621007") == [vocabulary.ABSENT.value]
    numbers = [
        named(pneumonia, c.value)[0].MeasuredValueSequence[0] for c in (vocabulary.PROBABILITY, vocabulary.THRESHOLD)
    ]
    assert [(n.NumericValue, n.MeasurementUnitsCodeSequence[0].CodeValue) for n in numbers] == [
        (0.8125, "1"),
        (0.5, "1"),
    ]
    assert "Pneumonia: present (calibrated probability 0.812" in named(pneumonia, vocabulary.COMMENT.value)[0].TextValue
    assert "validation split" in named(pneumonia, vocabulary.THRESHOLD_RULE.value)[0].TextValue


def test_measurements_name_their_source_image_and_site(tmp_path: Path) -> None:
    sr = report_of(encode(one_image(tmp_path), profile=STRICT))
    numbers = [i for g in measurement_groups(sr) for i in g.ContentSequence if i.ValueType == "NUM"]
    assert len(numbers) == 4 + 5
    for number in numbers:
        images = [i for i in number.ContentSequence if i.ValueType == "IMAGE"]
        assert images[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == sources.uid()
    ratio = next(n for n in numbers if n.ConceptNameCodeSequence[0].CodeMeaning == "Cardiothoracic ratio")
    assert ratio.MeasuredValueSequence[0].NumericValue == 0.47


def test_a_measurement_that_is_no_number_is_refused(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    image = request.images[0]
    broken = replace(image, measurements=(replace(image.measurements[0], value=float("nan")),))
    with pytest.raises(ValueError, match="finite"):
        encode(replace(request, images=(broken,)), profile=OHIF)


def test_referenced_segments_have_no_frame_number_beside_the_segment_number(tmp_path: Path) -> None:
    results = encode(one_image(tmp_path), profile=OHIF)
    references = [i.ReferencedSOPSequence[0] for i in named(report_of(results), "121214")]
    assert [int(r.ReferencedSegmentNumber) for r in references] == [1, 2, 3]
    assert {r.ReferencedSOPInstanceUID for r in references} == {results[0].sop_instance_uid}
    assert not any("ReferencedFrameNumber" in r for r in references)


def test_the_title_lets_ohif_show_the_text(tmp_path: Path) -> None:
    titles = [report_of(encode(one_image(tmp_path), profile=p)).ConceptNameCodeSequence[0] for p in PROFILES]
    assert [t.CodeValue for t in titles] == ["18748-4", "126000"]


def test_the_summary_says_the_same_without_the_patient(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n) for n in (1, 2))
    declined = DeclinedImage(sources.uid(2), Reason.LATERAL_VIEW, "View Position is LL.")
    found = summary(made.request(paths, (made.image(sources.uid()),), declined))
    assert found["images"][0]["findings"][0]["present"] is True
    assert found["declined"][0]["reason"] == "view-not-frontal"
    assert found["status"] == "Partially Succeeded"
    assert "PLANTED" not in str(found).upper()


def test_highdicom_reads_the_seg(tmp_path: Path) -> None:
    seg = Segmentation.from_dataset(read(encode(one_image(tmp_path), profile=STRICT)[0]))
    assert seg.get_segment_numbers(tracking_id="Heart, series 1 image 1") == [3]


def test_the_zone_of_the_request_is_kept_where_the_source_names_none(tmp_path: Path) -> None:
    zone = timezone(timedelta(hours=2))
    sr = report_of(encode(replace(one_image(tmp_path), created_at=made.CREATED.astimezone(zone)), profile=OHIF))
    assert sr.ContentTime == "101630"


@pytest.mark.parametrize("profile", PROFILES)
def test_findings_and_measurements_come_back_from_the_report(tmp_path: Path, profile: Profile) -> None:
    request = one_image(tmp_path)
    seg, sr = tmp_path / "seg.dcm", tmp_path / "sr.dcm"
    for path, result in zip((seg, sr), encode(request, profile=profile), strict=True):
        path.write_bytes(result.content)
    found, expected = findings_of_segs([seg], sr), request.images[0]
    assert [replace(f, bundle=made.PNEUMONIA) for f in found.findings] == list(expected.findings)
    measured = {m.label: replace(m, bundle=made.LUNGS) for m in found.measurements}
    assert measured == {m.label: m for m in expected.measurements}
