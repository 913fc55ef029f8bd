"""What each shipped bundle has to reach on its test split, checked by code; the card says whether it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.bundle.manifest import Figure
from training.evaluation.report.outcome import Table
from training.evaluation.tasks.anatomy import BOTH, ELSEWHERE, NOT_TRAINED_ON, RATIO_ERROR
from training.evaluation.tasks.boxes import OVERLAP, REGRESSION
from training.evaluation.tasks.labels import SAME_SIDE
from training.evaluation.tasks.lesions import CHALLENGE, DICE_TRUE_POSITIVES
from training.evaluation.tasks.volumes import DICE
from training.evaluation.truths import EXPERT_NEGATIVES, NIH_NO_FINDING

Verdict = Literal["reached", "not reached", "not measured"]


@dataclass(frozen=True)
class Target:
    """A figure by its name, and words that stand, and do not stand, in what it was measured on; at least or at most."""

    figure: str
    bound: float
    on: str = ""
    at_most: bool = False
    unless: str = NOT_TRAINED_ON

    def met_by(self, value: float) -> bool:
        """Whether a value reaches the bound."""
        return value <= self.bound if self.at_most else value >= self.bound

    @property
    def text(self) -> str:
        """Say the bound."""
        return f"{'≤' if self.at_most else '≥'} {self.bound:g}"


TARGETS: Mapping[str, tuple[Target, ...]] = {
    "lungs-heart": (
        Target("Dice lungs", 0.97, "both sites"),
        Target("Dice heart", 0.94, "both sites"),
        Target("Dice heart", 0.90, ELSEWHERE, unless=BOTH),
        Target(RATIO_ERROR, 0.015, "both sites", at_most=True),
        Target("heart box, intersection over union", 0.88, "both sites"),
    ),
    "heart-box": (Target(OVERLAP.format(REGRESSION), 0.88, "both sites"),),
    "paediatric-pneumonia": (
        Target("accuracy", 0.985),
        Target("AUC", 0.998),
        Target("sensitivity", 0.985),
        Target("specificity", 0.97),
    ),
    "adult-pneumonia": (Target("AUC", 0.80),),
    "atelectasis": (Target("AUC", 0.805), Target("sensitivity", 0.90)),
    "pneumothorax": (
        Target("AUC", 0.92, EXPERT_NEGATIVES),
        Target("AUC", 0.96, NIH_NO_FINDING),
        Target("sensitivity", 0.90),
        Target(SAME_SIDE, 0.85),
    ),
    "pneumothorax-segmentation": (
        Target(DICE_TRUE_POSITIVES, 0.50),
        Target(CHALLENGE, 0.84, EXPERT_NEGATIVES),
    ),
    "atrium-3d": (Target(DICE, 0.90),),
    "atrium-2d": (Target(DICE, 0.87),),
}


def judged(name: str, figures: Sequence[Figure]) -> list[tuple[Target, tuple[Figure, ...], Verdict]]:
    """Compare the figures of a bundle with its targets; where several figures fit, all have to reach it."""
    made: list[tuple[Target, tuple[Figure, ...], Verdict]] = []
    for target in TARGETS.get(name, ()):
        fitting = tuple(one for one in figures if _fits(target, one))
        verdict: Verdict = "not measured"
        if fitting:
            verdict = "reached" if all(target.met_by(one.value) for one in fitting) else "not reached"
        made.append((target, fitting, verdict))
    return made


def table(name: str, figures: Sequence[Figure]) -> Table | None:
    """Give the targets of a bundle as a table; None where it has none."""
    rows: list[tuple[str, ...]] = []
    for target, fitting, verdict in judged(name, figures):
        values = "; ".join(f"{one.value:.4f}" for one in fitting)
        on = "; ".join(one.measured_on for one in fitting) or target.on
        rows.append((target.figure, on, target.text, values, verdict))
    if not rows:
        return None
    sentence = "What was set as a goal on the test split; the point estimate is compared, not its interval."
    return Table("Targets", sentence, ("figure", "measured on", "target", "value", "verdict"), tuple(rows))


def _fits(target: Target, figure: Figure) -> bool:
    """Whether a figure is the one that a target speaks of."""
    if figure.name != target.figure or target.on not in figure.measured_on:
        return False
    return not (target.unless and target.unless in figure.measured_on)
