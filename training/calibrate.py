"""Temperature and threshold of a classifier, both from validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Float = NDArray[np.float64]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Threshold:
    """A threshold on the calibrated probability and the rule that chose it."""

    threshold: float
    rule: str


def sigmoid(logits: NDArray[np.floating]) -> Float:
    """Give probabilities."""
    return 1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float64), -60, 60)))


def temperature(logits: NDArray[np.floating], truth: Truth) -> float:
    """Give the temperature that makes sigmoid(logit / temperature) most likely; between 0.2 and 10."""
    sign = np.where(truth, 1.0, -1.0) * np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -sign / np.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.2), np.log(10.0)), method="bounded")
    return float(np.exp(found.x))


def threshold(probability: Float, truth: Truth, *, floor: float) -> Threshold:
    """Choose the threshold by validation.

    Among the thresholds that keep sensitivity at `floor` or above, the one with the highest Youden index; placed
    midway, on the logit scale, between the images on either side of it.
    """
    scores = np.sort(np.unique(probability))
    cuts = sigmoid((_logit(scores[1:]) + _logit(scores[:-1])) / 2)
    sensitivity = np.array([(probability[truth] >= cut).mean() for cut in cuts])
    specificity = np.array([(probability[~truth] < cut).mean() for cut in cuts])
    allowed = sensitivity >= floor
    index = int(np.argmax(np.where(allowed, sensitivity + specificity, -1)))
    rule = (
        f"highest Youden index among thresholds with sensitivity at least {floor:g} on {len(truth)} validation images "
        f"({int(truth.sum())} positive): sensitivity {sensitivity[index]:.3f}, specificity {specificity[index]:.3f}"
    )
    return Threshold(float(cuts[index]), rule)


def _logit(probability: Float) -> Float:
    """Invert the sigmoid, away from the ends."""
    clipped = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.log(clipped / (1 - clipped))
