"""How a threshold was chosen is said in every language, for every rule that training or a site can give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import site, store
from node.delivery.profiles import OHIF
from tests.support.results.encoded import named, one_image, report_of
from training.config import ThresholdRule
from training.measures.thresholds import choose
from workers.results.encode import encode
from workers.results.text import vocabulary
from workers.results.text.languages.known import LANGUAGES, language
from workers.results.text.languages.language import ENGLISH
from workers.results.text.threshold_rules import rule_text

OTHERS = [tag for tag, words in LANGUAGES.items() if words is not ENGLISH]
CLASSIFIERS = [b for b in store.find(store.shipped()) if b.manifest.task == "classification"]
RULES = {
    "sensitivity": ThresholdRule(kind="target-sensitivity", value=0.9),
    "specificity": ThresholdRule(kind="target-specificity", value=0.75),
    "youden": ThresholdRule(kind="youden"),
    "youden with a floor": ThresholdRule(kind="youden", sensitivity_at_least=0.985),
    "cost": ThresholdRule(kind="cost", cost_ratio=5),
    "cost at a prevalence": ThresholdRule(kind="cost", cost_ratio=2.5, prevalence=0.001),
    "fixed": ThresholdRule(kind="fixed", value=0.5),
}
ENGLISH_WORDS = ("threshold", "highest", "least", "images (", "validation images", "fixed", "set by", "specificity")


@pytest.mark.parametrize("tag", OTHERS)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_of_training_is_said_in_every_language(rule: ThresholdRule, tag: str) -> None:
    point = choose(rule, np.linspace(0.01, 0.99, 40), np.arange(40) > 15, label="x")
    _is_translated(point.rule, tag)


@pytest.mark.parametrize("tag", OTHERS)
def test_every_rule_of_the_shipped_classifiers_is_said_in_every_language(tag: str) -> None:
    points = [point for shipped in CLASSIFIERS for point in shipped.manifest.operating_points]
    assert len(points) >= 8
    for point in points:
        _is_translated(point.rule, tag)


@pytest.mark.parametrize("tag", OTHERS)
@pytest.mark.parametrize("given", [0.3, "0.5"])
def test_a_sites_own_threshold_is_said_in_every_language(given: float | str, tag: str) -> None:
    (chosen,) = [b for b in CLASSIFIERS if b.manifest.name == "pneumothorax"]
    changed = site.configured(chosen, {"pneumothorax": given})
    rule = changed.manifest.operating_point("pneumothorax").rule
    assert rule.startswith("set by this site's configuration")
    _is_translated(rule, tag)


def _is_translated(english: str, tag: str) -> None:
    said = rule_text(english, language(tag))
    assert [word for word in ENGLISH_WORDS if word in said] == [], said
    assert _digits(said) == _digits(english), "every number, in whatever order"
    assert "." not in said.replace("'0.5'", ""), "numbers with the language's decimal mark"


def _digits(text: str) -> list[str]:
    return sorted(character for character in text if character.isdigit())


def test_a_rule_reads_as_people_of_the_language_say_it() -> None:
    english = "highest threshold with sensitivity at least 0.93 on 516 validation images (153 positive): "
    english += "sensitivity 0.935, specificity 0.730"
    assert rule_text(english, ENGLISH) == english
    assert rule_text(english, language("de")) == (
        "höchster Schwellenwert mit einer Sensitivität von mindestens 0,93, bestimmt an 516 Validierungsbildern "
        "(153 positiv): Sensitivität 0,935, Spezifität 0,730"
    )
    assert rule_text(english, language("fr")) == (
        "seuil le plus élevé ayant une sensibilité d'au moins 0,93, déterminé sur 516 images de validation "
        "(153 positives) : sensibilité 0,935, spécificité 0,730"
    )


@pytest.mark.parametrize("text", ["Chosen by a committee.", "", "highest Youden index on the moon: sensitivity 1"])
def test_a_rule_of_another_form_stays_as_it_is(text: str) -> None:
    assert [rule_text(text, words) for words in LANGUAGES.values()] == [text] * len(LANGUAGES)


@pytest.mark.parametrize("tag", OTHERS)
def test_a_report_says_rule_and_intended_use_in_its_language(tmp_path: Path, tag: str) -> None:
    request = one_image(tmp_path)
    (image,) = request.images
    rule = CLASSIFIERS[0].manifest.operating_points[0].rule
    image = replace(image, findings=tuple(replace(finding, threshold_rule=rule) for finding in image.findings))
    translations = {"de": "Nur an Erwachsenen.", "fr": "Adultes."}
    uses = tuple(replace(use, translations=translations) for use in request.intended_use)
    profile = OHIF.model_copy(update={"name": tag, "language": tag})
    sr = report_of(encode(replace(request, images=(image,), intended_use=uses), profile=profile))
    said = {str(item.TextValue) for item in named(sr, vocabulary.THRESHOLD_RULE.value)}
    assert said == {rule_text(rule, language(tag))} != {rule}
    (use,) = named(sr, vocabulary.INTENDED_USE.value)
    assert str(use.TextValue).startswith(f"pneumonia: {translations[tag]}")


def test_a_statement_that_has_no_translation_stays_as_its_maker_wrote_it(tmp_path: Path) -> None:
    profile = OHIF.model_copy(update={"name": "de", "language": "de"})
    (use,) = named(report_of(encode(one_image(tmp_path), profile=profile)), vocabulary.INTENDED_USE.value)
    assert str(use.TextValue).startswith("pneumonia: Research on adults, frontal view.")
