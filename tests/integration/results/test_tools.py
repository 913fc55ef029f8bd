"""Encoded results before the tools of others: dciodvfy, DCMTK, dcmqi, and real images."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.sr import srread
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.values import codes
from models.values.findings import NotComputedReason, Segment
from node.delivery.profiles import OHIF, STRICT, Profile
from node.dicom.kinds import ResultKind
from node.reasons import Reason
from tests.support.data import sources
from tests.support.peers.readers import dcmqi_masks, program, run, with_positions
from tests.support.results import result_requests as made
from tests.support.results.encoded import CLASSES, IDENTITY, PROFILES, REAL, one_image
from tests.support.results.interoperability import record
from workers.results.encode import encode
from workers.results.readback import findings_of_segs
from workers.results.request import DeclinedImage, Predecessor, ResultRequest
from workers.results.text import vocabulary

WIDTH = vocabulary.concept(codes.WIDTH)
UTF_8_WARNING = "W: The VR checker does not support this Specific Character Set: ISO_IR 192"
"""DCMTK 3.6.7 says so of objects in UTF-8 that need it."""
Requests = Callable[[Path], ResultRequest]


def written(request: ResultRequest, profile: Profile, folder: Path) -> list[tuple[ResultKind, Path]]:
    """Write the results of a request."""
    paths = []
    for number, result in enumerate(encode(request, profile=profile)):
        path = folder / f"{profile.name}-{number}-{result.kind}.dcm"
        path.write_bytes(result.content)
        paths.append((result.kind, path))
    return paths


def _class(sop_class: str, **values: Any) -> Requests:
    return lambda folder: one_image(folder, sop_class=sop_class, **values)


def _bare(folder: Path) -> ResultRequest:
    lacking = (*IDENTITY, "PatientOrientation", "PixelSpacing", "SeriesNumber", "InstanceNumber", "PatientAge")
    return one_image(folder, sop_class=sources.CR, drop=lacking)


def _declined(folder: Path) -> ResultRequest:
    declined = DeclinedImage(sources.uid(), Reason.LATERAL_VIEW, "View Position is LL.")
    return made.request((sources.source(folder),), (), declined)


def _unreadable(folder: Path) -> ResultRequest:
    path = folder / "broken.dcm"
    path.write_bytes(b"not DICOM" * 50)
    return made.request((path,), (), DeclinedImage("1.9.9", Reason.MALFORMED, "No DICOM file."))


def _refused(folder: Path) -> ResultRequest:
    return made.request((sources.source(folder),), (made.refused(sources.uid()),))


def _two(folder: Path) -> ResultRequest:
    paths = tuple(sources.source(folder, number=n) for n in (1, 2, 3))
    declined = DeclinedImage(sources.uid(3), Reason.LATERAL_VIEW, "View Position is LL.")
    return made.request(paths, tuple(made.image(sources.uid(n)) for n in (1, 2)), declined)


def _ordered(folder: Path) -> ResultRequest:
    asked = Dataset()
    asked.RequestedProcedureID, asked.ScheduledProcedureStepID = "RP-1", "1"
    return one_image(folder, RequestAttributesSequence=[asked])


def _invalid_uid(folder: Path) -> ResultRequest:
    """Return two images, of which the second cannot be referred to."""
    paths = tuple(sources.source(folder, number=n) for n in (1, 2))
    invalid = sources.with_invalid_uids(paths[1], number=2)
    return made.request(paths, (made.image(sources.uid(1)), made.image(invalid)))


def _only_invalid_uids(folder: Path) -> ResultRequest:
    path = sources.source(folder)
    invalid = sources.with_invalid_uids(path)
    return made.request((path,), (), DeclinedImage(invalid, Reason.NOT_THE_CHEST, "Body Part Examined is TEETH."))


def _outlined(folder: Path) -> ResultRequest:
    image = made.with_pneumothorax(made.image(sources.uid()), codes.BILATERAL)
    return made.diseases((sources.source(folder),), image)


def _segmentation_empty(folder: Path) -> ResultRequest:
    image = made.with_pneumothorax_not_outlined(made.image(sources.uid()))
    return made.diseases((sources.source(folder, sop_class=sources.CR),), image)


def _nothing_to_outline(folder: Path) -> ResultRequest:
    reason = NotComputedReason.NOT_FOUND_BY_CLASSIFIER
    image = made.with_outline_not_computed(made.image(sources.uid()), reason)
    return made.diseases((sources.source(folder),), image)


def _site_thresholds(folder: Path) -> ResultRequest:
    return made.with_site_thresholds(_outlined(folder))


def _indeterminate(folder: Path) -> ResultRequest:
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "12.5", "ViewPosition": "AP"}
    return made.diseases((sources.source(folder, **lossy),), made.with_doubt(made.image(sources.uid())))


_POSITION: dict[str, Any] = {"ImagePositionPatient": [1, 2, 3], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
CASES: dict[str, Requests] = {
    **{name: _class(uid) for name, uid in CLASSES.items()},
    "odd-width": _class(sources.DX, rows=37, columns=83),
    "frame-of-reference": _class(sources.DX, FrameOfReferenceUID="1.2.3"),
    "position": _class(sources.DX, FrameOfReferenceUID="1.2.3", **_POSITION),
    "latin-1": _class(sources.CR, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"),
    "time-zone": _class(sources.DX, TimezoneOffsetFromUTC="+0530"),
    "bare": _bare,
    "ordered": _ordered,
    "three-images": _two,
    "declined": _declined,
    "refused": _refused,
    "unreadable": _unreadable,
    "outlined": _outlined,
    "not-outlined": _segmentation_empty,
    "nothing-to-outline": _nothing_to_outline,
    "site-thresholds": _site_thresholds,
    "indeterminate": _indeterminate,
    "invalid-uid": _invalid_uid,
    "only-invalid-uids": _only_invalid_uids,
}
JAPANESE = _class(
    sources.CR, SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"
)


@pytest.mark.interoperability
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", [*CASES, "japanese"])
def test_dciodvfy_finds_no_error(tmp_path: Path, name: str, profile: Profile) -> None:
    dciodvfy = program("dciodvfy")
    case = CASES.get(name, JAPANESE)
    for kind, path in written(case(tmp_path), profile, tmp_path):
        said = run(dciodvfy, "-new", path).stderr.splitlines()
        assert {"Segmentation", "Comprehensive3DSR"} & {line.strip() for line in said}, said
        assert [line for line in said if line.startswith("Error")] == [], kind
        assert [line for line in said if line.startswith("Warning") and not _expected(line)] == [], kind
        record(source=name, object=kind, profile=profile.name, reader="dciodvfy")


def _expected(warning: str) -> bool:
    """Whether dciodvfy 2022 warns of what is right or is the source's own.

    It does not know our private coding scheme, nor Device UID in Contributing Equipment (IHE AIR, PS3.3 since 2021); a
    DICOMDIR would need values that the source does not have.
    """
    return any(part in warning for part in ("<99HILUM>", "DeviceUID(0018,1002)", "needed to build DICOMDIR"))


@pytest.mark.interoperability
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", CASES)
def test_dsrdump_reads_the_report_without_a_warning(tmp_path: Path, name: str, profile: Profile) -> None:
    dsrdump = program("dsrdump")
    _, path = written(CASES[name](tmp_path), profile, tmp_path)[-1]
    done = run(dsrdump, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Limits of this result" in done.stdout
    record(source=name, object="SR", profile=profile.name, reader="DCMTK dsrdump")


def test_dsrdump_warns_of_nothing_but_the_character_set_of_the_source(tmp_path: Path) -> None:
    dsrdump = program("dsrdump")
    _, path = written(JAPANESE(tmp_path), OHIF, tmp_path)[-1]
    dumped = run(dsrdump, path)
    assert dumped.returncode == 0
    assert {line for line in dumped.stderr.splitlines() if line and "ISO 2022 IR 87" not in line} == set()


@pytest.mark.parametrize("tag", ["de", "fr"])
def test_a_report_in_another_language_is_valid_for_every_reader(tmp_path: Path, tag: str) -> None:
    dciodvfy, dsrdump, tid1500reader = map(program, ("dciodvfy", "dsrdump", "tid1500reader"))
    profile = OHIF.model_copy(update={"name": tag, "language": tag})
    _, path = written(_indeterminate(tmp_path), profile, tmp_path)[-1]
    assert _errors(dciodvfy, path) == []
    dumped = run(dsrdump, "+Pl", path)
    assert dumped.returncode == 0
    assert [line for line in dumped.stderr.splitlines() if line and line != UTF_8_WARNING] == []
    said = {"de": "unbestimmt (die kalibrierte Wahrscheinlichkeit 0,207", "fr": "résultat indéterminé (la probabilité"}
    assert said[tag] in dumped.stdout
    out = tmp_path / "report.json"
    assert run(tid1500reader, "--inputDICOM", path, "--outputMetadata", out).returncode == 0
    assert len(srread(path).content.get_planar_roi_measurement_groups()) == 3


def test_a_second_revision_is_valid(tmp_path: Path) -> None:
    dciodvfy, dsrdump = program("dciodvfy"), program("dsrdump")
    request = one_image(tmp_path)
    first = encode(request, profile=OHIF)
    earlier = tuple(Predecessor(r.sop_class_uid, r.sop_instance_uid, r.series_instance_uid) for r in first)
    for result in encode(replace(request, revision=2), profile=OHIF, predecessors=earlier):
        path = tmp_path / "second.dcm"
        path.write_bytes(result.content)
        assert "Error" not in run(dciodvfy, "-new", path).stderr
    assert run(dsrdump, path).stderr == ""


@pytest.mark.interoperability
@pytest.mark.parametrize("profile", PROFILES)
def test_dcmqi_reads_the_report(tmp_path: Path, profile: Profile) -> None:
    tid1500reader = program("tid1500reader")
    _, path = written(one_image(tmp_path), profile, tmp_path)[-1]
    out = tmp_path / "report.json"
    done = run(tid1500reader, "--inputDICOM", path, "--outputMetadata", out)
    assert done.returncode == 0, done.stderr
    groups = {g["TrackingIdentifier"]: g for g in json.loads(out.read_text())["Measurements"]}
    found = groups["Pneumonia, series 1 image 1"]
    assert found["Finding"]["CodeValue"] == "233604007"
    assert [float(item["value"]) for item in found["measurementItems"]] == [0.8125, 0.5]
    assert found["measurementAlgorithmIdentification"]["AlgorithmName"] == "pneumonia"
    (width,) = groups["Cardiac diameter, series 1 image 1"]["measurementItems"]
    assert (float(width["value"]), width["units"]["CodeValue"]) == (121.5, "mm")
    assert float(groups["Right lung, series 1 image 1"]["measurementItems"][0]["value"]) == 201.25
    record(source="DX", object="SR", profile=profile.name, reader="dcmqi tid1500reader")


@pytest.mark.parametrize("columns", [80, 83])
def test_dcmqi_reads_the_same_masks(tmp_path: Path, columns: int) -> None:
    request = one_image(tmp_path, rows=96, columns=columns)
    path = tmp_path / "volume.dcm"
    with_positions(written(request, OHIF, tmp_path)[0][1]).save_as(path)
    masks = dcmqi_masks(path, tmp_path)
    for number, segment in enumerate(request.images[0].segments, start=1):
        assert np.array_equal(masks[number], segment.mask)


@pytest.mark.interoperability
@pytest.mark.parametrize("profile", PROFILES)
def test_highdicom_reads_what_was_written(tmp_path: Path, profile: Profile) -> None:
    request = one_image(tmp_path, rows=96, columns=83)
    (_, seg), (_, sr) = written(request, profile, tmp_path)
    for ours, theirs in zip(request.images[0].segments, findings_of_segs([seg]).segments, strict=True):
        assert np.array_equal(ours.mask, theirs.mask)
    report = srread(sr)
    assert len(report.content.get_planar_roi_measurement_groups()) == 3
    assert len(report.content.get_image_measurement_groups()) == 2 + 2 + 3 + 1
    widths = [m for group in report.content.get_image_measurement_groups() for m in group.get_measurements(WIDTH)]
    measured = [m for m in request.images[0].measurements if m.code == codes.WIDTH]
    for theirs, ours in zip(widths, measured, strict=True):
        ((first, last),) = ours.extents
        (points,) = [item.value for item in theirs.referenced_coordinates]
        assert points.tolist() == [[first.column, first.row], [last.column, last.row]]
    record(source="odd-width", object="SEG", profile=profile.name, reader="highdicom segread")
    record(source="odd-width", object="SR", profile=profile.name, reader="highdicom srread")


# pydicom warns of odd values of these files, as they are; encoding itself silences it.
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(("name", "profile"), REAL.items(), ids=REAL)
def test_results_of_real_images_are_valid(data_folder: Path, tmp_path: Path, name: str, profile: Profile) -> None:
    dciodvfy, dsrdump = program("dciodvfy"), program("dsrdump")
    path = data_folder / "dicom" / name
    header = dcmread(path, stop_before_pixels=True)
    image = made.image(str(header.SOPInstanceUID), int(header.Rows), int(header.Columns))
    request = replace(made.request((path,), (image,)), study_instance_uid=str(header.StudyInstanceUID))
    *segs, (_, sr) = written(request, profile, tmp_path)
    for _, result in (*segs, (ResultKind.SR, sr)):
        assert _errors(dciodvfy, result) == []
    dumped = run(dsrdump, sr)
    assert (dumped.returncode, dumped.stderr) == (0, "")
    # One of these images has UIDs of an illegal form (999.999.01...), which no result can refer to.
    assert bool(segs) == header.SOPInstanceUID.is_valid
    if segs:
        _assert_equal(image.segments, findings_of_segs([seg for _, seg in segs]).segments)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_report_stays_readable_where_every_uid_of_the_source_is_invalid(tmp_path: Path, profile: Profile) -> None:
    dciodvfy, dsrdump = program("dciodvfy"), program("dsrdump")
    path = sources.source(tmp_path)
    image = made.image(sources.with_invalid_uids(path, study=True))
    request = replace(made.request((path,), (image,)), study_instance_uid=sources.INVALID_STUDY)
    ((_, sr),) = written(request, profile, tmp_path)
    (error,) = _errors(dciodvfy, sr)
    assert "</StudyInstanceUID(0020,000d)[1]>" in error
    dumped = run(dsrdump, "+Pl", sr)
    assert dumped.returncode == 0
    assert dumped.stderr.strip() == "W: StudyInstanceUID (0020,000d) violates VR definition in GeneralStudyModule"
    assert "it cannot be referenced because its UID is not valid" in dumped.stdout


def _errors(dciodvfy: str, path: Path) -> list[str]:
    return [line for line in run(dciodvfy, "-new", path).stderr.splitlines() if line.startswith("Error")]


def test_real_masks_come_back_exactly(data_folder: Path, tmp_path: Path) -> None:
    masks = sorted((data_folder / "ctr" / "masks").glob("*.png"))[:3]
    if not masks:
        pytest.skip("no real masks")
    for number, path in enumerate(masks, start=1):
        with Image.open(path) as picture:
            bits = np.asarray(picture)
        image = made.image(sources.uid(number), *bits.shape)
        segments = tuple(replace(s, mask=(bits >> bit & 1).astype(bool)) for bit, s in enumerate(image.segments))
        source = sources.source(tmp_path, rows=bits.shape[0], columns=bits.shape[1], number=number)
        (_, seg), _ = written(made.request((source,), (replace(image, segments=segments),)), STRICT, tmp_path)
        _assert_equal(segments, findings_of_segs([seg]).segments)


def _assert_equal(ours: tuple[Segment, ...], theirs: tuple[Segment, ...]) -> None:
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(ours, theirs, strict=True))


def test_no_result_names_this_machine(tmp_path: Path) -> None:
    for _, path in written(one_image(tmp_path), OHIF, tmp_path):
        assert re.search(rb"/(tmp|home|root|work)/", path.read_bytes()) is None
