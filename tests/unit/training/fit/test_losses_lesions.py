"""Losses of lesions, labels and distillation against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from models.networks import Output
from training.fit import losses

NAN = torch.nan
# Logits whose sigmoid is 0.8, 0.5 and 0.2.
MOST, HALF, LEAST = math.log(4), 0.0, -math.log(4)


def masks(*rows: list[float]) -> torch.Tensor:
    """Return one image per row, of one label and one line of pixels."""
    return torch.tensor(rows)[:, None, None, :]


def test_dice_of_lesions_is_averaged_over_masks_that_are_not_empty() -> None:
    logits = masks([MOST, LEAST], [MOST, MOST])
    target = masks([1.0, 0.0], [0.0, 0.0])
    # The first: 1 - (2 * 0.8 + 1) / (0.8 + 0.2 + 1 + 1) = 1 - 2.6 / 3; the second is empty.
    assert float(losses.lesion_dice_loss(logits, target)) == pytest.approx(1 - 2.6 / 3)
    assert float(losses.lesion_dice_loss(logits, torch.zeros_like(target))) == 0


def test_focal_loss_of_one_sure_one_doubtful_and_one_wrong_pixel() -> None:
    logits, target = masks([MOST, HALF, MOST]), masks([1.0, 1.0, 0.0])
    expected = (0.25 * 0.2**2 * -math.log(0.8) + 0.25 * 0.5**2 * -math.log(0.5) + 0.75 * 0.8**2 * -math.log(0.2)) / 3
    assert float(losses.focal_loss(logits, target)) == pytest.approx(expected)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    assert float(losses.focal_loss(logits, target, gamma=0, alpha=0.5)) == pytest.approx(float(plain) / 2)


def test_combo_loss_adds_its_parts_with_their_shares() -> None:
    logits, target = masks([MOST, LEAST]), masks([1.0, 0.0])
    entropy = (3 * -math.log(0.8) + -math.log(0.8)) / 2
    dice = 1 - 2.6 / 3
    focal = (0.25 * 0.2**2 + 0.75 * 0.2**2) * -math.log(0.8) / 2
    given = losses.combo_loss(logits, target, cross_entropy=2, dice=0.5, focal=4, positive_weight=3)
    assert float(given) == pytest.approx(2 * entropy + 0.5 * dice + 4 * focal)
    only_focal_and_dice = losses.combo_loss(logits, target, cross_entropy=0, dice=1, focal=1)
    assert float(only_focal_and_dice) == pytest.approx(dice + focal)


def test_combo_loss_of_an_empty_batch_still_has_a_gradient() -> None:
    logits = torch.zeros(2, 1, 4, 4, requires_grad=True)
    losses.combo_loss(logits, torch.zeros(2, 1, 4, 4)).backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_positive_weights_are_negatives_per_positive_among_the_known() -> None:
    labels = torch.tensor([[1, NAN, 1, 0], [0, NAN, 1, 0], [0, 1, 1, 0], [0, 0, NAN, 0], [NAN, 0, NAN, 1]])
    torch.testing.assert_close(losses.positive_weights(labels), torch.tensor([3.0, 2.0, 1.0, 4.0]))
    torch.testing.assert_close(losses.positive_weights(labels, most=3.5)[3], torch.tensor(3.5))


def test_label_loss_leaves_unknown_labels_out_and_weights_positives() -> None:
    logits = torch.tensor([[MOST, 5.0], [MOST, HALF]])
    labels = torch.tensor([[1.0, NAN], [0.0, 1.0]])
    weight = torch.tensor([2.0, 1.0])
    expected = (2 * -math.log(0.8) - math.log(0.2) - math.log(0.5)) / 3
    assert float(losses.label_loss(logits, labels, positive_weight=weight)) == pytest.approx(expected)
    assert float(losses.label_loss(logits, labels * NAN)) == 0


def test_focal_label_loss_by_hand() -> None:
    logits, labels = torch.tensor([[MOST, MOST]]), torch.tensor([[1.0, 0.0]])
    expected = (0.2**2 * -math.log(0.8) + 0.8**2 * -math.log(0.2)) / 2
    assert float(losses.label_loss(logits, labels, gamma=2)) == pytest.approx(expected)


def test_deep_supervision_averages_the_two_outputs() -> None:
    output = Output(torch.full((1, 1, 4, 4), 3.0), maps=torch.full((1, 1, 2, 2), 1.0))
    assert float(losses.deep_loss(output, torch.mean, share=0.5)) == pytest.approx((3 + 0.5 * 1) / 1.5)
    assert float(losses.deep_loss(output, torch.mean, share=0)) == 3
    assert float(losses.deep_loss(Output(output.logits), torch.mean, share=0.5)) == 3
