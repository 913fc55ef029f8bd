"""Whether a bundle reaches what models/values/catalogue.py sets for it on its test split; the card says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from models.bundle.manifest import Figure
from models.values import catalogue
from models.values.catalogue import Target
from training.evaluation.report.outcome import Table

Verdict = Literal["reached", "not reached", "not measured"]


def of(name: str) -> tuple[Target, ...]:
    """Return the targets of a bundle; () where none were set."""
    row = catalogue.BUNDLES.get(name)
    return () if row is None else row.targets


def met(target: Target, value: float) -> bool:
    """Return whether a value reaches the bound."""
    return value <= target.bound if target.at_most else value >= target.bound


def bound_text(target: Target) -> str:
    """Say the bound."""
    return f"{'≤' if target.at_most else '≥'} {target.bound:g}"


def judged(name: str, figures: Sequence[Figure]) -> list[tuple[Target, tuple[Figure, ...], Verdict]]:
    """Compare the figures of a bundle with its targets; where several figures fit, all have to reach it."""
    made: list[tuple[Target, tuple[Figure, ...], Verdict]] = []
    for target in of(name):
        fitting = tuple(one for one in figures if _fits(target, one))
        verdict: Verdict = "not measured"
        if fitting:
            verdict = "reached" if all(met(target, one.value) for one in fitting) else "not reached"
        made.append((target, fitting, verdict))
    return made


def table(name: str, figures: Sequence[Figure]) -> Table | None:
    """Return the targets of a bundle as a table; None where it has none."""
    rows: list[tuple[str, ...]] = []
    for target, fitting, verdict in judged(name, figures):
        values = "; ".join(f"{one.value:.4f}" for one in fitting)
        on = "; ".join(one.measured_on for one in fitting) or target.on
        rows.append((target.figure, on, bound_text(target), values, verdict))
    if not rows:
        return None
    sentence = "What was set as a goal on the test split; the point estimate is compared, not its interval."
    return Table("Targets", sentence, ("figure", "measured on", "target", "value", "verdict"), tuple(rows))


def _fits(target: Target, figure: Figure) -> bool:
    """Return whether a figure is the one that a target speaks of."""
    if figure.name != target.figure or target.on not in figure.measured_on:
        return False
    return not (target.unless and target.unless in figure.measured_on)
