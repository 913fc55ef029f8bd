"""Losses, calibration and figures of merit against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.findings import Box
from training import calibrate, metrics
from training.evaluate_masks import box_overlap
from training.losses import FULL, NEGATIVE, PARTIAL, dice_loss, partial_loss, segmentation_loss
from training.metrics import Scores
from training.tasks import known_cross_entropy, mean_auc


def test_a_perfect_answer_has_almost_no_loss() -> None:
    target = torch.zeros(2, 3, 16, 16)
    target[0, :, 4:12, 4:12] = 1
    logits = (target * 2 - 1) * 20
    loss = segmentation_loss(logits, target, torch.tensor([FULL, NEGATIVE]))
    assert float(loss) < 1e-3
    assert float(dice_loss(-logits[:1], target[:1])) > 0.9


def test_a_partial_label_allows_heart_inside_a_field_and_forbids_lung_outside() -> None:
    target = torch.zeros(1, 3, 8, 8)
    target[:, 0, 2:6, 2:6] = 1
    target[:, 2] = 1
    nothing = torch.full((1, 3, 8, 8), -20.0)
    lung, heart, outside = nothing.clone(), nothing.clone(), nothing.clone()
    lung[:, 0, 2:6, 2:6] = 20
    heart[:, 2, 2:6, 2:6] = 20
    outside[:, 0] = 20
    assert float(partial_loss(lung, target)) < 1e-3
    assert float(partial_loss(heart, target)) < 1e-3
    assert float(partial_loss(nothing, target)) > 1
    assert float(partial_loss(outside, target)) > 1


def test_what_a_partial_label_does_not_know_costs_nothing() -> None:
    logits = torch.randn(1, 3, 8, 8)
    assert float(partial_loss(logits, torch.zeros(1, 3, 8, 8))) == 0


def test_the_partial_loss_stays_finite_at_extreme_logits() -> None:
    target = torch.ones(1, 3, 4, 4)
    logits = torch.full((1, 3, 4, 4), -1000.0, requires_grad=True)
    loss = segmentation_loss(logits, target, torch.tensor([PARTIAL]))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


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
