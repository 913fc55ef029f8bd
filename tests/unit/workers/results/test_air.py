"""IHE AI Results 1.3: what the creator of results must do, by the numbers of the table in the conformance notes.

1 and 2 contributing equipment, 3 Device UID, 4 and 5 named alike everywhere, 6 and 7 kinds of object, 8 procedure
reported, 9 tracking, 10 references and identity, 11 re-run. Each holds for every object that the node can make.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.values import codes
from models.values.findings import BundleIdentity
from node.delivery.profiles import BUILT_IN, OHIF, STRICT, Profile
from node.dicom.kinds import ResultKind, kind_of
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import (
    IDENTITY,
    answers,
    items,
    measurement_groups,
    named,
    one_image,
    read,
    report_of,
)
from tests.support.results.optional_results import with_heat_map
from workers.results.encode import encode
from workers.results.parts.identity import device_uid
from workers.results.request import Predecessor, ResultRequest

COMPLETE = BUILT_IN["complete"]
PROFILES = {"strict": STRICT, "complete": COMPLETE}


@dataclass(frozen=True)
class Made:
    """A request and its results under one profile."""

    request: ResultRequest
    profile: Profile
    results: list[Dataset]

    def of(self, kind: ResultKind) -> list[Dataset]:
        """Return the results of one kind."""
        return [ds for ds in self.results if kind_of(ds.SOPClassUID) is kind]

    @property
    def report(self) -> Dataset:
        """The SR."""
        (found,) = self.of(ResultKind.SR)
        return found


@pytest.fixture(scope="module", params=PROFILES.values(), ids=PROFILES)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Encode everything that a study may have, once for each profile."""
    asked = Dataset()
    asked.RequestedProcedureID, asked.ScheduledProcedureStepID = "RP-1", "STEP-1"
    study = _request(tmp_path_factory.mktemp(request.param.name), RequestAttributesSequence=[asked])
    return Made(study, request.param, _results(study, request.param))


def _request(folder: Path, **values: object) -> ResultRequest:
    """Return a request with everything that a study may have: findings, outlines, measurements, a heat map."""
    request = one_image(folder, **values)
    image = with_heat_map(made.with_pneumothorax(request.images[0], codes.LEFT))
    not_run = (item.bundle for item in image.not_computed)
    return replace(request, images=(image,), bundles=(*request.bundles, made.CLASSIFIER, made.OUTLINE, *not_run))


def _results(request: ResultRequest, profile: Profile) -> list[Dataset]:
    return [read(result) for result in encode(request, profile=profile)]


def _ours(ds: Dataset) -> list[Dataset]:
    """Return the items of Contributing Equipment that name an algorithm."""
    return [item for item in ds.ContributingEquipmentSequence if "DeviceUID" in item]


def _data_sets(ds: Dataset) -> Iterator[Dataset]:
    """Yield every data set in a data set, itself first."""
    yield ds
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _data_sets(item)


def test_every_kind_of_object_that_a_profile_makes_is_looked_at(done: Made) -> None:
    expected = {done.profile.sop_class(kind).sop_class_uid for kind in done.profile.objects}
    assert {ds.SOPClassUID for ds in done.results} == expected


def test_every_kind_but_capture_and_map_has_its_name_as_modality(done: Made) -> None:
    for ds in done.results:
        kind = kind_of(ds.SOPClassUID)
        assert ds.Modality == ("OT" if kind in (ResultKind.SC, ResultKind.PM) else kind)


def test_air_1_every_result_has_one_contributing_equipment_item_for_each_algorithm(done: Made) -> None:
    request = done.request
    every = sorted(bundle.name for bundle in request.bundles)
    for ds in done.results:
        names = [item.ManufacturerModelName for item in _ours(ds)]
        assert names, ds.Modality
        assert len(set(names)) == len(names), ds.Modality
        assert set(names) <= set(every), ds.Modality
        # What comes first is the algorithm; the library that wrote the object follows.
        assert list(ds.ContributingEquipmentSequence[: len(names)]) == _ours(ds)
        for item in _ours(ds):
            purpose = item.PurposeOfReferenceCodeSequence[0]
            assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109102", "DCM")
    sr = done.report
    assert [item.ManufacturerModelName for item in _ours(sr)] == every


def test_air_1_a_segmentation_names_the_algorithm_of_its_segments_alone(done: Made) -> None:
    for seg in done.of(ResultKind.SEG):
        algorithms = {s.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName for s in seg.SegmentSequence}
        assert {item.ManufacturerModelName for item in _ours(seg)} == algorithms


def test_air_2_the_item_has_maker_model_version_and_device_uid_of_the_bundle(done: Made) -> None:
    request = done.request
    bundles = {bundle.name: bundle for bundle in request.bundles}
    for ds in done.results:
        for item in _ours(ds):
            bundle = bundles[item.ManufacturerModelName]
            assert (item.Manufacturer, item.SoftwareVersions) == ("Hilum", bundle.version)
            assert device_uid(bundle, request.configuration_digest) == item.DeviceUID


def test_air_3_the_device_uid_changes_with_weights_configuration_and_the_thresholds_of_the_site() -> None:
    other_weights = replace(made.OUTLINE, digest="f0" * 32)
    bundles = (made.OUTLINE, other_weights, made.SITE_OUTLINE)
    uids = {device_uid(bundle, configuration) for bundle in bundles for configuration in ("c", "d")}
    assert len(uids) == 6
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_air_3_another_configuration_gives_every_result_another_device_uid(done: Made) -> None:
    request = done.request
    other = _results(replace(request, configuration_digest="ee" * 32), done.profile)
    uids = [{i.DeviceUID for ds in results for i in _ours(ds)} for results in (done.results, other)]
    assert uids[0] & uids[1] == set()
    assert len(uids[0]) == len(uids[1]) == len(request.bundles)


def test_air_4_the_report_names_its_devices_as_the_equipment_does(done: Made) -> None:
    sr = done.report
    equipment = {item.ManufacturerModelName: item for item in _ours(sr)}
    assert [item.UID for item in named(sr, "121012")] == [item.DeviceUID for item in equipment.values()]
    for name, model, serial in zip(named(sr, "121013"), named(sr, "121015"), named(sr, "121016"), strict=True):
        item = equipment[name.TextValue]
        assert (model.TextValue, serial.TextValue) == (item.ManufacturerModelName, item.DeviceSerialNumber)
    for group in measurement_groups(sr):
        for name, version in zip(named(group, "111001"), named(group, "111003"), strict=True):
            assert version.TextValue == equipment[name.TextValue].SoftwareVersions


def test_air_5_segments_name_their_algorithm_as_the_equipment_does(done: Made) -> None:
    sr = done.report
    segs = done.of(ResultKind.SEG)
    assert segs
    for seg in segs:
        equipment = {item.ManufacturerModelName: item for item in _ours(seg)}
        for segment in seg.SegmentSequence:
            algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
            item = equipment[algorithm.AlgorithmName]
            assert (algorithm.AlgorithmVersion, algorithm.AlgorithmSource) == (item.SoftwareVersions, item.Manufacturer)
            assert segment.SegmentAlgorithmName == algorithm.AlgorithmName
        in_report = {item.ManufacturerModelName: item.DeviceUID for item in _ours(sr)}
        assert {name: item.DeviceUID for name, item in equipment.items()}.items() <= in_report.items()


def test_air_6_findings_and_measurements_are_tid_1500_in_a_comprehensive_3d_sr(done: Made) -> None:
    sr = done.report
    assert sr.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    templates = {group.ContentTemplateSequence[0].TemplateIdentifier for group in measurement_groups(sr)}
    assert templates == {"1501", "1410"}


def test_air_7_regions_are_segmentations(done: Made) -> None:
    request = done.request
    segs = done.of(ResultKind.SEG)
    assert {seg.SOPClassUID for seg in segs} == {"1.2.840.10008.5.1.4.1.1.66.4"}
    assert sum(len(seg.SegmentSequence) for seg in segs) == len(request.images[0].segments)


def test_air_8_the_procedure_reported_is_the_radiograph(done: Made) -> None:
    sr = done.report
    assert answers(sr, "121058") == ["399208008"]


def test_air_9_segments_have_the_same_tracking_in_segmentation_and_report(done: Made) -> None:
    sr = done.report
    groups = [group for group in measurement_groups(sr) if named(group, "121214")]
    of_report = {(named(g, "112039")[0].TextValue, named(g, "112040")[0].UID) for g in groups}
    of_segments = [(s.TrackingID, s.TrackingUID) for seg in done.of(ResultKind.SEG) for s in seg.SegmentSequence]
    assert len(of_segments) == len(set(of_segments))
    assert of_report == set(of_segments)


def test_air_9_every_tracking_uid_of_a_report_is_used_once(done: Made) -> None:
    sr = done.report
    uids = [item.UID for item in named(sr, "112040")]
    assert len(set(uids)) == len(uids)


def test_air_10_results_carry_patient_study_and_order_of_the_source(done: Made) -> None:
    source = dcmread(done.request.sources[0].path, stop_before_pixels=True)
    for ds in done.results:
        assert ds.StudyInstanceUID == source.StudyInstanceUID
        for keyword in IDENTITY:
            assert str(ds[keyword].value) == str(source[keyword].value), (ds.Modality, keyword)


def test_air_10_every_result_names_the_order(done: Made) -> None:
    for ds in done.results:
        is_document = kind_of(ds.SOPClassUID) in (ResultKind.SR, ResultKind.KO)
        (order,) = ds.ReferencedRequestSequence if is_document else ds.RequestAttributesSequence
        assert (order.RequestedProcedureID, order.AccessionNumber) == ("RP-1", "ACC-1"), ds.Modality
        if not is_document:
            assert order.ScheduledProcedureStepID == "STEP-1", ds.Modality


def test_air_10_a_result_names_no_order_where_the_source_names_none(tmp_path: Path) -> None:
    for ds in _results(_request(tmp_path), COMPLETE):
        assert "RequestAttributesSequence" not in ds and "ReferencedRequestSequence" not in ds, ds.Modality


def test_air_10_every_group_refers_to_its_image_and_the_evidence_is_complete(done: Made) -> None:
    sr = done.report
    for group in measurement_groups(sr):
        assert any(item.ValueType == "IMAGE" for item in group.ContentSequence)
    for document in (sr, *done.of(ResultKind.KO)):
        evidence = {
            reference.ReferencedSOPInstanceUID
            for study in document.CurrentRequestedProcedureEvidenceSequence
            for series in study.ReferencedSeriesSequence
            for reference in series.ReferencedSOPSequence
        }
        in_content = {
            reference.ReferencedSOPInstanceUID
            for item in items(document)
            for reference in item.get("ReferencedSOPSequence", ())
        }
        assert in_content == evidence, document.Modality
    segs = {seg.SOPInstanceUID for seg in done.of(ResultKind.SEG)}
    referenced = {r.ReferencedSOPInstanceUID for i in items(sr) for r in i.get("ReferencedSOPSequence", ())}
    assert referenced == segs | {sources.uid()}


def test_air_10_no_result_refers_to_what_is_neither_source_nor_result(done: Made) -> None:
    known = {sources.uid()} | {ds.SOPInstanceUID for ds in done.results}
    for ds in done.results:
        found = {item.ReferencedSOPInstanceUID for item in _data_sets(ds) if "ReferencedSOPInstanceUID" in item}
        assert found <= known, ds.Modality
        assert sources.uid() in found, ds.Modality


def test_air_11_a_new_revision_is_new_instances_of_the_same_series(done: Made) -> None:
    first = encode(done.request, profile=done.profile)
    earlier = tuple(Predecessor(r.sop_class_uid, r.sop_instance_uid, r.series_instance_uid) for r in first)
    second = encode(replace(done.request, revision=2), profile=done.profile, predecessors=earlier)
    assert [r.series_instance_uid for r in second] == [r.series_instance_uid for r in first]
    assert not {r.sop_instance_uid for r in second} & {r.sop_instance_uid for r in first}


def test_air_11_report_and_segmentation_name_what_they_supersede(tmp_path: Path) -> None:
    first = encode(one_image(tmp_path), profile=OHIF)
    earlier = tuple(Predecessor(r.sop_class_uid, r.sop_instance_uid, r.series_instance_uid) for r in first)
    second = encode(replace(one_image(tmp_path), revision=2), profile=OHIF, predecessors=earlier)
    seg, sr = map(read, second)
    # OHIF shows the last SEG of a series, and the first SR.
    assert (seg.InstanceNumber, sr.InstanceNumber) == (2, 9998)
    assert seg.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == first[0].sop_instance_uid
    series = sr.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == first[1].series_instance_uid
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedSOPSequence] == [first[1].sop_instance_uid]


def test_air_11_a_declined_study_is_answered_by_the_node_as_a_device(tmp_path: Path) -> None:
    request = made.request((sources.source(tmp_path),), (made.refused(sources.uid()),))
    sr = report_of(encode(replace(request, bundles=()), profile=STRICT))
    (item,) = _ours(sr)
    assert [found.UID for found in named(sr, "121012")] == [item.DeviceUID]


def test_another_bundle_makes_another_instance(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    other = replace(request, bundles=(*request.bundles, BundleIdentity("extra", "1", "e5" * 32)))
    assert encode(request, profile=OHIF)[1].sop_instance_uid != encode(other, profile=OHIF)[1].sop_instance_uid
