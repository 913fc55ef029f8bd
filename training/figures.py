"""Plots of an evaluation. No patient's image is drawn: curves, counts and contours only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from training.metrics import Mask, Scores, bin_members

INK, ACCENT, SECOND, PALE = "#20303c", "#1f6f8b", "#c8553d", "#b9c4cb"


@dataclass(frozen=True)
class Case:
    """Found and true masks (labels, rows, columns) of one image, for its contours."""

    title: str
    found: Mask
    truth: Mask


def roc(scores: Scores, threshold: float, path: Path) -> None:
    """Draw the ROC curve with the operating point."""
    canvas, axes = _plot("ROC, test split", "1 - specificity", "sensitivity")
    false_positive, true_positive, _ = roc_curve(scores.truth, scores.probability)
    axes.plot(false_positive, true_positive, color=ACCENT, linewidth=2)
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    x = float((scores.probability[~scores.truth] >= threshold).mean())
    y = float((scores.probability[scores.truth] >= threshold).mean())
    axes.plot([x], [y], "o", color=SECOND, label=f"threshold {threshold:.3f}")
    axes.legend(loc="lower right", frameon=False)
    _save(canvas, path)


def reliability(scores: Scores, path: Path) -> None:
    """Draw the observed part of positives against the mean probability, bin by bin."""
    canvas, axes = _plot("Reliability, test split", "mean probability", "observed part positive")
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for inside in bin_members(scores):
        if inside.any():
            x, y = float(scores.probability[inside].mean()), float(scores.truth[inside].mean())
            axes.plot([x], [y], "o", color=ACCENT)
            axes.annotate(str(int(inside.sum())), (x, y), textcoords="offset points", xytext=(6, -10), fontsize=8)
    _save(canvas, path)


def confusion(counts: NDArray[np.int64], path: Path) -> None:
    """Draw the confusion matrix: rows truth, columns result, negative first."""
    canvas, axes = _plot("Confusion, test split", "result", "truth")
    axes.imshow(np.log1p(counts), cmap="Blues", aspect="equal")
    for row in range(2):
        for column in range(2):
            dark = counts[row, column] > counts.max() / 4
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color="white" if dark else INK)
    axes.set_xticks([0, 1], ["negative", "positive"])
    axes.set_yticks([0, 1], ["negative", "positive"])
    _save(canvas, path)


def histogram(scores: Scores, threshold: float, path: Path) -> None:
    """Draw the scores of both classes."""
    canvas, axes = _plot("Scores, test split", "calibrated probability", "images (log)")
    bins = np.linspace(0, 1, 41).tolist()
    axes.hist(scores.probability[~scores.truth], bins, color=ACCENT, alpha=0.7, label="negative")
    axes.hist(scores.probability[scores.truth], bins, color=SECOND, alpha=0.7, label="positive")
    axes.axvline(threshold, color=INK, linewidth=1, linestyle="--")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    _save(canvas, path)


def distributions(values: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw the Dice of each structure and site as points over boxes."""
    canvas, axes = _plot("Dice, test split", "", "Dice")
    rng = np.random.default_rng(0)
    known = {name: [v for v in group if not np.isnan(v)] for name, group in values.items()}
    axes.boxplot(list(known.values()), showfliers=False, medianprops={"color": SECOND})
    for position, group in enumerate(known.values(), 1):
        axes.plot(position + rng.uniform(-0.15, 0.15, len(group)), group, ".", color=ACCENT, alpha=0.5, markersize=4)
    axes.set_xticks(range(1, len(known) + 1), list(known), rotation=30, ha="right", fontsize=8)
    _save(canvas, path)


def agreement(truth: Sequence[float], found: Sequence[float], path: Path) -> None:
    """Draw the cardiothoracic ratio found against that of the reference masks, as difference over mean."""
    canvas, axes = _plot("Cardiothoracic ratio, test split", "mean of both", "found - reference")
    x, y = np.asarray(truth), np.asarray(found)
    axes.plot((x + y) / 2, y - x, ".", color=ACCENT)
    bias, spread = float((y - x).mean()), float((y - x).std(ddof=1))
    for level in (bias - 1.96 * spread, bias, bias + 1.96 * spread):
        axes.axhline(level, color=SECOND, linewidth=1, linestyle="-" if level == bias else "--")
    _save(canvas, path)


def contours(cases: Sequence[Case], path: Path) -> None:
    """Draw the contours of the worst cases: true in grey, found in colour. Nothing of the image itself."""
    columns = 4
    rows = -(-len(cases) // columns)
    canvas = Figure(figsize=(2.6 * columns, 2.8 * rows), dpi=100, layout="constrained")
    for index, case in enumerate(cases):
        axes = canvas.add_subplot(rows, columns, index + 1)
        for truth, found, colour in zip(case.truth, case.found, (ACCENT, "#2f8f5b", SECOND), strict=True):
            for mask, tint, width in ((truth, PALE, 3.0), (found, colour, 1.2)):
                if mask.any():
                    axes.contour(mask.astype(float), [0.5], colors=[tint], linewidths=width)
        axes.set_xlim(0, case.truth.shape[2])
        axes.set_ylim(case.truth.shape[1], 0)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(case.title, fontsize=8)
    _save(canvas, path)


def _plot(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """Make one empty plot."""
    canvas = Figure(figsize=(5, 4.2), dpi=100, layout="constrained")
    axes = canvas.add_subplot()
    axes.set_title(title, color=INK, fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return canvas, axes


def _save(canvas: Figure, path: Path) -> None:
    """Write a PNG without metadata that changes from run to run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, metadata={"Software": None})
