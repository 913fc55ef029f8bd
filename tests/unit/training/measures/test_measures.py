"""Losses and partial labels against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.data import partial
from training.fit.losses import FULL, NEGATIVE, PARTIAL, dice_loss, segmentation_loss
from training.tasks.chest.module import label_cross_entropy, mean_auc


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
    assert float(label_cross_entropy(logits, labels)) == pytest.approx(np.log(2))
    assert float(label_cross_entropy(logits, labels * float("nan"))) == 0
    assert np.isnan(mean_auc(logits, labels * float("nan")))
