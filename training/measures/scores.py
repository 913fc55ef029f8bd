"""Figures of merit of scores against a truth of yes and no, plain and under weights.

Every figure is a function of `Scores` and of weights (draws, images): row by row, how often each image counts. A
bootstrap is then one call (training/measures/bootstrap.py). What is not defined, such as the AUC of one
class only, is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
BINS = 10


@dataclass(frozen=True)
class Scores:
    """Probabilities (images,) with the truth (images,) and the patient of each image."""

    probability: Float
    truth: Mask
    patients: Sequence[str]

    def part(self, chosen: Mask) -> Scores:
        """Return the images of a mask."""
        patients = [one for one, is_in in zip(self.patients, chosen, strict=True) if is_in]
        return Scores(self.probability[chosen], self.truth[chosen], patients)


Measure = Callable[[Scores, Float], Float]


def plain(measure: Measure, scores: Scores) -> float:
    """Return a figure with every image counted once."""
    return float(measure(scores, np.ones((1, len(scores.truth))))[0])


def auc(scores: Scores, weights: Float) -> Float:
    """Return the area under the ROC curve of each row of weights; ties count half."""
    order, starts = _ascending(scores)
    positive = np.add.reduceat(weights[:, order] * scores.truth[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~scores.truth[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    return _ratio(won, positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(scores: Scores, weights: Float) -> Float:
    """Return the average precision: the precision at each score, weighted with the recall that it adds."""
    true_positive, false_positive = _falling_counts(scores, weights)
    added = np.diff(true_positive, axis=1, prepend=0)
    precision = _ratio(true_positive, true_positive + false_positive)
    return _ratio((np.nan_to_num(precision) * added).sum(axis=1), true_positive[:, -1])


def sensitivity(threshold: float) -> Measure:
    """Return the part of the positives at or above the threshold."""
    return lambda s, w: _mean(s.probability >= threshold, w * s.truth)


def specificity(threshold: float) -> Measure:
    """Return the part of the negatives below the threshold."""
    return lambda s, w: _mean(s.probability < threshold, w * ~s.truth)


def accuracy(threshold: float) -> Measure:
    """Return the part of the images on the right side of the threshold."""
    return lambda s, w: _mean((s.probability >= threshold) == s.truth, w)


def within(low: float, high: float) -> Measure:
    """Return the part of the images from `low` to below `high`."""
    return lambda s, w: _mean((s.probability >= low) & (s.probability < high), w)


def positive_predictive_value(threshold: float, prevalence: float | None = None) -> Measure:
    """Return the part of the called ones that are positive, at a stated prevalence or that of the images."""

    def measure(scores: Scores, weights: Float) -> Float:
        true_positive_rate, false_positive_rate = _rates(scores, weights, threshold)
        p = _prevalence(scores, weights, prevalence)
        return _ratio(p * true_positive_rate, p * true_positive_rate + (1 - p) * false_positive_rate)

    return measure


def negative_predictive_value(threshold: float, prevalence: float | None = None) -> Measure:
    """Return the part of those not called that are negative, at a stated prevalence or that of the images."""

    def measure(scores: Scores, weights: Float) -> Float:
        true_positive_rate, false_positive_rate = _rates(scores, weights, threshold)
        p = _prevalence(scores, weights, prevalence)
        return _ratio(
            (1 - p) * (1 - false_positive_rate), (1 - p) * (1 - false_positive_rate) + p * (1 - true_positive_rate)
        )

    return measure


def brier(scores: Scores, weights: Float) -> Float:
    """Return the mean squared difference of probability and truth."""
    return _mean((scores.probability - scores.truth) ** 2, weights)


def calibration_error(scores: Scores, weights: Float) -> Float:
    """Return the expected calibration error over bins of equal width."""
    bins = np.eye(BINS)[_bin_of(scores)]
    gap = (weights * (scores.probability - scores.truth)) @ bins
    return _ratio(np.abs(gap).sum(axis=1), weights.sum(axis=1))


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: mean probability, observed part positive, images."""

    probability: float
    observed: float
    count: int


def reliability(scores: Scores) -> tuple[Bin, ...]:
    """Return the bins that hold images."""
    found: list[Bin] = []
    for number in range(BINS):
        inside = _bin_of(scores) == number
        if inside.any():
            means = float(scores.probability[inside].mean()), float(scores.truth[inside].mean())
            found.append(Bin(*means, int(inside.sum())))
    return tuple(found)


def confusion(scores: Scores, threshold: float) -> NDArray[np.int64]:
    """Count images (2, 2): rows truth, columns result, negative first."""
    called = scores.probability >= threshold
    return np.array([[int((called[scores.truth == t] == r).sum()) for r in (False, True)] for t in (False, True)])


def roc_points(scores: Scores, weights: Float) -> tuple[Float, Float]:
    """Return 1 - specificity and sensitivity (draws, scores + 1) over falling thresholds, from (0, 0) to (1, 1)."""
    true_positive, false_positive = (_from_zero(part) for part in _falling_counts(scores, weights))
    return _ratio(false_positive, false_positive[:, -1:]), _ratio(true_positive, true_positive[:, -1:])


def precision_recall_points(scores: Scores, weights: Float) -> tuple[Float, Float]:
    """Return recall and precision (draws, scores) over falling thresholds."""
    true_positive, false_positive = _falling_counts(scores, weights)
    return _ratio(true_positive, true_positive[:, -1:]), _ratio(true_positive, true_positive + false_positive)


def _falling_counts(scores: Scores, weights: Float) -> tuple[Float, Float]:
    """Count true and false positives (draws, distinct scores) over falling thresholds."""
    order, starts = _ascending(Scores(-scores.probability, scores.truth, ()))
    drawn = weights[:, order]
    parts = (np.add.reduceat(drawn * is_in[order], starts, axis=1) for is_in in (scores.truth, ~scores.truth))
    true_positive, false_positive = (np.cumsum(part, axis=1) for part in parts)
    return true_positive, false_positive


def _ascending(scores: Scores) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order of the images by score, and where each distinct score begins in it."""
    order = np.argsort(scores.probability, kind="stable")
    ordered = scores.probability[order]
    return order, np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _rates(scores: Scores, weights: Float, threshold: float) -> tuple[Float, Float]:
    """Return sensitivity and 1 - specificity."""
    return sensitivity(threshold)(scores, weights), 1 - specificity(threshold)(scores, weights)


def _prevalence(scores: Scores, weights: Float, stated: float | None) -> Float:
    """Return the stated prevalence, or that of the images, for each row."""
    return _mean(scores.truth, weights) if stated is None else np.full(len(weights), stated)


def _bin_of(scores: Scores) -> NDArray[np.intp]:
    """Return the bin of each image."""
    return np.minimum((scores.probability * BINS).astype(np.intp), BINS - 1)


def _mean(values: NDArray[Any], weights: Float) -> Float:
    """Average values (images,) under weights (draws, images); NaN where nothing weighs."""
    return _ratio(weights @ np.asarray(values, np.float64), weights.sum(axis=1))


def _from_zero(counts: Float) -> Float:
    """Put a column of 0 before."""
    return np.concatenate([np.zeros((len(counts), 1)), counts], axis=1)


def _ratio(above: Float, below: Float) -> Float:
    """Divide; NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan), np.float64)
