"""Losses, calibration and figures of merit against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.findings import Box
from training import calibrate, metrics, partial
from training.evaluate_masks import box_overlap
from training.losses import FULL, NEGATIVE, PARTIAL, dice_loss, segmentation_loss
from training.metrics import Scores
from training.tasks import known_cross_entropy, mean_auc


def test_a_perfect_answer_has_almost_no_loss() -> None:
    target = torch.zeros(2, 3, 16, 16)
    target[0, :, 4:12, 4:12] = 1
    logits = (target * 2 - 1) * 20
    loss = segmentation_loss(logits, target, torch.ones_like(target), torch.tensor([FULL, NEGATIVE]))
    assert float(loss) < 1e-3
    assert float(dice_loss(-logits[:1], target[:1])) > 0.9


def test_what_is_not_known_costs_nothing() -> None:
    logits = torch.randn(1, 3, 8, 8)
    target = torch.rand(1, 3, 8, 8)
    assert float(segmentation_loss(logits, target, torch.zeros_like(target), torch.tensor([PARTIAL]))) == 0


def field() -> np.ndarray:
    """Draw two lung fields, the right one on the left, and an unknown strip below."""
    drawn = np.zeros((100, 100), np.uint8)
    drawn[20:80, 10:40] = 255
    drawn[20:80, 60:90] = 255
    drawn[90:, :] = 127
    return drawn


def test_a_partial_label_knows_lung_where_no_heart_can_reach_and_none_outside() -> None:
    right, left, heart, right_known, left_known, heart_known = partial.targets(field()) > 0
    assert right[50, 12]
    assert not right[50, 70]
    assert left[50, 88]
    assert right_known[50, 12]
    assert right_known[25, 38]
    assert not right_known[60, 38]
    assert right_known[50, 50]
    assert not left_known[95, 50]
    assert not heart.any()
    assert heart_known[25, 50]
    assert heart_known[50, 12]
    assert not heart_known[60, 50]
    assert heart_known[95, 50]


def test_a_field_of_one_piece_says_nothing() -> None:
    drawn = field()
    drawn[40:60, 30:70] = 255
    assert not partial.targets(drawn).any()


def test_an_unknown_label_has_no_weight() -> None:
    logits = torch.tensor([[0.0, 3.0], [0.0, -3.0]])
    labels = torch.tensor([[1.0, float("nan")], [0.0, float("nan")]])
    assert float(known_cross_entropy(logits, labels)) == pytest.approx(np.log(2))
    assert float(known_cross_entropy(logits, labels * float("nan"))) == 0
    assert np.isnan(mean_auc(logits, labels * float("nan")))


def test_dice_of_two_empty_masks_is_undefined() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert np.isnan(metrics.dice(empty, empty))
    assert metrics.dice(full, empty) == 0
    assert metrics.dice(full, full) == 1
    assert metrics.figure("Dice", [1.0, float("nan"), 0.5], "here").count == 2


def test_temperature_undoes_a_scaling_of_the_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20000)
    truth = rng.random(20000) < calibrate.sigmoid(logits)
    assert calibrate.temperature(logits * 3, truth) == pytest.approx(3, rel=0.05)


def test_the_threshold_keeps_the_sensitivity_floor() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(2000) < 0.5
    probability = calibrate.sigmoid(rng.normal(0, 1, 2000) + np.where(truth, 1.5, -1.5))
    chosen = calibrate.threshold(probability, truth, floor=0.99)
    assert (probability[truth] >= chosen.threshold).mean() >= 0.99
    assert "0.99" in chosen.rule


def test_figures_of_a_known_table() -> None:
    scores = Scores(np.array([0.9, 0.8, 0.3, 0.2, 0.6]), np.array([True, True, True, False, False]), list("abcde"))
    assert metrics.sensitivity(scores, 0.5) == pytest.approx(2 / 3)
    assert metrics.specificity(scores, 0.5) == 0.5
    assert metrics.accuracy(scores, 0.5) == 0.6
    assert metrics.auc(scores) == pytest.approx(5 / 6)
    found = metrics.score_figure("AUC", scores, metrics.auc, "here")
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


def test_a_calibrated_score_has_no_calibration_error() -> None:
    probability = np.repeat([0.25, 0.75], 4)
    truth = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert metrics.calibration_error(Scores(probability, truth, ())) == 0


def test_overlap_of_boxes() -> None:
    assert box_overlap(Box(0, 0, 2, 2), Box(0, 0, 2, 2)) == 1
    assert box_overlap(Box(0, 0, 2, 2), Box(2, 2, 4, 4)) == 0
    assert box_overlap(Box(0, 0, 2, 2), Box(1, 0, 3, 2)) == pytest.approx(1 / 3)
