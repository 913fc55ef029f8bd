"""Agreement of boxes, and of heat maps with masks: intersection over union, the RSNA challenge's mAP, pointing game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.values.findings import Box

Mask = NDArray[np.bool_]
# Thresholds of the RSNA pneumonia detection challenge: 0.4 to 0.75 in steps of 0.05.
CHALLENGE_THRESHOLDS = tuple(round(0.4 + 0.05 * step, 2) for step in range(8))


@dataclass(frozen=True)
class ScoredBox:
    """A box with its confidence."""

    box: Box
    score: float


def box_overlap(one: Box, other: Box) -> float:
    """Return intersection over union of two boxes."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    common = max(0, wide) * max(0, high)
    areas = sum((box.x1 - box.x0) * (box.y1 - box.y0) for box in (one, other))
    return common / (areas - common) if areas > common else 0.0


def matched(found: Sequence[ScoredBox], truth: Sequence[Box], threshold: float) -> tuple[int, int, int]:
    """Count true positives, false positives and false negatives of one image.

    Surest boxes first; each takes the best true box that is still free, if their overlap exceeds the threshold.
    """
    free = list(truth)
    hits = 0
    for one in sorted(found, key=lambda scored: -scored.score):
        best = max(free, key=lambda box: box_overlap(one.box, box), default=None)
        if best is not None and box_overlap(one.box, best) > threshold:
            free.remove(best)
            hits += 1
    return hits, len(found) - hits, len(free)


def image_precision(found: Sequence[ScoredBox], truth: Sequence[Box]) -> float:
    """Return the RSNA challenge's value of one image: TP / (TP + FP + FN), averaged over its thresholds.

    An image without true boxes counts 0 if anything was found, and is NaN, that is left out, if nothing was.
    """
    if not truth:
        return 0.0 if found else float("nan")
    counts = (matched(found, truth, threshold) for threshold in CHALLENGE_THRESHOLDS)
    return float(np.mean([hits / (hits + false + missed) for hits, false, missed in counts]))


def peak(heat: NDArray[np.floating]) -> tuple[int, int]:
    """Return row and column of the largest value."""
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    return int(row), int(column)


def points_into(heat: NDArray[np.floating], truth: Mask) -> bool | None:
    """Return whether the maximum lies within the truth (the pointing game); None where the map is empty."""
    return bool(truth[peak(heat)]) if heat.max() > 0 else None


def same_side(heat: NDArray[np.floating], truth: Mask, middle: float) -> bool | None:
    """Return whether the maximum lies on the same side of the column `middle` as the truth.

    A truth on both sides, with at least a quarter of its area on either, allows both. None where the map is empty.
    """
    if not heat.max() > 0:
        return None
    columns = np.flatnonzero(truth)[:, None] % truth.shape[1]
    left = float((columns + 0.5 < middle).mean())
    on_left = peak(heat)[1] + 0.5 < middle
    return left >= 0.25 if on_left else 1 - left >= 0.25


def filled(boxes: Sequence[Box], shape: tuple[int, int]) -> Mask:
    """Return the mask (rows, columns) that boxes cover."""
    mask = np.zeros(shape, np.bool_)
    for box in boxes:
        mask[box.y0 : box.y1, box.x0 : box.x1] = True
    return mask
