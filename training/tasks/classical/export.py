"""The classical baseline is a figure to beat and makes no bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.config import Run


def export(run: Run, folds: Sequence[Path] = (), *, ensemble: bool = False) -> tuple[Path, ...]:
    """Refuse.

    Raises
    ------
    ValueError
        Always.
    """
    raise ValueError("the classical baseline is a figure to beat and makes no bundle; see its report.json")
