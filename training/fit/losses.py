"""Losses: of the lungs-heart network, of lesions, and of labels.

Right lung, left lung and heart overlap, hence three sigmoids, not a softmax. Each pixel and label has a weight: 1 where
the truth is known, 0 where it is not (training/data/partial.py). A label that is NaN is unknown and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from models.networks import Output

FULL, PARTIAL, NEGATIVE = 0, 1, 2


def segmentation_loss(logits: Tensor, target: Tensor, weight: Tensor, kind: Tensor) -> Tensor:
    """Combine binary cross-entropy with Dice.

    Parameters
    ----------
    logits
        (batch, 3, size, size).
    target, weight
        (batch, 3, size, size) in [0, 1].
    kind
        (batch,): FULL (all is known), PARTIAL (some is), NEGATIVE (all is known to be empty).

    Returns
    -------
    Scalar: cross-entropy over what is known, plus the Dice loss of the FULL ones.
    """
    logits = logits.float()
    loss = pixel_cross_entropy(logits, target, weight)
    full = kind == FULL
    return loss + dice_loss(logits[full], target[full]) if full.any() else loss


def pixel_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Average the cross-entropy over the known pixels of all labels."""
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * weight).sum() / weight.sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the soft Dice of each image and channel, averaged."""
    probability = logits.sigmoid()
    overlap = (probability * target).sum(dim=(2, 3))
    total = probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def combo_loss(
    logits: Tensor,
    target: Tensor,
    *,
    cross_entropy: float = 1.0,
    dice: float = 1.0,
    focal: float = 0.0,
    positive_weight: float = 1.0,
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> Tensor:
    """Add cross-entropy, Dice and focal loss of lesion masks, each with its share.

    Parameters
    ----------
    logits, target
        (batch, labels, size, size), target in [0, 1].
    positive_weight
        Of a pixel of the lesion in the cross-entropy, against one outside.
    gamma, alpha
        Of the focal loss.
    """
    logits = logits.float()
    loss = logits.sum() * 0
    if cross_entropy:
        weight = logits.new_tensor(positive_weight)
        loss = loss + cross_entropy * functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)
    if dice:
        loss = loss + dice * lesion_dice_loss(logits, target)
    if focal:
        loss = loss + focal * focal_loss(logits, target, gamma=gamma, alpha=alpha)
    return loss


def lesion_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the soft Dice, averaged over the masks (image and label) that are not empty; 0 without any.

    Of an empty mask Dice is undefined: what is wrong there, cross-entropy or focal loss say.
    """
    found = target.amax(dim=(2, 3)) >= 0.5
    return dice_loss(logits[found][:, None], target[found][:, None]) if found.any() else logits.sum() * 0


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Average the focal loss (Lin et al. 2017): cross-entropy, less for what is already right.

    A pixel or label with probability q of its truth costs -a (1 - q)^gamma ln q; a is alpha for positives, 1 - alpha
    for negatives. `target` in [0, 1] has the shape of the logits.
    """
    loss: Tensor = sigmoid_focal_loss(logits.float(), target, alpha=alpha, gamma=gamma, reduction="mean")
    return loss


def deep_loss(output: Output, loss: Callable[[Tensor], Tensor], *, share: float) -> Tensor:
    """Average the loss of the logits with that of the maps, which counts `share` times as much (deep supervision).

    The maps are brought to the size of the logits; a network without maps has the loss of its logits.
    """
    if output.maps is None or not share:
        return loss(output.logits)
    size = output.logits.shape[-2:]
    first = output.maps.float()
    if first.shape[-2:] != size:
        first = functional.interpolate(first, size, mode="bilinear", align_corners=False)
    return (loss(output.logits) + share * loss(first)) / (1 + share)


def label_loss(logits: Tensor, labels: Tensor, *, positive_weight: Tensor | None = None, gamma: float = 0.0) -> Tensor:
    """Average the cross-entropy over the labels that are not NaN; 0 where all are.

    Parameters
    ----------
    logits, labels
        (batch, labels).
    positive_weight
        (labels,), of a positive against a negative (`positive_weights`); None: 1.
    gamma
        More than 0 takes less of what is already right, as in the focal loss.
    """
    logits = logits.float()
    known = ~labels.isnan()
    truth = labels.nan_to_num()
    each = functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=positive_weight, reduction="none")
    if gamma:
        each = each * (truth - logits.sigmoid()).abs() ** gamma
    return (each * known).sum() / known.sum().clamp(min=1)


def positive_weights(labels: Tensor, *, most: float = 20.0) -> Tensor:
    """Return negatives per positive of each label, (images, labels) to (labels,), between 1 / `most` and `most`.

    NaN is unknown and not counted; a label without known positives or negatives has 1.
    """
    positives, negatives = (labels == 1).sum(dim=0), (labels == 0).sum(dim=0)
    ratio = negatives / positives.clamp(min=1)
    return torch.where((positives > 0) & (negatives > 0), ratio.clamp(1 / most, most), 1.0)
