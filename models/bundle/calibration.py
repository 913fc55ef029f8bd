"""From logits to calibrated probabilities: one function, for serving and for training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import Calibration

Float = NDArray[np.float64]
# exp does not overflow within it.
FURTHEST_LOGIT = 60.0


def sigmoid(logits: NDArray[np.floating], dtype: type[np.floating] = np.float64) -> NDArray[Any]:
    """Return 1 / (1 + exp(-logits)), of any shape, computed in `dtype`; clipped so that exp does not overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(logits, dtype), -FURTHEST_LOGIT, FURTHEST_LOGIT))), dtype)


def calibrated(logits: NDArray[np.floating], calibration: Calibration) -> Float:
    """Return probabilities of logits of any shape: sigmoid(logit / temperature), then through the table if any.

    Between two pairs of the table it is linear; beyond its ends the end's value holds.
    """
    probability: Float = sigmoid(np.asarray(logits, np.float64) / calibration.temperature)
    if calibration.isotonic is None:
        return probability
    given, become = np.asarray(calibration.isotonic, np.float64).T
    return np.asarray(np.interp(probability, given, become), np.float64)
