"""On which side of the chest a region lies, by the lungs beside it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chest.anatomy import Anatomy, Mask
from models.values import codes
from models.values.codes import Code

# A side that holds less than this part of a region is not named.
LEAST_SHARE = 0.1


def side_of(region: Mask, anatomy: Anatomy) -> Code | None:
    """Return right, left or bilateral; None is unknown, where a lung was not found.

    Each pixel belongs to the lung that is nearest to it, since air around a lung lies beside its mask.

    Parameters
    ----------
    region
        bool (rows, columns) on the canonical grid, not empty.
    anatomy
        Masks on the same grid.
    """
    right, left = anatomy.right_lung, anatomy.left_lung
    if right is None or left is None:
        return None
    share = float((_distance(right)[region] <= _distance(left)[region]).mean())
    if share > 1 - LEAST_SHARE:
        return codes.RIGHT
    return codes.LEFT if share < LEAST_SHARE else codes.BILATERAL


def part_of_lung(region: Mask, side: Code, anatomy: Anatomy) -> float | None:
    """Return the part of a side's lung that a region covers, 0 to 1; None where a lung was not found.

    The lung is its mask and the region together: a collapsed lung's own mask may leave out the air around it.
    """
    masks = {codes.RIGHT: (anatomy.right_lung,), codes.LEFT: (anatomy.left_lung,)}
    wanted = masks.get(side, (anatomy.right_lung, anatomy.left_lung))
    lungs = [mask for mask in wanted if mask is not None]
    if len(lungs) < len(wanted):
        return None
    return float(region.sum() / np.logical_or.reduce([region, *lungs]).sum())


def _distance(mask: Mask) -> NDArray[np.float32]:
    """Return the distance of each pixel to the mask, in pixels; 0 within it."""
    outside = np.ascontiguousarray(~mask).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 5), np.float32)
