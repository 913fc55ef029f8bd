"""Losses of the lungs-heart network.

Three kinds of target lie in one batch:

- FULL: right lung, left lung and heart are known everywhere (they overlap, hence sigmoids, not a softmax).
- PARTIAL: channels 0 and 1 hold lung fields that include what lies behind the heart, channel 2 where they are known.
  Outside the fields there is no lung; inside there is lung or heart. Nothing else is said of the heart.
- NEGATIVE: nothing of the three is there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FULL, PARTIAL, NEGATIVE = 0, 1, 2


def segmentation_loss(logits: Tensor, target: Tensor, kind: Tensor) -> Tensor:
    """Combine binary cross-entropy with Dice.

    Parameters
    ----------
    logits : (batch, 3, size, size).
    target : (batch, 3, size, size) in [0, 1].
    kind : (batch,), FULL, PARTIAL or NEGATIVE.

    Returns
    -------
    Scalar: mean cross-entropy of all, plus the Dice loss of the FULL ones, plus half the partial term.
    """
    logits = logits.float()
    loss = logits.sum() * 0
    complete = kind != PARTIAL
    if complete.any():
        loss = loss + functional.binary_cross_entropy_with_logits(logits[complete], target[complete])
    full = kind == FULL
    if full.any():
        loss = loss + dice_loss(logits[full], target[full])
    partial = kind == PARTIAL
    if partial.any():
        loss = loss + 0.5 * partial_loss(logits[partial], target[partial])
    return loss


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Give 1 minus the soft Dice of each image and channel, averaged."""
    probability = logits.sigmoid()
    overlap = (probability * target).sum(dim=(2, 3))
    total = probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def partial_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Ask for no lung outside a field, and for lung or heart inside it, where the field is known."""
    lungs, heart = logits[:, :2], logits[:, 2:]
    field, known = (target[:, :2] > 0.5).float(), (target[:, 2:] > 0.99).float()
    outside = functional.softplus(lungs)
    # log(1 - (1 - p_lung)(1 - p_heart)), in logs: 1 - p = sigmoid(-logit).
    log_neither = functional.logsigmoid(-lungs) + functional.logsigmoid(-heart)
    inside = -torch.log1p(-log_neither.exp().clamp(max=1 - 1e-6))
    each = (1 - field) * outside + field * inside
    return (each * known).sum() / known.expand_as(each).sum().clamp(min=1)
