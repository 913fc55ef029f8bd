"""Texture of a masked region in numpy: co-occurrence of grey levels, local binary patterns, orientation, ridges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
LEVELS = 16
# Right, down-right, down, down-left: with the transposed counts these are all eight neighbours.
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1))
ORIENTATIONS = 6


def cooccurrence(image: Float, mask: Mask, *, distance: int) -> NDArray[np.float64]:
    """Return the symmetric grey-level co-occurrence matrix (LEVELS, LEVELS), summing to 1, over all four directions.

    Haralick 1973. `image` in [0, 1]; both pixels of a pair lie in the mask. All zero where there is no pair.
    """
    level = np.minimum((image * LEVELS).astype(np.intp), LEVELS - 1)
    counts = np.zeros(LEVELS * LEVELS, np.float64)
    for down, right in DIRECTIONS:
        one, other = _shifted(level.shape, down * distance, right * distance)
        both = mask[one] & mask[other]
        pairs = level[one][both] * LEVELS + level[other][both]
        counts += np.bincount(pairs, minlength=LEVELS * LEVELS)
    matrix = counts.reshape(LEVELS, LEVELS)
    matrix = matrix + matrix.T
    return matrix / max(matrix.sum(), 1.0)


def haralick(matrix: NDArray[np.float64]) -> dict[str, float]:
    """Return contrast, homogeneity, energy, entropy and correlation of a co-occurrence matrix."""
    row, column = np.indices(matrix.shape)
    mean = float((row * matrix).sum())
    variance = float(((row - mean) ** 2 * matrix).sum())
    covariance = float(((row - mean) * (column - mean) * matrix).sum())
    filled = matrix[matrix > 0]
    return {
        "contrast": float(((row - column) ** 2 * matrix).sum()),
        "homogeneity": float((matrix / (1 + (row - column) ** 2)).sum()),
        "energy": float((matrix**2).sum()),
        "entropy": float(-(filled * np.log2(filled)).sum()),
        "correlation": covariance / variance if variance > 0 else float("nan"),
    }


def binary_patterns(image: Float, mask: Mask, *, radius: int) -> NDArray[np.float64]:
    """Return the histogram (10,) of rotation-invariant uniform local binary patterns (Ojala 2002), eight neighbours.

    Bins 0 to 8 count the brighter neighbours of uniform patterns, bin 9 all others; NaN where the mask is empty.
    """
    steps = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
    padded = np.pad(image, radius, mode="edge")
    rows, columns = image.shape
    bits = np.stack(
        [
            padded[
                radius + d * radius : radius + d * radius + rows, radius + r * radius : radius + r * radius + columns
            ]
            >= image
            for d, r in steps
        ]
    )
    changes = (bits != np.roll(bits, 1, axis=0)).sum(axis=0)
    code = np.where(changes <= 2, bits.sum(axis=0), 9)[mask]
    if not len(code):
        return np.full(10, np.nan)
    return np.bincount(code, minlength=10) / len(code)


def orientations(image: Float, mask: Mask) -> NDArray[np.float64]:
    """Return the histogram (ORIENTATIONS,) of gradient directions over half a turn, weighted by magnitude."""
    across, down = _gradient(image)
    angle = np.mod(np.arctan2(down, across), np.pi)
    index = np.minimum((angle / np.pi * ORIENTATIONS).astype(np.intp), ORIENTATIONS - 1)
    weight = np.hypot(across, down)
    histogram = np.bincount(index[mask], weights=weight[mask], minlength=ORIENTATIONS)
    return histogram / max(float(histogram.sum()), 1e-9)


def gradient(image: Float) -> Float:
    """Return the gradient's magnitude."""
    across, down = _gradient(image)
    return np.asarray(np.hypot(across, down), np.float32)


def ridges(image: Float, *, sigma: float) -> tuple[Float, Float]:
    """Return how much each pixel lies on a bright band, lying and standing: plates of atelectasis lie, vessels stand.

    Second derivatives of the smoothed image, negated, scaled by sigma squared.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), sigma)
    scale = np.float32(-(sigma**2))
    lying = cv2.Sobel(smooth, cv2.CV_32F, 0, 2, ksize=3) * scale / 4
    standing = cv2.Sobel(smooth, cv2.CV_32F, 2, 0, ksize=3) * scale / 4
    return np.asarray(lying, np.float32), np.asarray(standing, np.float32)


def _gradient(image: Float) -> tuple[Float, Float]:
    """Return the Sobel derivatives across and down."""
    across, down = (cv2.Sobel(image, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _shifted(shape: tuple[int, ...], down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the two overlapping parts of an image and itself moved by (down, right); `down` is not negative."""
    rows, columns = shape
    top, bottom = slice(0, rows - down), slice(down, rows)
    if right >= 0:
        return (top, slice(0, columns - right)), (bottom, slice(right, columns))
    return (top, slice(-right, columns)), (bottom, slice(0, columns + right))
