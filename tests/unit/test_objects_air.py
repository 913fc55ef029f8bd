"""IHE AI Results 1.3: what the creator of results must do, in the order of its table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from models.findings import BundleIdentity
from node.profiles import OHIF, STRICT
from tests import result_requests as made
from tests import sources
from tests.encoded import (
    IDENTITY,
    answers,
    measurement_groups,
    named,
    one_image,
    read,
    report_of,
)
from workers.objects import vocabulary
from workers.objects.encode import encode
from workers.objects.identity import device_uid
from workers.objects.request import Predecessor


def test_air_1_and_2_each_algorithm_contributes_equipment(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    seg, sr = map(read, encode(request, profile=STRICT))
    for ds, names in ((seg, ["lungs-heart"]), (sr, ["lungs-heart", "pneumonia"])):
        ours = [i for i in ds.ContributingEquipmentSequence if "DeviceUID" in i]
        assert [i.ManufacturerModelName for i in ours] == names
        assert list(ds.ContributingEquipmentSequence[: len(ours)]) == ours
        for item in ours:
            purpose = item.PurposeOfReferenceCodeSequence[0]
            assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109102", "DCM")
            assert all((item.Manufacturer, item.ManufacturerModelName, item.SoftwareVersions, item.DeviceUID))


def test_air_3_the_device_uid_changes_with_weights_and_configuration() -> None:
    other = replace(made.PNEUMONIA, digest="f0" * 32)
    uids = {device_uid(b, c) for b in (made.PNEUMONIA, other) for c in ("c", "d")}
    assert len(uids) == 4
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_air_4_and_5_the_algorithm_is_named_alike_everywhere(tmp_path: Path) -> None:
    seg, sr = map(read, encode(one_image(tmp_path), profile=STRICT))
    equipment = {i.ManufacturerModelName: i for i in sr.ContributingEquipmentSequence if "DeviceUID" in i}
    uids = [i.UID for i in named(sr, "121012")]
    assert uids == [i.DeviceUID for i in equipment.values()]
    for name, model, serial in zip(named(sr, "121013"), named(sr, "121015"), named(sr, "121016"), strict=True):
        item = equipment[name.TextValue]
        assert (model.TextValue, serial.TextValue) == (item.ManufacturerModelName, item.DeviceSerialNumber)
    for group in measurement_groups(sr):
        for name, version in zip(named(group, "111001"), named(group, "111003"), strict=True):
            if name.TextValue in equipment:
                assert version.TextValue == equipment[name.TextValue].SoftwareVersions
    for segment in seg.SegmentSequence:
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        item = equipment[algorithm.AlgorithmName]
        assert (algorithm.AlgorithmVersion, algorithm.AlgorithmSource) == (item.SoftwareVersions, item.Manufacturer)
        assert segment.SegmentAlgorithmName == algorithm.AlgorithmName


def test_air_6_and_7_findings_are_tid_1500_and_regions_a_segmentation(tmp_path: Path) -> None:
    seg, sr = encode(one_image(tmp_path), profile=STRICT)
    assert (seg.sop_class_uid, sr.sop_class_uid) == (vocabulary.SEGMENTATION, vocabulary.SR_3D)
    templates = {g.ContentTemplateSequence[0].TemplateIdentifier for g in measurement_groups(read(sr))}
    assert templates == {"1501", "1410"}


def test_air_8_the_procedure_reported_is_the_radiograph(tmp_path: Path) -> None:
    assert answers(report_of(encode(one_image(tmp_path), profile=STRICT)), "121058") == ["399208008"]


def test_air_9_segments_have_the_same_tracking_in_seg_and_sr(tmp_path: Path) -> None:
    seg, sr = map(read, encode(one_image(tmp_path), profile=STRICT))
    groups = [g for g in measurement_groups(sr) if named(g, "121214")]
    of_report = [(named(g, "112039")[0].TextValue, named(g, "112040")[0].UID) for g in groups]
    assert of_report == [(s.TrackingID, s.TrackingUID) for s in seg.SegmentSequence]


def test_air_9_every_tracking_uid_is_used_once(tmp_path: Path) -> None:
    uids = [i.UID for i in named(report_of(encode(one_image(tmp_path), profile=STRICT)), "112040")]
    assert len(set(uids)) == len(uids)


def test_air_10_results_carry_patient_study_and_order_of_the_source(tmp_path: Path) -> None:
    asked = Dataset()
    asked.RequestedProcedureID, asked.ScheduledProcedureStepID = "RP-1", "1"
    request = one_image(tmp_path, RequestAttributesSequence=[asked])
    source = dcmread(request.sources[0], stop_before_pixels=True)
    for ds in map(read, encode(request, profile=STRICT)):
        assert ds.StudyInstanceUID == source.StudyInstanceUID
        for keyword in IDENTITY:
            assert str(ds[keyword].value) == str(source[keyword].value), keyword
    order = ds.ReferencedRequestSequence[0]
    assert (order.RequestedProcedureID, order.AccessionNumber) == ("RP-1", "ACC-1")


def test_air_10_every_group_refers_to_its_image_and_the_evidence_is_complete(tmp_path: Path) -> None:
    results = encode(one_image(tmp_path), profile=STRICT)
    sr = report_of(results)
    for group in measurement_groups(sr):
        assert any(i.ValueType == "IMAGE" for i in group.ContentSequence)
    evidence = {
        reference.ReferencedSOPInstanceUID
        for study in sr.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    assert evidence == {sources.uid(), results[0].sop_instance_uid}


def test_air_11_a_new_revision_is_a_new_instance_of_the_same_series(tmp_path: Path) -> None:
    first = encode(one_image(tmp_path), profile=OHIF)
    earlier = tuple(Predecessor(r.sop_class_uid, r.sop_instance_uid, r.series_instance_uid) for r in first)
    second = encode(replace(one_image(tmp_path), revision=2), profile=OHIF, predecessors=earlier)
    assert [r.series_instance_uid for r in second] == [r.series_instance_uid for r in first]
    assert not {r.sop_instance_uid for r in second} & {r.sop_instance_uid for r in first}
    seg, sr = map(read, second)
    # OHIF shows the last SEG of a series, and the first SR.
    assert (seg.InstanceNumber, sr.InstanceNumber) == (2, 9998)
    assert seg.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == first[0].sop_instance_uid
    series = sr.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == first[1].series_instance_uid
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedSOPSequence] == [first[1].sop_instance_uid]


def test_another_bundle_makes_another_instance(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    other = replace(request, bundles=(*request.bundles, BundleIdentity("extra", "1", "e5" * 32)))
    assert encode(request, profile=OHIF)[1].sop_instance_uid != encode(other, profile=OHIF)[1].sop_instance_uid
