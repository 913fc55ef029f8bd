"""Operating points, chosen on validation by a stated rule, never on test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.bundle.calibration import sigmoid
from models.bundle.manifest import OperatingPoint
from training.config import ThresholdRule
from training.measures import bootstrap

Float = NDArray[np.float64]
Truth = NDArray[np.bool_]
# The central 90 % of the thresholds of other samples. On the validation images of pneumothorax 95 % made 16.9 % of the
# images indeterminate instead of 11.8 %, and spared one missed positive of 153 (training/LOG.md).
INDETERMINATE_PART = 0.9


def choose(
    rule: ThresholdRule,
    probability: Float,
    truth: Truth,
    *,
    label: str,
    split: str = "validation",
    patients: Sequence[str] | None = None,
) -> OperatingPoint:
    """Choose the threshold of one label by a rule.

    Parameters
    ----------
    probability
        (images,) calibrated, of the split that the thresholds are chosen on.
    truth
        (images,); images whose truth is unknown are left out before.
    split
        What people call these images.
    patients
        Of each image; None: how uncertain the threshold is remains unknown.

    Returns
    -------
    The point; its rule says what was chosen, on what, and what it reached there. A threshold chosen by data has a range
    of doubt where the patients are given.

    Raises
    ------
    ValueError
        There are no positives or no negatives.
    """
    if truth.all() or not truth.any():
        raise ValueError(f"{label}: positives and negatives are needed to choose a threshold")
    by_data = rule.kind != "fixed"
    threshold = _best(rule, probability, truth) if by_data else _value(rule)
    reached = _rates(np.array([threshold]), probability, truth)
    where = f"{len(truth)} {split} images ({int(truth.sum())} positive)"
    sentence = (
        f"{_words(rule)} on {where}: sensitivity {reached[0][0]:.3f}, specificity {reached[1][0]:.3f}"
        if by_data
        else f"{_words(rule)}; on {where} it reaches sensitivity {reached[0][0]:.3f}, specificity {reached[1][0]:.3f}"
    )
    point = OperatingPoint(label=label, threshold=threshold, rule=sentence, name=rule.name)
    if patients is None or not by_data:
        return point
    doubt = indeterminate_range(rule, probability, truth, patients)
    ends = min(doubt[0], threshold), max(doubt[1], threshold)
    words = _range_words(ends, threshold, probability, truth, where)
    return point.model_copy(update={"doubt": ends, "doubt_rule": words})


def indeterminate_range(
    rule: ThresholdRule, probability: Float, truth: Truth, patients: Sequence[str]
) -> tuple[float, float]:
    """Return where the same rule puts the threshold on other samples: the central 90 % of bootstrap draws by patient.

    The calibration is that of all images in every draw: it keeps the order of images, and so what a rule chooses.
    Draws without positives or without negatives are left out.
    """
    found: list[float] = []
    for counts in bootstrap.weights(patients).astype(np.intp):
        drawn = np.repeat(np.arange(len(truth)), counts)
        if 0 < truth[drawn].sum() < len(drawn):
            found.append(_best(rule, probability[drawn], truth[drawn]))
    low, high = np.quantile(found, ((1 - INDETERMINATE_PART) / 2, (1 + INDETERMINATE_PART) / 2))
    return float(low), float(high)


def _best(rule: ThresholdRule, probability: Float, truth: Truth) -> float:
    """Return the best of the thresholds that part the images."""
    cuts = candidates(probability)
    sensitivity, specificity = _rates(cuts, probability, truth)
    # Rising cuts: sensitivity falls, specificity rises. Among equals the first, that is the lowest, is taken.
    match rule.kind:
        case "target-sensitivity":
            return float(cuts[np.flatnonzero(sensitivity >= _value(rule))[-1]])
        case "target-specificity":
            reached = np.flatnonzero(specificity >= _value(rule))
            return float(cuts[reached[0]] if len(reached) else cuts[-1])
        case "cost":
            p = float(truth.mean()) if rule.prevalence is None else rule.prevalence
            return float(cuts[np.argmin(rule.cost_ratio * p * (1 - sensitivity) + (1 - p) * (1 - specificity))])
        case _:
            floor = 0.0 if rule.sensitivity_at_least is None else rule.sensitivity_at_least
            return float(cuts[np.argmax(np.where(sensitivity >= floor, sensitivity + specificity, -1))])


def candidates(probability: Float) -> Float:
    """Return one threshold below all images, then midway, on the logit scale, between each two neighbours."""
    scores = np.unique(probability)
    between = sigmoid((_logit(scores[1:]) + _logit(scores[:-1])) / 2)
    # Scores at the ends of [0, 1], or too close to each other, leave no room: the upper of the two parts them.
    between = np.where((between > scores[:-1]) & (between <= scores[1:]), between, scores[1:])
    return np.concatenate([scores[:1], between])


def _rates(cuts: Float, probability: Float, truth: Truth) -> tuple[Float, Float]:
    """Return sensitivity and specificity at each cut."""
    positive, negative = np.sort(probability[truth]), np.sort(probability[~truth])
    sensitivity = 1 - np.searchsorted(positive, cuts, side="left") / len(positive)
    return np.asarray(sensitivity, np.float64), np.asarray(np.searchsorted(negative, cuts, side="left") / len(negative))


def _words(rule: ThresholdRule) -> str:
    """Say the rule."""
    match rule.kind:
        case "target-sensitivity":
            return f"highest threshold with sensitivity at least {_value(rule):g}"
        case "target-specificity":
            return f"lowest threshold with specificity at least {_value(rule):g}"
        case "cost":
            at = "their prevalence" if rule.prevalence is None else f"a prevalence of {rule.prevalence:g}"
            return f"least cost, a missed positive counting {rule.cost_ratio:g} false alarms, at {at},"
        case "fixed":
            return f"fixed at {_value(rule):g}, not chosen by data"
        case "youden":
            if rule.sensitivity_at_least is None:
                return "highest Youden index"
            floor = rule.sensitivity_at_least
            return f"highest Youden index among thresholds with sensitivity at least {floor:g}"


def _range_words(doubt: tuple[float, float], threshold: float, probability: Float, truth: Truth, where: str) -> str:
    """Say how the range was found on the images `where`, how many of them lie within, and what is reached outside."""
    within = (probability >= doubt[0]) & (probability < doubt[1])
    said = (
        f"central {INDETERMINATE_PART:.0%} of the thresholds that its rule chooses on {bootstrap.DRAWS} samples of the "
        f"{where}, drawn by patient; {within.mean():.1%} of these images lie within"
    )
    outside = truth[~within]
    if outside.all() or not outside.any():
        return f"{said}, and no images of both kinds outside"
    sensitivity, specificity = _rates(np.array([threshold]), probability[~within], outside)
    return f"{said}, and outside the sensitivity is {sensitivity[0]:.3f}, the specificity {specificity[0]:.3f}"


def _value(rule: ThresholdRule) -> float:
    """Return the rule's value, which its validation has seen."""
    if rule.value is None:
        raise ValueError(f"the rule {rule.kind} needs a value")
    return rule.value


def _logit(probability: Float) -> Float:
    """Invert the sigmoid, away from the ends."""
    clipped = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)
