"""What people read: names, rounded numbers, and what to doubt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.values import codes
from models.values.codes import Code
from models.values.findings import Finding, ImageFindings, Measurement, NotComputed, NotComputedReason
from node.delivery.profiles import OHIF, STRICT
from node.dicom.terminology import PRIVATE_CODES
from node.reasons import Reason
from tests.support.data import sources
from tests.support.data.sources import read_sources
from tests.support.paths import DOCS
from tests.support.results import result_requests as made
from tests.support.results.encoded import answers, named, one_image, read, report_of
from workers.results.encode import encode
from workers.results.request import DeclinedImage, ResultRequest
from workers.results.text import vocabulary
from workers.results.text.languages.sentences import Sentence
from workers.results.text.summary import summary
from workers.results.text.wording import display_name, finding_sentence, measurement_sentence, sentence, study_status


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("right-lung", "Right lung"),
        ("heart", "Heart"),
        ("pleural_effusion", "Pleural effusion"),
        ("Pneumonia (paediatric)", "Pneumonia (paediatric)"),
        ("T-shaped Structure", "T-shaped Structure"),
        ("", ""),
    ],
)
def test_labels_read_as_words(label: str, name: str) -> None:
    assert display_name(label) == name
    assert display_name(name) == name


def test_a_sentence_has_a_capital_and_a_full_stop() -> None:
    assert [sentence(text) for text in ("two  lungs", "View LL.", "")] == ["Two lungs.", "View LL.", ""]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.46789, codes.RATIO, "0.47"),
        (258.75, codes.MILLIMETRE, "259 mm"),
        (201.26, codes.SQUARE_CENTIMETRE, "201 cm²"),
        (1234567.0, codes.SQUARE_PIXEL, "1,234,567 pixels"),
        (123456.78, codes.Code("a", "UCUM", "year"), "123,456.8 year"),
    ],
)
def test_numbers_are_rounded_to_what_a_reader_can_use(value: float, unit: Code, said: str) -> None:
    measured = Measurement("lung-area", codes.AREA, value, unit, codes.LUNG, None, made.LUNGS)
    assert measurement_sentence(measured) == f"Lung area: {said}"


def test_a_tiny_probability_has_no_exponent() -> None:
    finding = Finding("pneumonia", codes.PNEUMONIA, 1e-7, 0.5, "", made.PNEUMONIA)
    assert finding_sentence(finding) == "Pneumonia: absent (calibrated probability 0.000, below the threshold 0.500)"


def test_machine_labels_are_words_in_every_result_and_keep_their_tracking_uid(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    image = request.images[0]
    segments = tuple(
        replace(s, label=label) for s, label in zip(image.segments, ("right-lung", "left-lung", "heart"), strict=True)
    )
    request = replace(request, images=(replace(image, segments=segments),))
    seg, sr = map(read, encode(request, profile=OHIF))
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["Right lung", "Left lung", "Heart"]
    assert seg.SegmentSequence[0].TrackingID == "Right lung, series 1 image 1"
    assert {s.TrackingUID for s in seg.SegmentSequence} <= {i.UID for i in named(sr, "112040")}
    assert [s["label"] for s in summary(request)["images"][0]["structures"]] == ["Right lung", "Left lung", "Heart"]
    assert not any("-lung" in str(i.get("TextValue", "")) for i in named(sr, "112039"))


def test_two_images_with_the_same_numbers_have_different_names(tmp_path: Path) -> None:
    paths = tuple(sources.source(tmp_path, number=n, SeriesNumber=1) for n in (1, 2))
    request = made.request(paths, tuple(made.image(sources.uid(n)) for n in (1, 2)))
    first, second, sr = map(read, encode(request, profile=OHIF))
    identifiers = [i.TextValue for i in named(sr, "112039")]
    assert len(set(identifiers)) == len(identifiers)
    assert first.SegmentSequence[0].TrackingID == "Right lung, series 1 image 1 (UID ending in 98.1.3.1)"
    assert {s.TrackingID for ds in (first, second) for s in ds.SegmentSequence} <= set(identifiers)


def test_short_uids_that_end_alike_are_told_apart(tmp_path: Path) -> None:
    uids = ("1.2.3", "1.3.3")
    paths = []
    for number, uid in enumerate(uids, start=1):
        paths.append(sources.source(tmp_path, number=number, SeriesNumber=1, SOPInstanceUID=uid))
    assert [s.name for s in read_sources(paths)] == [f"series 1 image 1 (UID ending in {uid})" for uid in uids]


def test_details_begin_with_a_capital_after_a_full_stop(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    image = replace(request.images[0], gate=replace(request.images[0].gate, detail="two lungs found"))
    sr = report_of(encode(replace(request, images=(image,)), profile=OHIF))
    assert named(sr, vocabulary.COMMENT.value)[0].TextValue == "Analysed. Two lungs found."


def _notes(request: ResultRequest) -> tuple[list[str], list[str], list[str]]:
    """Return what report and summary say of the pixels, and the sentences of the summary."""
    sr = report_of(encode(request, profile=OHIF))
    found = summary(request)
    return (
        [str(i.TextValue) for i in named(sr, vocabulary.PIXEL_NOTE.value)],
        found["images"][0]["pixel_notes"],
        found["text"],
    )


@pytest.mark.parametrize(
    ("header", "calibrated"),
    [
        ({}, False),
        ({"PixelSpacing": ["0.18", "0.18"]}, True),
        ({"PixelSpacingCalibrationType": "FIDUCIAL"}, True),
        ({"PixelSpacing": ["0", "0"], "PixelSpacingCalibrationType": "FIDUCIAL"}, False),
    ],
    ids=["as the detector's", "corrected", "fiducial", "impossible"],
)
def test_uncalibrated_lengths_are_said_to_be_at_the_detector(
    tmp_path: Path, header: dict[str, object], calibrated: bool
) -> None:
    of_report, of_summary, text = _notes(one_image(tmp_path, **header))
    said = sentence(Sentence.AT_THE_DETECTOR)
    assert (said in of_report, Sentence.AT_THE_DETECTOR in of_summary, said in text) == (not calibrated,) * 3


def test_a_study_without_lengths_says_nothing_of_the_detector(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    request = replace(request, images=(made.without_segments(request.images[0]),))
    assert not any(Sentence.AT_THE_DETECTOR in note for notes in _notes(request) for note in notes)


@pytest.mark.parametrize(
    ("width_mm", "age", "doubted"),
    [(131.0, "066Y", True), (500.0, "066Y", True), (258.0, "066Y", False), (131.0, "004Y", False), (131.0, "", True)],
)
def test_an_implausible_thorax_of_an_adult_is_doubted(tmp_path: Path, width_mm: float, age: str, doubted: bool) -> None:
    request = one_image(tmp_path, PatientAge=age)
    image = request.images[0]
    measurements = tuple(
        replace(m, value=width_mm) if m.finding_site == codes.THORAX else m for m in image.measurements
    )
    request = replace(request, images=(replace(image, measurements=measurements),))
    said = f"Thoracic diameter of {width_mm:.0f} mm is implausible: the pixel spacing of the source may be wrong"
    of_report, of_summary, text = _notes(request)
    assert (f"{said}." in of_report, said in of_summary, f"{said}." in text) == (doubted,) * 3


def test_a_child_is_known_by_birth_and_study_date(tmp_path: Path) -> None:
    path = sources.source(tmp_path, drop=("PatientAge",), PatientBirthDate="20240101")
    assert read_sources((path,))[0].is_child


def _with(image: ImageFindings, reason: NotComputedReason) -> ResultRequest:
    not_run = NotComputed(made.PNEUMONIA, "pneumonia", reason, "")
    return made.request((), (replace(image, not_computed=(not_run,)),))


def test_an_algorithm_that_is_not_intended_for_the_patient_does_not_make_a_study_partial() -> None:
    request = _with(made.image("1.2.3"), NotComputedReason.AGE_OUTSIDE_INTENDED_USE)
    assert study_status(request) == vocabulary.SUCCEEDED
    assert study_status(_with(made.image("1.2.3"), NotComputedReason.LUNGS_IMPLAUSIBLE)) == (
        vocabulary.PARTIALLY_SUCCEEDED
    )
    declined = DeclinedImage("1.2.4", Reason.UNDECODABLE, "")
    assert study_status(replace(request, declined=(declined,))) == vocabulary.PARTIALLY_SUCCEEDED


def test_a_study_for_which_no_algorithm_is_intended_was_not_attempted(tmp_path: Path) -> None:
    path = sources.source(tmp_path)
    nothing = ImageFindings(sources.uid(), made.image(sources.uid()).gate)
    request = replace(_with(nothing, NotComputedReason.AGE_OUTSIDE_INTENDED_USE), sources=read_sources((path,)))
    sr = report_of(encode(request, profile=STRICT))
    assert set(answers(sr, vocabulary.SUMMARY_OF_ANALYSES.value)) == {vocabulary.NOT_ATTEMPTED.value}
    said = "Not analysed: no algorithm is intended for this image. Frontal chest radiograph with two lungs."
    assert said in [i.TextValue for i in named(sr, vocabulary.COMMENT.value)]


def test_the_page_on_the_report_lists_every_private_code_with_its_meaning() -> None:
    page = (DOCS / "report.md").read_text(encoding="utf-8")
    private = {f"| {value} | {meaning} |" for value, meaning in PRIVATE_CODES.items()}
    table = page.partition("## Codes of the private scheme")[2]
    listed = {line for line in table.splitlines() if line.startswith("| ") and line != "| code | meaning |"}
    assert listed == private
