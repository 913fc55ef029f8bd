"""The optional result objects, for every kind of source: what holds for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.values import codes
from models.values.findings import Gate, ImageFindings, NotComputed, NotComputedReason
from node.dicom.kinds import ResultKind
from node.dicom.uids import DEFLATED_LITTLE_ENDIAN
from node.reasons import Reason
from tests.support.data import sources
from tests.support.peers.readers import program, run
from tests.support.results import result_requests as made
from tests.support.results.encoded import IDENTITY, REAL, read
from tests.support.results.interoperability import record
from tests.support.results.optional_results import (
    CASES,
    COMPLETE,
    KINDS,
    POSITION,
    one,
    request_of,
    results,
    stored,
    with_heat_map,
)
from workers.results.encode import encode
from workers.results.parts import equipment
from workers.results.request import DeclinedImage, Predecessor, ResultRequest


@pytest.mark.interoperability
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_no_error(tmp_path: Path, kind: ResultKind, name: str) -> None:
    dciodvfy = program("dciodvfy")
    for result in results(CASES[name](tmp_path), kind):
        said = run(dciodvfy, "-new", stored(result, tmp_path)).stderr.splitlines()
        assert [line for line in said if line.startswith("Error")] == []
    record(source=name, object=kind, profile="complete", reader="dciodvfy")


@pytest.mark.parametrize("name", ["CR", "SC", "odd-width", "position", "bare"])
def test_a_profile_with_every_object_passes_the_preflight(tmp_path: Path, name: str) -> None:
    made_of = encode(CASES[name](tmp_path), profile=COMPLETE)
    assert {result.kind for result in made_of} == set(ResultKind)


def _refused(folder: Path) -> ResultRequest:
    return made.request((sources.source(folder),), (made.refused(sources.uid()),))


def _outside_intended_use(folder: Path) -> ResultRequest:
    """Return an image that passed the gate, and that no bundle is intended for."""
    item = NotComputed(made.PNEUMONIA, "pneumonia", NotComputedReason.AGE_OUTSIDE_INTENDED_USE, "from 16 years")
    image = ImageFindings(sources.uid(), Gate(None, "Two lungs found."), not_computed=(item,))
    return made.request((sources.source(folder, PatientAge="010Y"),), (image,))


def _declined(folder: Path) -> ResultRequest:
    declined = DeclinedImage(sources.uid(), Reason.LATERAL_VIEW, "View Position is LL.")
    return made.request((sources.source(folder),), (), declined)


UNCOMPUTED = {"refused": _refused, "outside-intended-use": _outside_intended_use, "declined": _declined}


@pytest.mark.parametrize("name", UNCOMPUTED)
def test_a_study_in_which_no_bundle_computed_anything_passes_the_preflight(tmp_path: Path, name: str) -> None:
    request = UNCOMPUTED[name](tmp_path)
    kinds = {result.kind for result in encode(request, profile=COMPLETE)}
    assert kinds == {ResultKind.SR, ResultKind.DOC} | ({ResultKind.SC} if request.images else set())


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_revision_is_valid_and_stays_in_its_series(tmp_path: Path, kind: ResultKind) -> None:
    dciodvfy = program("dciodvfy")
    request = CASES["DX"](tmp_path)
    (first,) = results(request, kind)
    earlier = (Predecessor(first.sop_class_uid, first.sop_instance_uid, first.series_instance_uid),)
    (second,) = results(replace(request, revision=2), kind, predecessors=earlier)
    assert second.series_instance_uid == first.series_instance_uid
    assert second.sop_instance_uid != first.sop_instance_uid
    assert read(second).InstanceNumber > read(first).InstanceNumber
    assert "Error" not in run(dciodvfy, "-new", stored(second, tmp_path)).stderr


@pytest.mark.parametrize(
    "placed", [{}, {"FrameOfReferenceUID": "1.2.3"}, {"FrameOfReferenceUID": "1.2.3", **POSITION}], ids=len
)
def test_a_series_has_one_frame_of_reference(tmp_path: Path, placed: dict[str, object]) -> None:
    paths = tuple(sources.source(tmp_path, number=number, **placed) for number in (1, 2))
    images = (made.with_pneumothorax(made.image(sources.uid(number)), codes.LEFT) for number in (1, 2))
    made_of = encode(made.diseases(paths, *map(with_heat_map, images)), profile=COMPLETE)
    frames: dict[str, set[str | None]] = {}
    for ds in map(read, made_of):
        frames.setdefault(ds.SeriesInstanceUID, set()).add(ds.get("FrameOfReferenceUID"))
    assert {result.kind for result in made_of} == set(ResultKind)
    assert [found for found in frames.values() if len(found) > 1] == []


def test_dciodvfy_finds_no_error_in_results_that_name_the_order(tmp_path: Path) -> None:
    dciodvfy = program("dciodvfy")
    asked = Dataset()
    asked.RequestedProcedureID, asked.ScheduledProcedureStepID = "RP-1", "STEP-1"
    asked.RequestedProcedureDescription = "Chest"
    for result in encode(request_of(RequestAttributesSequence=[asked])(tmp_path), profile=COMPLETE):
        said = run(dciodvfy, "-new", stored(result, tmp_path)).stderr.splitlines()
        assert [line for line in said if line.startswith("Error")] == [], result.kind


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_twice_gives_the_same_bytes(tmp_path: Path, kind: ResultKind) -> None:
    request = CASES["DX"](tmp_path)
    assert [r.content for r in results(request, kind)] == [r.content for r in results(request, kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_patient_study_and_time_zone_are_those_of_the_source(tmp_path: Path, kind: ResultKind) -> None:
    request = CASES["time-zone"](tmp_path)
    source, ds = dcmread(request.sources[0].path), one(request, kind)
    for keyword in (*IDENTITY, "StudyInstanceUID", "TimezoneOffsetFromUTC", "PatientAge", "StudyDescription"):
        assert str(ds[keyword].value) == str(source[keyword].value), keyword


@pytest.mark.parametrize("kind", KINDS)
def test_every_algorithm_contributes_equipment_before_the_library(tmp_path: Path, kind: ResultKind) -> None:
    request = CASES["DX"](tmp_path)
    items = one(request, kind).ContributingEquipmentSequence
    ours = [item for item in items if "DeviceUID" in item]
    assert ours == list(items[: len(ours)])
    (image,) = request.images
    shown = {
        ResultKind.KO: request.bundles,
        ResultKind.SC: request.bundles,
        ResultKind.PR: [segment.bundle for segment in image.segments],
        ResultKind.PM: [heat_map.bundle for heat_map in image.heat_maps],
        ResultKind.DOC: request.bundles,
    }
    digests = {bundle.digest for bundle in shown[kind]}
    uids = {a.model_name: a.uid for a in equipment.algorithms(request) if a.digest in digests}
    assert {item.ManufacturerModelName: item.DeviceUID for item in ours} == uids


def test_what_comes_of_a_lossy_image_says_so(tmp_path: Path) -> None:
    for kind in (ResultKind.SC, ResultKind.PM):
        assert one(CASES["lossy"](tmp_path), kind).LossyImageCompression == "01"


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_in_the_language_of_the_profile(tmp_path: Path, kind: ResultKind) -> None:
    german = COMPLETE.model_copy(update={"language": "de"})
    request = CASES["DX"](tmp_path)
    (english,), (other,) = results(request, kind), results(request, kind, profile=german)
    assert english.sop_instance_uid != other.sop_instance_uid
    match kind:
        case ResultKind.KO:
            assert any("vorhanden" in item.get("TextValue", "") for item in read(other).ContentSequence)
        case ResultKind.PR:
            names = [layer.get("GraphicLayerDescription") for layer in read(other).GraphicLayerSequence]
            assert "Herz" in names
        case ResultKind.SC:
            assert not np.array_equal(read(english).pixel_array, read(other).pixel_array)
        case ResultKind.PM:
            assert "Pneumothorax" in read(other).ContentDescription
        case ResultKind.DOC:
            assert read(other).EncapsulatedDocument != read(english).EncapsulatedDocument


@pytest.mark.parametrize("kind", KINDS)
def test_deflated_objects_hold_the_same(tmp_path: Path, kind: ResultKind) -> None:
    dcmdump = program("dcmdump")
    deflated = COMPLETE.model_copy(update={"compression": "deflated"})
    request = CASES["odd-width"](tmp_path)
    (result,) = results(request, kind, profile=deflated)
    ds, plain = read(result), one(request, kind)
    assert ds.file_meta.TransferSyntaxUID == DEFLATED_LITTLE_ENDIAN
    for keyword in ("PixelData", "FloatPixelData", "DocumentTitle", "StudyInstanceUID", "PatientID"):
        assert ds.get(keyword) == plain.get(keyword)
    assert run(dcmdump, stored(result, tmp_path)).returncode == 0


# pydicom warns of odd values of these files, as they are; encoding itself silences it.
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("name", REAL)
def test_results_of_real_images_are_valid(data_folder: Path, tmp_path: Path, name: str) -> None:
    dciodvfy = program("dciodvfy")
    path = data_folder / "dicom" / name
    header = dcmread(path, stop_before_pixels=True)
    if not header.SOPInstanceUID.is_valid:
        pytest.skip("has an invalid UID, which no result can refer to")
    image = made.with_pneumothorax(made.image(header.SOPInstanceUID, header.Rows, header.Columns), codes.LEFT)
    request = made.diseases((path,), with_heat_map(image))
    request = replace(request, study_instance_uid=str(header.StudyInstanceUID))
    for kind in KINDS:
        (result,) = results(request, kind)
        said = run(dciodvfy, "-new", stored(result, tmp_path)).stderr.splitlines()
        assert [line for line in said if line.startswith("Error")] == [], kind
