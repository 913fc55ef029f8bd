"""Calibration and operating points: fitted on generated scores whose answer is known."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import ValidationError

from models.bundle.calibration import calibrated, sigmoid
from models.bundle.manifest import Calibration, OperatingPoint
from training.config import ThresholdRule
from training.measures import calibrate, scores, thresholds
from training.measures.scores import Scores


def given(temperature: float = 1.0, isotonic: tuple[tuple[float, float], ...] | None = None) -> Calibration:
    return Calibration(temperature=temperature, method="by hand", isotonic=isotonic)


def overconfident(count: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are three times too large, and the truth."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, count)
    return logits * 3, rng.random(count) < sigmoid(logits)


def test_a_temperature_divides_the_logits() -> None:
    logits = np.array([[-3.0, 0.0], [0.5, 100.0]], np.float32)
    np.testing.assert_allclose(calibrated(logits, given(temperature=2.0)), 1 / (1 + np.exp(-logits / 2)), atol=1e-12)
    assert calibrated(np.array([-1e9, 1e9]), given()).tolist() == [sigmoid(np.array(-60.0)), sigmoid(np.array(60.0))]


def test_a_table_follows_the_temperature_and_holds_at_its_ends() -> None:
    table = ((0.2, 0.1), (0.6, 0.5), (0.8, 0.9))
    logits = np.log(np.array([0.01, 0.2, 0.4, 0.7, 0.99]) / (1 - np.array([0.01, 0.2, 0.4, 0.7, 0.99])))
    found = calibrated(2 * logits, given(temperature=2.0, isotonic=table))
    np.testing.assert_allclose(found, [0.1, 0.1, 0.3, 0.7, 0.9], atol=1e-12)


def test_temperature_undoes_a_scaling_of_the_logits() -> None:
    logits, truth = overconfident()
    assert calibrate.temperature(logits, truth) == pytest.approx(3, rel=0.05)
    assert "20000 validation images" in calibrate.by_temperature(logits, truth).method


def test_either_calibration_lowers_the_error_on_other_images() -> None:
    logits, truth = overconfident()
    fitted, held_back = slice(0, 10000), slice(10000, None)

    def error(calibration: Calibration) -> float:
        probability = calibrated(logits[held_back], calibration)
        return scores.plain(scores.calibration_error, Scores(probability, truth[held_back], ()))

    before = error(given())
    for fit in (calibrate.by_temperature, calibrate.by_isotonic):
        assert error(fit(logits[fitted], truth[fitted])) < before / 3


def test_an_isotonic_table_rises_and_never_says_never() -> None:
    logits, truth = overconfident(500)
    pairs = calibrate.by_isotonic(logits, truth).isotonic
    assert pairs is not None
    given, become = np.array(pairs).T
    assert (np.diff(given) > 0).all()
    assert (np.diff(become) >= 0).all()
    assert become.min() >= 1 / 502
    assert become.max() <= 501 / 502


def chosen(rule: ThresholdRule, count: int = 2000) -> tuple[float, float, float, str]:
    """Choose on generated scores; give the threshold, sensitivity, specificity and the sentence."""
    rng = np.random.default_rng(0)
    truth = rng.random(count) < 0.5
    probability = sigmoid(rng.normal(0, 1, count) + np.where(truth, 1.5, -1.5))
    point = thresholds.choose(rule, probability, truth, label="x")
    found = Scores(probability, truth, ())
    reached = (scores.plain(f(point.threshold), found) for f in (scores.sensitivity, scores.specificity))
    return (point.threshold, *reached, point.rule)


def test_a_target_is_reached_and_not_by_more_than_one_image() -> None:
    _, sensitivity, _, rule = chosen(ThresholdRule(kind="target-sensitivity", value=0.95))
    assert 0.95 <= sensitivity < 0.952
    assert f"sensitivity {sensitivity:.3f}" in rule
    assert "2000 validation images" in rule
    _, _, specificity, _ = chosen(ThresholdRule(kind="target-specificity", value=0.9))
    assert 0.9 <= specificity < 0.902
    assert chosen(ThresholdRule(kind="target-sensitivity", value=1.0))[1] == 1


def test_youden_is_the_largest_sum_and_keeps_its_floor() -> None:
    _, sensitivity, specificity, _ = chosen(ThresholdRule(kind="youden"))
    for value in (0.8, 0.9, 0.95):
        other = chosen(ThresholdRule(kind="target-sensitivity", value=value))
        assert sensitivity + specificity >= other[1] + other[2]
    floored = chosen(ThresholdRule(kind="youden", sensitivity_at_least=0.99))
    assert floored[1] >= 0.99
    assert "0.99" in floored[3]


def test_dear_misses_lower_the_threshold() -> None:
    cheap = chosen(ThresholdRule(kind="cost", cost_ratio=1, prevalence=0.5))
    dear = chosen(ThresholdRule(kind="cost", cost_ratio=20, prevalence=0.5))
    rare = chosen(ThresholdRule(kind="cost", cost_ratio=1, prevalence=0.02))
    assert dear[0] < cheap[0] < rare[0]


def test_the_least_cost_by_hand() -> None:
    probability, truth = np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, True, False, True])
    # A miss costs 3: calling 0.4 and above costs one false alarm, calling 0.9 alone one miss.
    low = thresholds.choose(ThresholdRule(kind="cost", cost_ratio=3), probability, truth, label="x")
    assert 0.1 < low.threshold <= 0.4
    high = thresholds.choose(ThresholdRule(kind="cost", cost_ratio=1 / 3), probability, truth, label="x")
    assert 0.6 < high.threshold <= 0.9


def test_a_fixed_threshold_is_itself_and_says_what_it_reaches() -> None:
    threshold, sensitivity, _, rule = chosen(ThresholdRule(kind="fixed", value=0.5, name="0.5"))
    assert threshold == 0.5
    assert "not chosen" in rule
    assert f"{sensitivity:.3f}" in rule


def test_separated_classes_are_parted_midway() -> None:
    probability, truth = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    for kind in ("youden", "cost"):
        assert thresholds.choose(ThresholdRule(kind=kind), probability, truth, label="x").threshold == pytest.approx(
            0.5
        )


def test_scores_that_saturate_are_still_parted() -> None:
    probability, truth = np.array([0.0, 1.0 - 2**-53, 1.0]), np.array([False, False, True])
    point = thresholds.choose(ThresholdRule(kind="target-specificity", value=1.0), probability, truth, label="x")
    assert (probability >= point.threshold).tolist() == [False, False, True]


def test_a_rule_without_its_value_and_truth_of_one_class_are_refused() -> None:
    with pytest.raises(ValidationError, match="needs a value"):
        ThresholdRule(kind="target-sensitivity")
    with pytest.raises(ValueError, match="positives and negatives"):
        thresholds.choose(ThresholdRule(kind="youden"), np.array([0.1, 0.2]), np.array([True, True]), label="x")


def spread(rule: ThresholdRule, count: int = 400) -> OperatingPoint:
    """Choose on generated scores of patients with two images each."""
    rng = np.random.default_rng(1)
    truth = np.repeat(rng.random(count // 2) < 0.5, 2)
    probability = sigmoid(rng.normal(0, 1, count) + np.where(truth, 1.0, -1.0))
    patients = [f"p{number // 2}" for number in range(count)]
    return thresholds.choose(rule, probability, truth, label="x", patients=patients)


@pytest.mark.parametrize(
    "rule",
    [
        ThresholdRule(kind="youden"),
        ThresholdRule(kind="target-sensitivity", value=0.9),
        ThresholdRule(kind="target-specificity", value=0.9),
        ThresholdRule(kind="cost", cost_ratio=3),
    ],
    ids=lambda rule: rule.kind,
)
def test_a_chosen_threshold_lies_in_its_range_of_doubt_which_more_images_narrow(rule: ThresholdRule) -> None:
    few, many = spread(rule, 100), spread(rule, 1600)
    for point in (few, many):
        assert point.doubt is not None
        assert point.doubt[0] <= point.threshold <= point.doubt[1]
        assert point.doubt[0] < point.doubt[1]
    assert few.doubt and many.doubt
    assert many.doubt[1] - many.doubt[0] < few.doubt[1] - few.doubt[0]


def test_the_range_of_doubt_is_that_of_the_thresholds_on_other_samples() -> None:
    # Seen from fresh samples of the same population, nine thresholds in ten lie in a range of about that width.
    rule = ThresholdRule(kind="target-sensitivity", value=0.9)
    rng = np.random.default_rng(2)
    elsewhere: list[float] = []
    for _ in range(400):
        truth = rng.random(400) < 0.5
        probability = sigmoid(rng.normal(0, 1, 400) + np.where(truth, 1.0, -1.0))
        elsewhere.append(thresholds.choose(rule, probability, truth, label="x").threshold)
    low, high = np.quantile(elsewhere, [0.05, 0.95])
    truth = rng.random(400) < 0.5
    probability = sigmoid(rng.normal(0, 1, 400) + np.where(truth, 1.0, -1.0))
    found = thresholds.indeterminate_range(rule, probability, truth, [str(number) for number in range(400)])
    assert found[1] - found[0] == pytest.approx(high - low, rel=0.4)


def test_patients_are_drawn_with_all_their_images() -> None:
    rule, rng = ThresholdRule(kind="youden"), np.random.default_rng(3)
    truth = rng.random(60) < 0.5
    probability = sigmoid(rng.normal(0, 1, 60) + np.where(truth, 1.0, -1.0))
    once = thresholds.indeterminate_range(rule, probability, truth, [str(number) for number in range(60)])
    four = [np.repeat(one, 4) for one in (probability, truth)]
    # Copies of an image are no further images: the range stays that of the patients.
    assert thresholds.indeterminate_range(rule, four[0], four[1], [str(n) for n in range(60) for _ in range(4)]) == once


def test_what_lies_within_the_range_and_what_is_reached_outside_is_said() -> None:
    point = spread(ThresholdRule(kind="target-sensitivity", value=0.9))
    assert point.doubt_rule is not None
    assert re.fullmatch(
        r"central 90% of the thresholds that its rule chooses on 1000 samples of the 400 validation images "
        r"\(\d+ positive\), drawn by patient; \d+\.\d% of these images lie within, "
        r"and outside the sensitivity is 0\.\d{3}, the specificity 0\.\d{3}",
        point.doubt_rule,
    )


def test_a_fixed_threshold_and_one_without_patients_have_no_range() -> None:
    fixed = spread(ThresholdRule(kind="fixed", value=0.5))
    assert (fixed.doubt, fixed.doubt_rule) == (None, None)
    probability, truth = np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, True, False, True])
    assert thresholds.choose(ThresholdRule(kind="youden"), probability, truth, label="x").doubt is None
