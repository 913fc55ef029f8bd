"""What an evaluation hands on: figures for the manifest, a report, plots and tables for the page and the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle.manifest import Figure


@dataclass(frozen=True)
class Plot:
    """A picture file in the evaluation's folder, with its heading and one sentence on how to read it."""

    file: str
    heading: str
    sentence: str


@dataclass(frozen=True)
class Table:
    """A table with its heading and one sentence on how to read it."""

    heading: str
    sentence: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass
class EvaluationOutcome:
    """Filled by an evaluator.

    Attributes
    ----------
    figures
        What the manifest carries.
    report
        Every number, as JSON.
    plots, tables
        In the order of the page.
    """

    figures: list[Figure] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def add(self, *figures: Figure | None) -> None:
        """Add what is defined."""
        self.figures.extend(one for one in figures if one is not None)


@dataclass(frozen=True)
class Canvas:
    """Where plots go, and whether the pictures themselves may be drawn beneath outlines and heat maps.

    A bundle is handed on, so nothing in it shows a patient's image.
    """

    folder: Path
    pictures: bool = False


def shown(figure: Figure) -> str:
    """Return value, interval and count as people read them."""
    ends = "" if figure.low is None or figure.high is None else f" ({figure.low:.3f} to {figure.high:.3f})"
    return f"{figure.value:.3f}{ends}, n = {figure.count}"


def figure_table(heading: str, sentence: str, figures: Sequence[Figure]) -> Table:
    """Return figures as a table."""
    rows = tuple((one.name, one.measured_on, f"{one.value:.4f}", interval_text(one), str(one.count)) for one in figures)
    return Table(heading, sentence, ("figure", "measured on", "value", "95 % interval", "n"), rows)


def interval_text(figure: Figure) -> str:
    """Return the interval; nothing where there is none."""
    return "" if figure.low is None or figure.high is None else f"{figure.low:.4f} to {figure.high:.4f}"


def plain(value: float | None) -> float | None:
    """Round for the report; None for NaN, which JSON does not know."""
    return None if value is None or np.isnan(value) else round(float(value), 5)
