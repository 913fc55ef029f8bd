"""Intervals by a bootstrap over patients: patients are drawn, with all their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import Figure
from training.measures.scores import Measure, Scores, plain

Float = NDArray[np.float64]
DRAWS = 1000
SEED = 20261121
ENDS = (0.025, 0.975)
# Weights of so many image-draws at once stay within some 100 MB through every figure.
AT_ONCE = 2_000_000


def weights(patients: Sequence[str], draws: int = DRAWS) -> Float:
    """Return how often each image counts (draws, images) when as many patients as there are are drawn, with return."""
    names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    drawn = np.random.default_rng(SEED).integers(0, len(names), (draws, len(names)))
    offset = len(names) * np.arange(draws)[:, None]
    counts = np.bincount((drawn + offset).ravel(), minlength=draws * len(names)).reshape(draws, len(names))
    return counts[:, index].astype(np.float64)


def interval(measure: Measure, scores: Scores, drawn: Float | None = None) -> tuple[float, float]:
    """Return the 95 % interval of a figure; draws in which it is not defined are left out, NaN where all are.

    `drawn` are the weights of these images' patients, where they are at hand.
    """
    rows = weights(scores.patients) if drawn is None else drawn
    step = max(1, AT_ONCE // max(1, len(scores.truth)))
    values = np.concatenate([measure(scores, rows[start : start + step]) for start in range(0, len(rows), step)])
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, ENDS)
    return float(low), float(high)


def score_figure(name: str, measure: Measure, scores: Scores, measured_on: str, *, count: int | None = None) -> Figure:
    """Return a figure of scores with its interval; `count` images decide it (None: all)."""
    value, ends = plain(measure, scores), interval(measure, scores)
    return rounded(name, value, ends, count=len(scores.truth) if count is None else count, measured_on=measured_on)


def mean_figure(name: str, values: Sequence[float], patients: Sequence[str], measured_on: str) -> Figure | None:
    """Return the mean of one value per image with its interval; NaN is left out and not counted, None where all are."""
    given = np.asarray(values, np.float64)
    known = ~np.isnan(given)
    if not known.any():
        return None
    kept = Scores(given[known], known[known], [one for one, is_in in zip(patients, known, strict=True) if is_in])
    return score_figure(name, mean, kept, measured_on)


def mean(scores: Scores, drawn: Float) -> Float:
    """Average what stands for the probability."""
    return np.asarray(drawn @ scores.probability / drawn.sum(axis=1), np.float64)


def rounded(name: str, value: float, ends: tuple[float, float], *, count: int, measured_on: str) -> Figure:
    """Round to what can be read; an interval that is not known is None."""
    low, high = (None if np.isnan(end) else round(end, 4) for end in ends)
    return Figure(name=name, value=round(value, 4), low=low, high=high, count=count, measured_on=measured_on)
