"""Losses of the lungs-heart network.

Right lung, left lung and heart overlap, hence three sigmoids, not a softmax. Each pixel and label has a weight: 1 where
the truth is known, 0 where it is not (training/partial.py).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

FULL, PARTIAL, NEGATIVE = 0, 1, 2


def segmentation_loss(logits: Tensor, target: Tensor, weight: Tensor, kind: Tensor) -> Tensor:
    """Combine binary cross-entropy with Dice.

    Parameters
    ----------
    logits : (batch, 3, size, size).
    target, weight : (batch, 3, size, size) in [0, 1].
    kind : (batch,): FULL (all is known), PARTIAL (some is), NEGATIVE (all is known to be empty).

    Returns
    -------
    Scalar: cross-entropy over what is known, plus the Dice loss of the FULL ones.
    """
    logits = logits.float()
    loss = known_cross_entropy(logits, target, weight)
    full = kind == FULL
    return loss + dice_loss(logits[full], target[full]) if full.any() else loss


def known_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Average the cross-entropy over the known pixels of all labels."""
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * weight).sum() / weight.sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Give 1 minus the soft Dice of each image and channel, averaged."""
    probability = logits.sigmoid()
    overlap = (probability * target).sum(dim=(2, 3))
    total = probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()
