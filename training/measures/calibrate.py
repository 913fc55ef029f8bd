"""Calibration fitted on validation: a temperature, or a monotone table after it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression

from models.bundle.calibration import sigmoid
from models.bundle.manifest import Calibration

Float = NDArray[np.float64]
Truth = NDArray[np.bool_]
RANGE = (0.2, 10.0)


def fitted(kind: str, logits: NDArray[np.floating], truth: Truth, *, split: str = "validation") -> Calibration:
    """Fit "temperature" or "isotonic", or return the calibration that changes nothing ("none").

    Raises
    ------
    ValueError
        There is no such kind.
    """
    match kind:
        case "temperature":
            return by_temperature(logits, truth, split=split)
        case "isotonic":
            return by_isotonic(logits, truth, split=split)
        case "none":
            return none()
    raise ValueError(f"calibration {kind!r}: temperature, isotonic or none was expected")


def none() -> Calibration:
    """Return the calibration that changes nothing."""
    return Calibration(temperature=1.0, method="none")


def by_temperature(logits: NDArray[np.floating], truth: Truth, *, split: str = "validation") -> Calibration:
    """Fit a temperature; it does not change the order of images."""
    method = f"temperature scaling by likelihood on {len(truth)} {split} images"
    return Calibration(temperature=temperature(logits, truth), method=method)


def by_isotonic(logits: NDArray[np.floating], truth: Truth, *, split: str = "validation") -> Calibration:
    """Fit a monotone table to sigmoid(logit); images that it levels become ties.

    Its values stay 1 / (images + 2) away from 0 and 1: no number of images shows that something is impossible.
    """
    least = 1 / (len(truth) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    fitted.fit(sigmoid(logits), truth.astype(np.float64))
    pairs = zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True)
    method = f"isotonic regression on {len(truth)} {split} images"
    return Calibration(temperature=1.0, method=method, isotonic=tuple((x, y) for x, y in pairs))


def temperature(logits: NDArray[np.floating], truth: Truth) -> float:
    """Return the temperature that makes sigmoid(logit / temperature) most likely, between 0.2 and 10."""
    sign = np.where(truth, 1.0, -1.0) * np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -sign / np.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=(np.log(RANGE[0]), np.log(RANGE[1])), method="bounded")
    return float(np.exp(found.x))
