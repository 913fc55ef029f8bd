"""What every report says of its limits, and of what was not analysed."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest

from models.values.findings import NotComputed, NotComputedReason
from node.delivery.profiles import OHIF, STRICT, Profile
from tests.support.data import sources
from tests.support.results import result_requests as made
from tests.support.results.encoded import answers, measurement_groups, named, one_image, report_of
from workers.results.encode import encode
from workers.results.request import UseStatement
from workers.results.text import vocabulary
from workers.results.text.summary import summary
from workers.results.text.wording import intended_use_sentence


@pytest.mark.parametrize("profile", [OHIF, STRICT], ids=["ohif", "strict"])
def test_every_report_says_that_it_is_not_for_clinical_use_and_names_its_algorithms(
    tmp_path: Path, profile: Profile
) -> None:
    limits = [i.TextValue for i in named(report_of(encode(one_image(tmp_path), profile=profile)), "LIMITS")]
    assert limits[-1].startswith("Research use only - not for clinical use. Preliminary, made by software")
    assert "(lungs-heart 2.0.1, pneumonia 1.2.0)" in limits[-1]
    assert limits[-2].startswith("The probability is calibrated")


def test_a_report_without_findings_says_nothing_of_probabilities(tmp_path: Path) -> None:
    request = made.request((sources.source(tmp_path),), (made.refused(sources.uid()),))
    assert len(named(report_of(encode(request, profile=STRICT)), "LIMITS")) == 1


def test_a_report_that_is_read_as_text_begins_with_the_result_and_what_it_is_not_for(tmp_path: Path) -> None:
    report = report_of(encode(one_image(tmp_path), profile=OHIF))
    language, *items = report.ContentSequence
    assert language.ConceptNameCodeSequence[0].CodeValue == "121049"
    first = list(takewhile(lambda i: i.ValueType == "TEXT", items))
    assert [i.ConceptNameCodeSequence[0].CodeMeaning for i in first[:-1]] == ["Summary"] * (len(first) - 1)
    assert first[0].TextValue.startswith("Pneumonia: present")
    assert first[-1].TextValue.startswith("Research use only - not for clinical use.")
    summary_lines = named(report, vocabulary.SUMMARY.value)
    assert [i.TextValue for i in summary_lines] == [i.TextValue for i in first[:-1]]


def test_another_report_has_the_result_among_its_evaluations(tmp_path: Path) -> None:
    report = report_of(encode(one_image(tmp_path), profile=STRICT))
    said = vocabulary.SUMMARY.value
    assert said not in [i.ConceptNameCodeSequence[0].CodeValue for i in report.ContentSequence]
    assert named(report.ContentSequence[-1], said)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (UseStatement("a", "For trying out."), "a: For trying out."),
        (UseStatement("a", "For trying out", 16.0), "a: For trying out. Intended for ages from 16 years."),
        (
            UseStatement("a", "For trying out.", 1.0, 6.0, ("AP", "PA")),
            "a: For trying out. Intended for ages from 1 to under 6 years. Views AP, PA.",
        ),
    ],
    ids=["nothing said", "no upper limit", "both limits and views"],
)
def test_the_intended_age_is_said_in_words(use: UseStatement, said: str) -> None:
    assert intended_use_sentence(use) == said


def test_report_and_summary_have_the_intended_age(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    (said,) = [i.TextValue for i in named(report_of(encode(request, profile=OHIF)), vocabulary.INTENDED_USE.value)]
    assert said == "pneumonia: Research on adults, frontal view. Intended for ages from 16 years. Views PA, AP."
    by_name = {algorithm["name"]: algorithm for algorithm in summary(request)["algorithms"]}
    assert by_name["pneumonia"]["intended_age_years"] == [16.0, None]
    assert by_name["lungs-heart"]["intended_age_years"] is None


@pytest.mark.parametrize("reason", NotComputedReason)
def test_whatever_was_not_computed_has_its_coded_reason(tmp_path: Path, reason: NotComputedReason) -> None:
    request = one_image(tmp_path)
    item = NotComputed(made.PNEUMONIA, "adult pneumonia", reason, "why")
    image = replace(request.images[0], not_computed=(item,))
    sr = report_of(encode(replace(request, images=(image,)), profile=STRICT))
    (group,) = [g for g in measurement_groups(sr) if answers(g, vocabulary.NOT_COMPUTED_REASON.value)]
    assert answers(group, vocabulary.NOT_COMPUTED_REASON.value) == [reason.value]
    assert answers(group, vocabulary.SUMMARY_OF_ANALYSES.value) == [vocabulary.NOT_ATTEMPTED.value]
    meaning = vocabulary.reason_code(reason).meaning
    assert named(group, vocabulary.COMMENT.value)[0].TextValue == f"Adult pneumonia not computed: {meaning}. Why."
