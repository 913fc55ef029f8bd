"""Sources as they come: lacking, odd, foreign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import config, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from node.delivery.profiles import BUILT_IN, OHIF, STRICT, Profile
from node.reasons import Reason
from tests.support.data import sources
from tests.support.data.sources import read_sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import IDENTITY, PROFILES, one_image, read, report_of
from workers.results.encode import encode
from workers.results.request import DeclinedImage

NO_DATES = ("19800101-", "-19800101", "19800101-19900101", "19800230", "00000101", "00010101", "1980-01-01")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_source_that_lacks_nearly_everything_still_yields_results(tmp_path: Path, profile: Profile) -> None:
    others = (
        "SpecificCharacterSet",
        "PatientAge",
        "StudyDescription",
        "PatientOrientation",
        "PixelSpacing",
        "ImagerPixelSpacing",
        "ViewPosition",
        "SeriesNumber",
        "InstanceNumber",
        "Modality",
        "BodyPartExamined",
    )
    request = one_image(tmp_path, sop_class=sources.CR, drop=(*IDENTITY, *others))
    for ds in map(read, encode(request, profile=profile)):
        assert all(keyword in ds and not ds[keyword].value for keyword in IDENTITY)


def test_empty_patient_attributes_stay_empty(tmp_path: Path) -> None:
    seg, sr = map(read, encode(one_image(tmp_path, **dict.fromkeys(IDENTITY, "")), profile=OHIF))
    assert all(not ds[keyword].value for ds in (seg, sr) for keyword in IDENTITY)


def test_unusable_values_are_left_out_and_identifying_ones_kept(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    content = path.read_bytes()
    for ours, theirs in ((b"19600229", b"1960-2-9"), (b"081500", b"8.15pm"), (b"066Y", b"old ")):
        content = content.replace(ours, theirs)
    path.write_bytes(content.replace(b"PLANTED-ID", b"../../etc/"))
    request = made.request((path,), (made.image(sources.uid()),))
    for ds in map(read, encode(request, profile=OHIF)):
        assert ds.PatientID == "../../etc/"
        assert not ds.PatientBirthDate and not ds.StudyTime and "PatientAge" not in ds


@pytest.mark.parametrize(
    "offset", ["UTC", "+02:00", "+2", "+2500", "+1401", "-1201", "+0260", "-0000", "0200", "+02x0"]
)
def test_an_offset_from_utc_of_another_form_counts_as_absent(tmp_path: Path, offset: str) -> None:
    request = one_image(tmp_path, TimezoneOffsetFromUTC=offset)
    refused = DeclinedImage(sources.uid(), Reason.ANALYSIS_FAILED, "")
    for asked in (request, made.request(made.paths_of(request), (), refused)):
        for ds in map(read, encode(asked, profile=OHIF)):
            assert "TimezoneOffsetFromUTC" not in ds
            assert ds.ContentTime == "081630"


@pytest.mark.parametrize(("offset", "time"), [("+1400", "221630"), ("-1200", "201630"), ("+0530", "134630")])
def test_times_are_in_the_time_zone_of_the_source(tmp_path: Path, offset: str, time: str) -> None:
    for ds in map(read, encode(one_image(tmp_path, TimezoneOffsetFromUTC=offset), profile=OHIF)):
        assert (offset, time) == (ds.TimezoneOffsetFromUTC, ds.ContentTime)


def test_values_that_look_like_paths_stay_values(tmp_path: Path) -> None:
    names = sorted(p.name for p in tmp_path.parent.iterdir())
    request = one_image(
        tmp_path, PatientID="../../../tmp/x", PatientName="/etc/passwd^..", AccessionNumber="../..", StudyID=".."
    )
    sr = report_of(encode(request, profile=OHIF))
    assert (sr.PatientID, sr.AccessionNumber, sr.StudyID) == ("../../../tmp/x", "../..", "..")
    assert sorted(p.name for p in tmp_path.parent.iterdir()) == names


@pytest.mark.parametrize("spacing", [["0.000", "0.000"], ["-1", "0.2"]])
def test_an_impossible_spacing_is_not_repeated(tmp_path: Path, spacing: list[str]) -> None:
    request = one_image(tmp_path, sop_class=sources.SC, PixelSpacing=spacing)
    strict, ohif = (read(encode(request, profile=profile)[0]) for profile in (STRICT, OHIF))
    assert "PixelMeasuresSequence" not in strict.SharedFunctionalGroupsSequence[0]
    # What OHIF takes for an image without spacing: it does not load the SEG without any.
    assert ohif.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [1, 1]


def test_private_attributes_are_not_repeated(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    (path,) = made.paths_of(request)
    ds = dcmread(path)
    ds.private_block(0x0011, "PLANTED", create=True).add_new(1, "LO", "PLANTED-PRIVATE")
    ds.save_as(path)
    request = made.request((path,), request.images)
    assert all(b"PLANTED-PRIVATE" not in r.content for r in encode(request, profile=OHIF))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        *((keyword, value) for keyword in ("PatientBirthDate", "StudyDate") for value in NO_DATES),
        *(("StudyTime", value) for value in ("1000-1200", "2400", "101160", "10:11", "1011.5")),
        ("PatientOrientation", "X\\Y"),
        ("PatientOrientation", "L\\L"),
        ("PatientOrientation", "L\\R"),
        ("PatientOrientation", "LFHARP\\FLLL"),
    ],
)
def test_a_value_of_another_form_counts_as_absent_and_the_study_is_answered(
    tmp_path: Path, keyword: str, value: str
) -> None:
    path = sources.source(tmp_path)
    raw = dcmread(path)
    raw.add(DataElement(keyword, dictionary_VR(keyword), value.split("\\"), validation_mode=config.IGNORE))
    raw.save_as(path)
    results = encode(made.request((path,), (made.image(sources.uid()),)), profile=BUILT_IN["complete"])
    for result in results:
        assert not read(result).get(keyword), result.kind
    declined = (DeclinedImage(sources.uid(), Reason.ANALYSIS_FAILED, ""),)
    (answer,) = encode(replace(made.request((path,), ()), declined=declined), profile=OHIF)
    assert not read(answer).get(keyword)


@pytest.mark.parametrize("value", ["0\\0\\0\\0\\0\\0", "1\\0\\0\\1\\0\\0", "1e300\\0\\0\\0\\1\\0"])
def test_a_position_without_two_directions_at_a_right_angle_is_none(tmp_path: Path, value: str) -> None:
    position = {"FrameOfReferenceUID": "1.2.3", "ImagePositionPatient": [0, 0, 0], "PixelSpacing": ["0.4", "0.4"]}
    path = sources.source(tmp_path, **position, ImageOrientationPatient=value.split("\\"))
    (source,) = read_sources([path])
    assert "ImagePositionPatient" not in source.header
    assert "ImageOrientationPatient" not in source.header


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        ({"UniversalEntityID": "1.2.3"}, False),
        ({"UniversalEntityIDType": "ISO"}, False),
        ({"LocalNamespaceEntityID": "A", "UniversalEntityID": "1.2.3"}, False),
        ({"LocalNamespaceEntityID": "A"}, True),
        ({"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}, True),
    ],
)
def test_an_issuer_of_the_accession_number_is_whole_or_absent(tmp_path: Path, item: dict[str, str], kept: bool) -> None:
    issuer = Dataset()
    for keyword, value in item.items():
        setattr(issuer, keyword, value)
    (source,) = read_sources([sources.source(tmp_path, IssuerOfAccessionNumberSequence=[issuer])])
    assert ("IssuerOfAccessionNumberSequence" in source.header) is kept
