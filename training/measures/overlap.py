"""Agreement of masks: Dice, intersection over union, Hausdorff distance, and the SIIM challenge's own metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

Mask = NDArray[np.bool_]
Float = NDArray[np.float64]
# Part of the images with a pneumothorax in the challenge's data.
SIIM_PREVALENCE = 0.22


def dice(found: Mask, truth: Mask) -> float:
    """Return the Dice coefficient; NaN where both are empty, which is reported apart."""
    total = int(found.sum()) + int(truth.sum())
    return float("nan") if total == 0 else 2 * int((found & truth).sum()) / total


def intersection_over_union(found: Mask, truth: Mask) -> float:
    """Return the intersection over the union; NaN where both are empty."""
    union = int((found | truth).sum())
    return float("nan") if union == 0 else int((found & truth).sum()) / union


def hausdorff95(found: Mask, truth: Mask, spacing: Sequence[float] | None = None) -> float:
    """Return the 95 % Hausdorff distance of two masks of any dimension.

    From every surface pixel of either mask to the nearest surface pixel of the other: the larger of the two 95 %
    quantiles.

    Parameters
    ----------
    spacing
        Distance of neighbours along each axis, in mm; None gives pixels.

    Returns
    -------
    In mm, or in pixels. NaN where one or both are empty: there is no distance to nothing.
    """
    if not found.any() or not truth.any():
        return float("nan")
    box = _around(found | truth)
    surfaces = _surface(found[box]), _surface(truth[box])
    away = [distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    one, other = away[1][surfaces[0]], away[0][surfaces[1]]
    return max(float(np.quantile(one, 0.95)), float(np.quantile(other, 0.95)))


def challenge_score(dice_of: Float, positive: Mask, called: Mask, prevalence: float = SIIM_PREVALENCE) -> float:
    """Return the SIIM challenge's mean Dice, in which empty against empty counts 1, re-weighted to a prevalence.

    Parameters
    ----------
    dice_of
        Dice of each image; of the positives alone it is looked at.
    positive, called
        Whether the truth, and whether the answer, has a mask.
    prevalence
        Part of positives; the images at hand are weighted to it.
    """
    weighted = challenge_values(dice_of, positive, called)
    return prevalence * float(weighted[positive].mean()) + (1 - prevalence) * float(weighted[~positive].mean())


def challenge_values(dice_of: Float, positive: Mask, called: Mask) -> Float:
    """Return the challenge's value of each image: its Dice, or for a negative 1 where nothing was called, else 0."""
    return np.where(positive, np.where(called, np.nan_to_num(dice_of), 0.0), (~called).astype(np.float64))


def _surface(mask: Mask) -> Mask:
    """Return the pixels of a mask that touch its outside; the edge of the array is outside."""
    return np.asarray(mask & ~binary_erosion(mask), np.bool_)


def _around(mask: Mask) -> tuple[slice, ...]:
    """Return the box of all true pixels, which holds all that the distances need."""
    spans: list[slice] = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        spans.append(slice(int(where[0]), int(where[-1]) + 1))
    return tuple(spans)
