"""Average precision of boxes over the overlaps of the RSNA pneumonia challenge, and the challenge's own score.

Two different things go by the name of mAP there. `average_precision` ranks all detections of all images by their score
and takes the area under precision over recall, as the field does; it needs no threshold, so it chooses checkpoints.
`challenge_score` is what the challenge (2018) computed: at a fixed threshold, of each image TP / (TP + FP + FN),
averaged over the overlaps (training/measures/places.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.values.findings import Box
from training.measures.places import CHALLENGE_THRESHOLDS, ScoredBox, image_precision

Boxes = NDArray[np.floating]


@dataclass(frozen=True)
class Detections:
    """One image: boxes found (n, 4) with scores (n,), and true boxes (m, 4); x0, y0, x1, y1, any common grid."""

    found: Boxes
    scores: NDArray[np.floating]
    truth: Boxes
    patient: str = ""

    def above(self, threshold: float) -> Detections:
        """Keep what has at least this score."""
        kept = self.scores >= threshold
        return Detections(self.found[kept], self.scores[kept], self.truth, self.patient)


def overlap(one: Boxes, other: Boxes) -> NDArray[np.float64]:
    """Return intersection over union (n, m) of boxes (n, 4) and (m, 4); 0 where both have no area."""
    top = np.maximum(one[:, None, :2], other[None, :, :2])
    bottom = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(bottom - top, 0, None).prod(axis=2)
    areas = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=1) for b in (one, other)]
    union = areas[0][:, None] + areas[1][None, :] - common
    return np.asarray(np.divide(common, union, out=np.zeros(union.shape), where=union > 0), np.float64)


def hits(image: Detections, least: float) -> NDArray[np.bool_]:
    """Say of each detection whether it is right.

    From the best score down, each takes the true box that it overlaps most of those not taken yet, if the overlap
    exceeds `least`.
    """
    right = np.zeros(len(image.scores), np.bool_)
    common = overlap(image.found, image.truth)
    for place in np.argsort(-image.scores, kind="stable"):
        if not common.shape[1]:
            break
        best = int(common[place].argmax())
        if common[place, best] > least:
            right[place] = True
            common[:, best] = -1
    return right


def average_precision(images: Sequence[Detections], least: float) -> float:
    """Return the area under the precision envelope over recall at one overlap; NaN without any true box."""
    boxes = sum(len(one.truth) for one in images)
    if not boxes:
        return float("nan")
    scores = np.concatenate([one.scores for one in images])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([hits(one, least) for one in images])[order]
    found = np.cumsum(right)
    precision = found / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / boxes)


def mean_average_precision(images: Sequence[Detections], overlaps: Sequence[float] = CHALLENGE_THRESHOLDS) -> float:
    """Average the average precision over overlaps."""
    return float(np.mean([average_precision(images, least) for least in overlaps]))


def challenge_score(images: Sequence[Detections], threshold: float) -> float:
    """Return the challenge's score of the detections at or above a threshold; NaN if no image counts (see `places`)."""
    values = np.array([image_precision(*_boxes(one.above(threshold))) for one in images])
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def best_threshold(images: Sequence[Detections], steps: int = 100) -> tuple[float, float]:
    """Return the threshold with the best challenge score, and that score; only ever asked of validation."""
    grid = np.arange(1, steps) / steps
    values = [challenge_score(images, float(threshold)) for threshold in grid]
    place = int(np.nanargmax(values))
    return float(grid[place]), float(values[place])


def _boxes(image: Detections) -> tuple[list[ScoredBox], list[Box]]:
    """Round to pixels."""
    found, truth = (np.rint(given).astype(int).tolist() for given in (image.found, image.truth))
    scored = [ScoredBox(Box(*box), float(score)) for box, score in zip(found, image.scores, strict=True)]
    return scored, [Box(*box) for box in truth]
