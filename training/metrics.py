"""Figures of merit with bootstrap intervals by patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from models.bundle import Figure

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
DRAWS = 1000
SEED = 20261121


@dataclass(frozen=True)
class Scores:
    """Probabilities with the truth and the patient of each image."""

    probability: Float
    truth: Mask
    patients: Sequence[str]


def dice(found: Mask, truth: Mask) -> float:
    """Give the Dice coefficient; NaN where both are empty, which is reported apart."""
    total = int(found.sum()) + int(truth.sum())
    return float("nan") if total == 0 else 2 * int((found & truth).sum()) / total


def auc(scores: Scores) -> float:
    """Give the area under the ROC curve; NaN with one class only."""
    return float(roc_auc_score(scores.truth, scores.probability)) if 0 < scores.truth.mean() < 1 else float("nan")


def sensitivity(scores: Scores, threshold: float) -> float:
    """Give the part of the positives at or above the threshold."""
    return float((scores.probability[scores.truth] >= threshold).mean()) if scores.truth.any() else float("nan")


def specificity(scores: Scores, threshold: float) -> float:
    """Give the part of the negatives below the threshold."""
    return float((scores.probability[~scores.truth] < threshold).mean()) if (~scores.truth).any() else float("nan")


def accuracy(scores: Scores, threshold: float) -> float:
    """Give the part of the images on the right side of the threshold."""
    return float(((scores.probability >= threshold) == scores.truth).mean())


def brier(scores: Scores) -> float:
    """Give the mean squared difference of probability and truth."""
    return float(((scores.probability - scores.truth) ** 2).mean())


def calibration_error(scores: Scores, bins: int = 10) -> float:
    """Give the expected calibration error over bins of equal width."""
    error = 0.0
    for inside in bin_members(scores, bins):
        if inside.any():
            gap = abs(scores.probability[inside].mean() - scores.truth[inside].mean())
            error += float(inside.mean() * gap)
    return error


def bin_members(scores: Scores, bins: int = 10) -> list[Mask]:
    """Sort the images into bins of equal width."""
    index = np.minimum((scores.probability * bins).astype(int), bins - 1)
    return [index == one for one in range(bins)]


def figure(name: str, values: Sequence[float], measured_on: str) -> Figure:
    """Give the mean of one value per patient with its bootstrap interval; NaN values are left out and not counted."""
    known = np.asarray([value for value in values if not np.isnan(value)], np.float64)
    rng = np.random.default_rng(SEED)
    means = rng.choice(known, (DRAWS, len(known))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return _figure(name, float(known.mean()), (low, high), count=len(known), measured_on=measured_on)


def score_figure(
    name: str, scores: Scores, measure: Callable[[Scores], float], measured_on: str, *, count: int | None = None
) -> Figure:
    """Give a measure with a bootstrap interval over patients; `count` images decide it (None: all)."""
    rng = np.random.default_rng(SEED)
    names = sorted(set(scores.patients))
    members = {patient: np.flatnonzero(np.asarray(scores.patients) == patient) for patient in names}
    drawn: list[float] = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[names[i]] for i in rng.integers(0, len(names), len(names))])
        drawn.append(measure(Scores(scores.probability[rows], scores.truth[rows], ())))
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return _figure(
        name, measure(scores), (low, high), count=len(scores.truth) if count is None else count, measured_on=measured_on
    )


def _figure(name: str, value: float, interval: tuple[float, float], *, count: int, measured_on: str) -> Figure:
    """Round to what can be read."""
    low, high = (round(float(end), 4) for end in interval)
    return Figure(name=name, value=round(value, 4), low=low, high=high, count=count, measured_on=measured_on)
