"""The triplet of a lesion network (models/chest/lesions.py), chosen on validation by the challenge's own metric.

That metric is the Dice of each image, where empty against empty counts 1 and empty against anything else 0, averaged.
Our positives are many and the challenge's few, so positives and negatives are averaged apart and weighted by a stated
prevalence. All triplets of a grid are tried at once: the areas and overlaps of every image above every threshold are
cumulative histograms, and the means are matrix products. A finer grid around the best one follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import HysteresisThreshold
from models.chest.lesions import least_pixels

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
# Part of images with a lesion in the challenge's data.
PREVALENCE = 0.22
TOPS = tuple(round(0.1 + 0.05 * step, 4) for step in range(18))
BOTTOMS = tuple(round(0.05 + 0.05 * step, 4) for step in range(18))
AREAS = (0.0, *(round(2.0**power, 7) for power in np.arange(-14, -4.5, 0.5)))
FINER = 5


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of each image above each threshold (images, thresholds), within the truth too, and of the truth."""

    above: Float
    overlap: Float
    truth: Float
    pixels: int


@dataclass(frozen=True)
class Choice:
    """A triplet with its score on validation, and how many images gave it."""

    triplet: HysteresisThreshold
    score: float
    positives: int
    negatives: int


def choose(
    probability: NDArray[np.floating],
    truth: Mask,
    *,
    prevalence: float = PREVALENCE,
    allowed: Mask | None = None,
) -> Choice:
    """Choose the triplet with the best metric at a prevalence; of equal ones, that with the largest thresholds.

    Parameters
    ----------
    probability
        (images, rows, columns) in [0, 1], on the model grid.
    truth
        The masks; one that is empty is a known negative.
    allowed
        (images,), where the classifier that gates the masks is positive; None: everywhere.

    Raises
    ------
    ValueError
        There are no positives or no negatives.
    """
    positive = positives(truth)
    if positive.all() or not positive.any():
        raise ValueError(f"{int(positive.sum())} of {len(positive)} images have a lesion; both kinds are needed")
    weight = image_weights(positive, prevalence)
    passes = np.ones(len(truth), bool) if allowed is None else allowed
    tops, areas, bottoms = np.array(TOPS), np.array(AREAS), np.array(BOTTOMS)
    best, score = _best(probability, truth, weight, passes, grid=(tops, areas, bottoms))
    finer = (_around(tops, best[0]), _around(areas, best[1]), _around(bottoms, best[2]))
    best, score = _best(probability, truth, weight, passes, grid=finer)
    count = int(positive.sum())
    rule = (
        f"challenge metric on validation at a prevalence of {prevalence:.0%}: {score:.4f} on {count} images with and "
        f"{len(positive) - count} without a lesion"
    )
    triplet = HysteresisThreshold(top_threshold=best[0], minimum_area=best[1], bottom_threshold=best[2], rule=rule)
    return Choice(triplet, score, count, len(positive) - count)


def positives(truth: Mask) -> Mask:
    """Say which masks (images, rows, columns) are not empty."""
    return np.asarray(truth.any(axis=(1, 2)), bool)


def image_dice(found: Mask, truth: Mask) -> Float:
    """Return the Dice of each image (images,) as the challenge counts it: empty against empty is 1."""
    total = found.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    overlap = (found & truth).sum(axis=(1, 2))
    return np.where(total == 0, 1.0, 2 * overlap / np.maximum(total, 1))


def image_weights(positive: Mask, prevalence: float) -> Float:
    """Return each image's part of the mean (images,): all positives together have the prevalence."""
    return np.where(positive, prevalence / max(1, positive.sum()), (1 - prevalence) / max(1, (~positive).sum()))


def counted(probability: NDArray[np.floating], truth: Mask, thresholds: Float) -> PixelCounts:
    """Count the pixels strictly above each threshold, image by image; `thresholds` rise."""
    levels = thresholds.astype(probability.dtype)
    above = np.empty((len(truth), len(levels)))
    overlap = np.empty_like(above)
    for number, (given, mask) in enumerate(zip(probability, truth, strict=True)):
        # (rows * columns,): how many thresholds lie below the pixel
        level = np.searchsorted(levels, given.ravel(), side="left")
        above[number] = _at_least(level, len(levels))
        overlap[number] = _at_least(level[mask.ravel()], len(levels))
    return PixelCounts(above, overlap, truth.sum(axis=(1, 2)).astype(np.float64), truth[0].size)


def _at_least(level: NDArray[np.intp], thresholds: int) -> Float:
    """Return how many pixels lie above each threshold."""
    histogram = np.bincount(level, minlength=thresholds + 1)
    return histogram[::-1].cumsum()[::-1][1:].astype(np.float64)


def _best(
    probability: NDArray[np.floating], truth: Mask, weight: Float, passes: Mask, *, grid: tuple[Float, Float, Float]
) -> tuple[tuple[float, float, float], float]:
    """Return the best of a grid of top thresholds, areas and bottom thresholds, with its score."""
    tops, areas, bottoms = grid
    at_top, at_bottom = counted(probability, truth, tops), counted(probability, truth, bottoms)
    least = np.array([least_pixels(area, at_top.pixels) for area in areas])
    there = (at_top.above[:, :, None] >= least) & passes[:, None, None]  # (images, tops, areas)
    total = at_bottom.above + at_bottom.truth[:, None]
    dice = np.where(total == 0, 1.0, 2 * at_bottom.overlap / np.maximum(total, 1))  # (images, bottoms)
    silent = (at_bottom.truth == 0).astype(np.float64)  # what an image gives where nothing is found
    gain = weight[:, None] * (dice - silent[:, None])
    scores = weight @ silent + np.tensordot(there.astype(np.float64), gain, axes=(0, 0))  # (tops, areas, bottoms)
    scores[bottoms[None, None, :] > tops[:, None, None] + np.zeros((1, len(areas), 1))] = -np.inf
    # Of equal scores the last: larger thresholds say less.
    flat = scores.size - 1 - int(np.argmax(scores.ravel()[::-1].round(12)))
    top, area, bottom = np.unravel_index(flat, scores.shape)
    return (float(tops[top]), float(areas[area]), float(bottoms[bottom])), float(scores[top, area, bottom])


def _around(values: Float, best: float) -> Float:
    """Return a finer grid between the neighbours of the best value, which it holds."""
    place = int(np.flatnonzero(values == best)[0])
    below, above = values[max(0, place - 1)], values[min(len(values) - 1, place + 1)]
    lower, upper = np.linspace(below, best, FINER), np.linspace(best, above, FINER)
    return np.unique(np.concatenate([lower, upper]).round(7))
