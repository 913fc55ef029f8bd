"""How a report says a finding: decision, calibrated probability, threshold, and where that is uncertain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from models.values import codes
from models.values.findings import Finding
from node.delivery.profiles import OHIF
from tests.support.results import result_requests as made
from tests.support.results.encoded import answers, measurement_groups, named, one_image, report_of
from workers.results.encode import encode
from workers.results.readback import findings_of_segs
from workers.results.text import vocabulary
from workers.results.text.summary import summary
from workers.results.text.wording import finding_sentence

RULE = "highest threshold with sensitivity at least 0.93"
DOUBTFUL = Finding(
    "pneumothorax", codes.PNEUMOTHORAX, 0.207, 0.2, RULE, made.CLASSIFIER, indeterminate_range=(0.17, 0.24)
)
SAID = (
    "Pneumothorax: indeterminate (calibrated probability 0.207 lies between 0.170 and 0.240, "
    "where the threshold of 0.200 is itself uncertain)"
)


def _group(folder: Path, finding: Finding) -> tuple[Dataset, list[str]]:
    """Return the group of a finding in the report, and the sentences of the summary."""
    request = one_image(folder)
    request = replace(
        request, images=(replace(request.images[0], findings=(finding,)),), bundles=(made.LUNGS, made.CLASSIFIER)
    )
    groups = measurement_groups(report_of(encode(request, profile=OHIF)))
    return next(g for g in groups if answers(g, "121071") == [finding.code.value]), summary(request)["text"]


def _number(group: Dataset, name: codes.Code) -> list[float]:
    return [float(item.MeasuredValueSequence[0].NumericValue) for item in named(group, name.value)]


def test_an_uncertain_threshold_makes_a_finding_indeterminate_in_codes_numbers_and_words(tmp_path: Path) -> None:
    group, text = _group(tmp_path, DOUBTFUL)
    assert answers(group, codes.PNEUMOTHORAX.value) == [vocabulary.UNDETERMINED.value]
    assert _number(group, vocabulary.PROBABILITY) == [0.207]
    assert _number(group, vocabulary.THRESHOLD) == [0.2]
    assert (_number(group, vocabulary.DOUBT_FROM), _number(group, vocabulary.DOUBT_BELOW)) == ([0.17], [0.24])
    assert [i.TextValue for i in named(group, vocabulary.COMMENT.value)] == [
        SAID,
        "The threshold is uncertain between 0.170 and 0.240: for a probability in that range the finding is called "
        "indeterminate, neither present nor absent.",
    ]
    assert SAID in text


@pytest.mark.parametrize(
    ("probability", "answer"),
    [(0.169, vocabulary.ABSENT), (0.17, vocabulary.UNDETERMINED), (0.24, vocabulary.PRESENT)],
)
def test_outside_of_the_range_the_threshold_decides(tmp_path: Path, probability: float, answer: codes.Code) -> None:
    group, _ = _group(tmp_path, replace(DOUBTFUL, probability=probability))
    assert answers(group, codes.PNEUMOTHORAX.value) == [answer.value]


def test_without_a_known_range_there_is_none_in_the_report(tmp_path: Path) -> None:
    group, _ = _group(tmp_path, replace(DOUBTFUL, indeterminate_range=None))
    assert answers(group, codes.PNEUMOTHORAX.value) == [vocabulary.PRESENT.value]
    assert named(group, vocabulary.DOUBT_FROM.value) == []
    assert len(named(group, vocabulary.COMMENT.value)) == 1


def test_the_report_says_how_probability_and_threshold_came_about(tmp_path: Path) -> None:
    group, _ = _group(tmp_path, DOUBTFUL)
    (probability,) = named(group, vocabulary.PROBABILITY.value)
    assert answers(probability, "370129005") == [vocabulary.CALIBRATED.value]
    assert [i.TextValue for i in named(group, vocabulary.THRESHOLD_RULE.value)] == [RULE]


def test_an_indeterminate_finding_has_its_side_too() -> None:
    said = finding_sentence(replace(DOUBTFUL, laterality=codes.LEFT))
    assert said.startswith("Pneumothorax: indeterminate on the left (calibrated probability 0.207 lies between")


def test_a_stored_report_gives_the_same_decision_back(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    image = replace(request.images[0], findings=(DOUBTFUL,))
    paths = []
    for number, result in enumerate(encode(replace(request, images=(image,)), profile=OHIF)):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(result.content)
    (found,) = findings_of_segs(paths[:-1], paths[-1]).findings
    assert (found.decision, found.indeterminate_range, found.threshold) == (
        DOUBTFUL.decision,
        DOUBTFUL.indeterminate_range,
        DOUBTFUL.threshold,
    )
    assert found.threshold_rule == RULE


def test_the_summary_has_decision_and_range(tmp_path: Path) -> None:
    request = one_image(tmp_path)
    (found,) = summary(replace(request, images=(replace(request.images[0], findings=(DOUBTFUL,)),)))["images"]
    (finding,) = found["findings"]
    assert (finding["decision"], finding["present"], finding["doubt"]) == ("indeterminate", False, [0.17, 0.24])
