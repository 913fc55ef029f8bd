"""Every figure by subgroup; a group that is too small says so instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.bundle.manifest import Figure
from training.evaluation.report.outcome import Table, interval_text
from training.measures import bootstrap, scores
from training.measures.scores import Measure, Scores

# Fewer images of a class than this say nothing about it.
LEAST = 10


@dataclass(frozen=True)
class SubgroupRow:
    """One figure of one group; `figure` None: too few, see `remark`."""

    column: str
    value: str
    name: str
    positives: int
    negatives: int
    figure: Figure | None
    remark: str = ""


def of_scores(
    found: Scores, groups: Sequence[Mapping[str, str]], threshold: float, measured_on: str, *, least: int = LEAST
) -> list[SubgroupRow]:
    """Return the figures of a classifier for each value of each column.

    Parameters
    ----------
    groups
        For each image the value of each column.
    least
        Fewer positives (for the sensitivity), negatives (specificity) or either (the others) give a remark.
    """
    measures: tuple[tuple[str, Measure, bool, bool], ...] = (
        ("AUC", scores.auc, True, True),
        ("sensitivity", scores.sensitivity(threshold), True, False),
        ("specificity", scores.specificity(threshold), False, True),
        ("accuracy", scores.accuracy(threshold), True, True),
        ("average precision", scores.average_precision, True, True),
        ("Brier score", scores.brier, True, True),
        ("expected calibration error", scores.calibration_error, True, True),
    )
    rows: list[SubgroupRow] = []
    for column, value, inside in members(groups):
        part = found.part(inside)
        counts = int(part.truth.sum()), int((~part.truth).sum())
        for name, measure, needs_positives, needs_negatives in measures:
            wanted = [(counts[0], "positive")] * needs_positives + [(counts[1], "negative")] * needs_negatives
            if any(count == 0 for count, _ in wanted):
                continue
            lacking = [f"{kind}s" for count, kind in wanted if count < least]
            figure = None
            if not lacking:
                deciding = sum(count for count, _ in wanted)
                figure = bootstrap.score_figure(name, measure, part, f"{measured_on}, {column} {value}", count=deciding)
            remark = f"fewer than {least} {' and '.join(lacking)}" if lacking else ""
            rows.append(SubgroupRow(column, value, name, *counts, figure, remark))
    return rows


def of_values(
    name: str,
    values: Sequence[float],
    patients: Sequence[str],
    groups: Sequence[Mapping[str, str]],
    measured_on: str,
    *,
    least: int = LEAST,
) -> list[SubgroupRow]:
    """Return the mean of one value per image, NaN left out, for each value of each column."""
    given = np.asarray(values, np.float64)
    rows: list[SubgroupRow] = []
    for column, value, inside in members(groups):
        count = int((~np.isnan(given[inside])).sum())
        figure = None
        if count >= least:
            chosen = [patient for patient, is_in in zip(patients, inside, strict=True) if is_in]
            figure = bootstrap.mean_figure(name, given[inside].tolist(), chosen, f"{measured_on}, {column} {value}")
        rows.append(SubgroupRow(column, value, name, count, 0, figure, "" if figure else f"fewer than {least} images"))
    return rows


def members(groups: Sequence[Mapping[str, str]]) -> list[tuple[str, str, scores.Mask]]:
    """List column, value and the mask of its images; columns in their own order, values sorted."""
    columns = list(dict.fromkeys(column for one in groups for column in one))
    found: list[tuple[str, str, scores.Mask]] = []
    for column in columns:
        given = np.array([one.get(column, "unknown") for one in groups])
        found.extend((column, str(value), given == value) for value in sorted(set(given.tolist())))
    return found


def table(rows: Sequence[SubgroupRow], *, with_classes: bool = True) -> Table:
    """Return rows as a table, one line a group and figure."""
    sentence = (
        f"The same figures among parts of the images. Groups with fewer than {LEAST} images that decide a figure have "
        "none: it would say nothing. What needs a class that a group does not have is not listed."
    )
    columns = ("column", "value", "figure", "result", "95 % interval", *_counted(with_classes))
    lines = tuple(
        (
            one.column,
            one.value,
            one.name,
            one.remark if one.figure is None else f"{one.figure.value:.4f}",
            "" if one.figure is None else interval_text(one.figure),
            *((str(one.positives), str(one.negatives)) if with_classes else (str(one.positives),)),
        )
        for one in rows
    )
    return Table("Subgroups", sentence, columns, lines)


def plain(rows: Sequence[SubgroupRow]) -> list[dict[str, Any]]:
    """Return rows for the report."""
    return [
        {
            "column": one.column,
            "value": one.value,
            "figure": one.name,
            "positives": one.positives,
            "negatives": one.negatives,
            "result": None if one.figure is None else one.figure.value,
            "low": None if one.figure is None else one.figure.low,
            "high": None if one.figure is None else one.figure.high,
            "remark": one.remark,
        }
        for one in rows
    ]


def _counted(with_classes: bool) -> tuple[str, ...]:
    """Name the columns of the counts."""
    return ("positives", "negatives") if with_classes else ("images",)
