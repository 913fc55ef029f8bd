"""From a map of probabilities to the mask of a lesion: a hysteresis threshold with a minimum area (see the manifest).

The scheme of the challenge's first place (Anuar 2019): whether there is a lesion and how far it reaches are two
questions. An image has one only where enough pixels are above the top threshold; then the mask is every pixel above the
bottom threshold. The decision is for the whole image, as in the challenge: the variant that decides for each connected
piece drops the small second piece of a lesion, and its metric counts images, not pieces.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import HysteresisThreshold


def lesion(probability: NDArray[np.floating], threshold: HysteresisThreshold) -> NDArray[np.bool_]:
    """Return the mask of a lesion (..., rows, columns) on the model grid; all False where there is none.

    Parameters
    ----------
    probability
        (..., rows, columns) in [0, 1]; leading dimensions are images, each decided for itself.
    """
    certain = (probability > threshold.top_threshold).sum(axis=(-2, -1), keepdims=True)
    there = certain >= least_pixels(threshold.minimum_area, probability.shape[-2] * probability.shape[-1])
    mask: NDArray[np.bool_] = (probability > threshold.bottom_threshold) & there
    return mask


def least_pixels(minimum_area: float, pixels: int) -> int:
    """Return the least number of sure pixels of a grid with so many; at least one, whatever the area."""
    # An area that was a whole number of pixels is one again, in spite of rounding.
    return max(1, math.ceil(minimum_area * pixels - 1e-6))
