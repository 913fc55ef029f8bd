"""Languages of the texts: every table is whole, has the placeholders of the English sentences, and is used."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import get_args

import numpy as np
import pytest
from pydicom.dataset import Dataset

from models.bundle import store
from models.bundle.intended_use import CHEST_TASKS
from models.chest.analyser import measurements
from models.chest.anatomy import Box, Size
from models.image.pixels import Radiograph
from models.values import codes
from models.values.findings import BundleIdentity, Gate, NotComputedReason, Point
from node.delivery.profiles import OHIF, STRICT, Profile
from node.reasons import Reason
from tests.support.data import sources
from tests.support.paths import ROOT
from tests.support.results import result_requests as made
from tests.support.results.encoded import answers, code_of, items, named, one_image, read, report_of
from workers.results.encode import encode
from workers.results.request import DeclinedImage, ResultRequest
from workers.results.text import vocabulary
from workers.results.text.languages.known import LANGUAGES, language
from workers.results.text.languages.language import ENGLISH, Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.wording import display_name, finding_sentence, measurement_sentence

OTHERS = {tag: found for tag, found in LANGUAGES.items() if found is not ENGLISH}
WORKERS = ROOT / "workers"
TERM = re.compile(r'words\.term\("([^"]+)"\)')
FIXED = {
    "series",
    "image",
    "UID ending in",
    "Result of automatic analysis",
    "There is no room for more here: the structured report has it all.",
    "STAT study, nothing found above a threshold",
}


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _labels() -> set[str]:
    """Return every name of the shipped bundles and of what is measured on lungs and heart."""
    point = Point(0.0, 0.0)
    size = Size(1, 2, 3, 4, Box(0, 0, 1, 1), (point, point), (point, point))
    found = measurements(size, Radiograph(np.zeros((2, 2), np.float32)), BundleIdentity("", "", ""))
    shipped = [b.manifest for b in store.find(store.shipped()) if b.manifest.task in CHEST_TASKS]
    names = {label.name for manifest in shipped for label in manifest.labels} | {m.name for m in shipped}
    return {display_name(name) for name in names | {m.label for m in found}}


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_every_sentence_is_in_every_table_with_the_same_placeholders(words: Language) -> None:
    assert set(words.sentences) == {sentence.value for sentence in Sentence}
    for english, text in words.sentences.items():
        assert _placeholders(text) == _placeholders(english), english
        assert text[-1] != "." or english[-1] == ".", english


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_every_name_reason_and_heading_is_in_every_table(words: Language) -> None:
    headings = {found for path in WORKERS.rglob("*.py") for found in TERM.findall(path.read_text(encoding="utf-8"))}
    assert {"Findings", "Measurements"} <= headings
    needed = _labels() | set(vocabulary.REASON_MEANINGS.values()) | headings | FIXED
    assert needed - set(words.terms) == set()


def test_a_profile_may_have_every_language_and_no_other() -> None:
    assert set(get_args(Profile.model_fields["language"].annotation)) == set(LANGUAGES)
    assert [language(tag).code.value for tag in ("en", "de", "fr")] == ["en", "de", "fr"]
    with pytest.raises(ValueError, match="language"):
        Profile(name="latin", language="la")


def test_what_a_table_lacks_stays_english() -> None:
    bare = Language(codes.Code("xx", "RFC5646", "None"))
    finding = made.image("1").findings[0]
    assert finding_sentence(finding, bare) == finding_sentence(finding)


@pytest.mark.parametrize(
    ("tag", "said"), [("en", "1,234,567 pixels"), ("de", "1.234.567 Pixel"), ("fr", "1\u202f234\u202f567 pixels")]
)
def test_numbers_are_written_as_in_the_language(tag: str, said: str) -> None:
    area = replace(made.image("1").measurements[3], value=1234567.0, unit=codes.SQUARE_PIXEL, label="right-lung area")
    assert measurement_sentence(area, language(tag)).endswith(said)


def _request(folder: Path) -> ResultRequest:
    request = made.diseases((sources.source(folder, ViewPosition="AP"),), made.with_doubt(made.image(sources.uid())))
    image = made.with_pneumothorax(request.images[0], codes.LEFT)
    named_as_measured = tuple(
        replace(m, label=f"transverse {m.label.lower()}") if m.code == codes.WIDTH else m for m in image.measurements
    )
    image = replace(image, measurements=named_as_measured)
    return replace(request, images=(image,))


GERMAN = OHIF.model_copy(update={"name": "deutsch", "language": "de"})


def test_a_german_report_is_german_in_words_and_the_same_in_codes_and_numbers(tmp_path: Path) -> None:
    request = _request(tmp_path)
    german, english = (report_of(encode(request, profile=profile)) for profile in (GERMAN, OHIF))
    assert (answers(german, "121049"), answers(english, "121049")) == (["de"], ["en"])
    said = [str(i.TextValue) for i in named(german, vocabulary.SUMMARY.value)]
    assert (
        "Pneumothorax: unbestimmt (die kalibrierte Wahrscheinlichkeit 0,207 liegt zwischen 0,170 und 0,240, "
        "wo der Schwellenwert 0,200 selbst unsicher ist)"
    ) in said
    assert "Pneumothorax, Anteil an der linken Lunge: 8,2 %" in said
    assert "Pneumothorax: vorhanden links (kalibrierte Wahrscheinlichkeit 0,910, " in "\n".join(said)
    assert any(line.startswith("AP-Aufnahme, oft am Bett") for line in said)
    assert _for_machines(german) == _for_machines(english)


def _for_machines(sr: Dataset) -> list[tuple[str, object]]:
    """Return what a program reads of a report, but for its language."""
    found: list[tuple[str, object]] = []
    for item in items(sr):
        name = code_of(item.ConceptNameCodeSequence[0])
        match item.ValueType:
            case "CODE" if name != "121049":
                found.append((name, code_of(item.ConceptCodeSequence[0])))
            case "NUM":
                found.append((name, float(item.MeasuredValueSequence[0].NumericValue)))
            case "SCOORD":
                found.append((name, list(item.GraphicData)))
    return found


@pytest.mark.parametrize("tag", OTHERS)
@pytest.mark.parametrize("profile", [OHIF, STRICT], ids=["ohif", "strict"])
def test_no_english_sentence_is_left_in_a_translated_report(tmp_path: Path, profile: Profile, tag: str) -> None:
    request = _request(tmp_path)
    translated = profile.model_copy(update={"name": tag, "language": tag})
    mine, english = (
        {str(i.TextValue) for i in items(report_of(encode(request, profile=p))) if i.ValueType == "TEXT"}
        for p in (translated, profile)
    )
    # What comes from elsewhere stays: names and versions of algorithms, rules of thresholds, details of the models.
    rules = {finding.threshold_rule for image in request.images for finding in image.findings}
    left = {text for text in mine & english if " " in text and text not in rules and "sha256" not in text}
    tracking = {i.TextValue for i in named(report_of(encode(request, profile=profile)), "112039")}
    assert left - tracking == {"Inverted: MONOCHROME1."}


DETAILS = (
    "two lungs were found (distance 0.99, at most 2.83)",
    "unlike known chests (distance 3.10, at most 2.83)",
    "intended for ages from 1 to under 6 years",
    "less than 0.50% of the picture is above 0.7",
    "absent by the classifier pneumothorax: pneumothorax",
    "5 frames",
)


def _with_details(folder: Path) -> ResultRequest:
    """Return a request whose every detail is one of `DETAILS`."""
    passed, refused, age, outline, absent, frames = DETAILS
    paths = tuple(sources.source(folder, number=number) for number in (1, 2, 3))
    uids = [sources.uid(number) for number in (1, 2, 3)]
    image = made.with_pneumothorax_not_outlined(made.image(uids[0]))
    image = made.with_outline_not_computed(image, NotComputedReason.NOT_FOUND_BY_CLASSIFIER)
    image = replace(
        image,
        gate=Gate(None, passed),
        segmentation_empty=tuple(replace(one, detail=outline) for one in image.segmentation_empty),
        not_computed=tuple(
            replace(one, detail=detail) for one, detail in zip(image.not_computed, (age, absent), strict=True)
        ),
    )
    gated = replace(made.refused(uids[1]), gate=Gate(NotComputedReason.NOT_A_CHEST, refused))
    declined = DeclinedImage(uids[2], Reason.MULTI_FRAME, frames)
    return replace(made.diseases(paths, image, gated), declined=(declined,))


def _said(request: ResultRequest, profile: Profile) -> str:
    sr = report_of(encode(request, profile=profile))
    return "\n".join(str(item.TextValue) for item in items(sr) if item.ValueType == "TEXT").lower()


@pytest.mark.parametrize("tag", OTHERS)
def test_a_translated_sentence_bears_no_english_detail(tmp_path: Path, tag: str) -> None:
    request = _with_details(tmp_path)
    english = _said(request, OHIF)
    assert [detail for detail in DETAILS if detail not in english] == []
    translated = _said(request, OHIF.model_copy(update={"name": tag, "language": tag}))
    assert [detail for detail in DETAILS if detail in translated] == []
    for reason in ("Age outside the intended use", "More than one frame", "Not a frontal chest radiograph"):
        assert LANGUAGES[tag].term(reason).lower() in translated


def test_a_detail_that_is_a_term_is_said_in_every_language() -> None:
    assert [words.detail("no lung was found") for words in LANGUAGES.values()] == [
        "no lung was found",
        "keine Lunge gefunden",
        "aucun poumon n'a été trouvé",
    ]


def test_labels_of_segments_stay_english_with_their_tracking(tmp_path: Path) -> None:
    seg = read(encode(one_image(tmp_path), profile=GERMAN)[0])
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["Right lung", "Left lung", "Heart"]
