"""Operating points, chosen on validation by a stated rule, never on test."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.bundle import CHOSEN, OperatingPoint
from models.calibration import sigmoid

Float = NDArray[np.float64]
Truth = NDArray[np.bool_]
Kind = Literal["target-sensitivity", "target-specificity", "youden", "cost", "fixed"]


class Rule(BaseModel):
    """How the threshold of a label is chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    """"target-sensitivity": of the thresholds that reach it, the highest. "target-specificity": of those that reach
    it, the lowest. "youden": the largest sum of sensitivity and specificity. "cost": the least cost of the errors.
    "fixed": the value itself."""
    value: float | None = Field(default=None, ge=0, le=1)
    """The target, or the fixed threshold."""
    sensitivity_at_least: float | None = Field(default=None, ge=0, le=1)
    """Only for "youden": among the thresholds that keep this sensitivity."""
    cost_ratio: float = Field(default=1.0, gt=0)
    """Only for "cost": what a missed positive costs, in false alarms."""
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    """Only for "cost": at which part of positives; None: that of validation."""
    name: str = CHOSEN
    """The operating point's name; "chosen" decides."""

    @model_validator(mode="after")
    def _complete(self) -> Rule:
        """Refuse a target without a value."""
        if self.kind in ("target-sensitivity", "target-specificity", "fixed") and self.value is None:
            raise ValueError(f"the rule {self.kind} needs a value")
        return self


def choose(rule: Rule, probability: Float, truth: Truth, *, label: str, split: str = "validation") -> OperatingPoint:
    """Choose the threshold of one label by a rule.

    Parameters
    ----------
    probability : (images,) calibrated, of the split that the thresholds are chosen on.
    truth : (images,); images whose truth is unknown are left out before.
    split : what people call these images.

    Returns
    -------
    The point; its rule says what was chosen, on what, and what it reached there.

    Raises
    ------
    ValueError
        There are no positives or no negatives.
    """
    if truth.all() or not truth.any():
        raise ValueError(f"{label}: positives and negatives are needed to choose a threshold")
    threshold = rule.value if rule.kind == "fixed" and rule.value is not None else _best(rule, probability, truth)
    reached = _rates(np.array([threshold]), probability, truth)
    where = f"{len(truth)} {split} images ({int(truth.sum())} positive)"
    sentence = (
        f"{_words(rule)} on {where}: sensitivity {reached[0][0]:.3f}, specificity {reached[1][0]:.3f}"
        if rule.kind != "fixed"
        else f"{_words(rule)}; on {where} it reaches sensitivity {reached[0][0]:.3f}, specificity {reached[1][0]:.3f}"
    )
    return OperatingPoint(label=label, threshold=float(threshold), rule=sentence, name=rule.name)


def _best(rule: Rule, probability: Float, truth: Truth) -> float:
    """Give the best of the thresholds that part the images."""
    cuts = candidates(probability)
    hit, spared = _rates(cuts, probability, truth)
    # Rising cuts: sensitivity falls, specificity rises. Among equals the first, that is the lowest, is taken.
    match rule.kind:
        case "target-sensitivity":
            return float(cuts[np.flatnonzero(hit >= _value(rule))[-1]])
        case "target-specificity":
            reached = np.flatnonzero(spared >= _value(rule))
            return float(cuts[reached[0]] if len(reached) else cuts[-1])
        case "cost":
            p = float(truth.mean()) if rule.prevalence is None else rule.prevalence
            return float(cuts[np.argmin(rule.cost_ratio * p * (1 - hit) + (1 - p) * (1 - spared))])
        case _:
            floor = 0.0 if rule.sensitivity_at_least is None else rule.sensitivity_at_least
            return float(cuts[np.argmax(np.where(hit >= floor, hit + spared, -1))])


def candidates(probability: Float) -> Float:
    """Give one threshold below all images, then midway, on the logit scale, between each two neighbours."""
    scores = np.unique(probability)
    between = sigmoid((_logit(scores[1:]) + _logit(scores[:-1])) / 2)
    # Scores at the ends of [0, 1], or too close to each other, leave no room: the upper of the two parts them.
    between = np.where((between > scores[:-1]) & (between <= scores[1:]), between, scores[1:])
    return np.concatenate([scores[:1], between])


def _rates(cuts: Float, probability: Float, truth: Truth) -> tuple[Float, Float]:
    """Give sensitivity and specificity at each cut."""
    positive, negative = np.sort(probability[truth]), np.sort(probability[~truth])
    hit = 1 - np.searchsorted(positive, cuts, side="left") / len(positive)
    return np.asarray(hit, np.float64), np.asarray(np.searchsorted(negative, cuts, side="left") / len(negative))


def _words(rule: Rule) -> str:
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


def _value(rule: Rule) -> float:
    """Give the rule's value, which its validation has seen."""
    if rule.value is None:
        raise ValueError(f"the rule {rule.kind} needs a value")
    return rule.value


def _logit(probability: Float) -> Float:
    """Invert the sigmoid, away from the ends."""
    clipped = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float64)
