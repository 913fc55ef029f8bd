"""From logits to calibrated probabilities: one function, for serving and for training."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
# exp does not overflow within it.
FURTHEST_LOGIT = 60.0


class Calibration(Protocol):
    """What a manifest says about calibration (models/bundle/manifest.py)."""

    @property
    def temperature(self) -> float:
        """Divides the logits."""

    @property
    def isotonic(self) -> tuple[tuple[float, float], ...] | None:
        """Pairs of sigmoid(logit / temperature) and calibrated probability, rising; None: nothing follows."""


def sigmoid(logits: NDArray[np.floating]) -> Float:
    """Give 1 / (1 + exp(-logits)), of any shape, clipped so that exp does not overflow."""
    return 1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float64), -FURTHEST_LOGIT, FURTHEST_LOGIT)))


def calibrated(logits: NDArray[np.floating], calibration: Calibration) -> Float:
    """Give probabilities of logits of any shape: sigmoid(logit / temperature), then through the table if there is one.

    Between two pairs of the table it is linear; beyond its ends the end's value holds.
    """
    probability = sigmoid(np.asarray(logits, np.float64) / calibration.temperature)
    if calibration.isotonic is None:
        return probability
    given, become = np.asarray(calibration.isotonic, np.float64).T
    return np.asarray(np.interp(probability, given, become), np.float64)
