"""Plots of an evaluation: curves, counts and distributions. Each writes one small PNG, the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from training.measures import bootstrap, scores
from training.measures.scores import Float, Scores

INK, ACCENT, SECOND, THIRD, PALE = "#20303c", "#1f6f8b", "#c8553d", "#2f8f5b", "#b9c4cb"
COLOURS = (ACCENT, SECOND, THIRD)
GRID = np.linspace(0, 1, 101)
# A plot without pictures has few colours; a palette makes the file a third as large.
PLOT_COLOURS = 64


def roc(groups: Mapping[str, Scores], threshold: float, path: Path) -> None:
    """Draw the ROC curve of each group with the band of its bootstrap, and the operating point on it."""
    canvas, axes = plot("1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for (name, found), colour in zip(groups.items(), COLOURS, strict=False):
        once = np.ones((1, len(found.truth)))
        _band(axes, *scores.roc_points(found, bootstrap.weights(found.patients)), colour)
        false_positive, true_positive = scores.roc_points(found, once)
        area = scores.plain(scores.auc, found)
        axes.plot(false_positive[0], true_positive[0], color=colour, linewidth=1.8, label=f"{name}AUC {area:.3f}")
        x = 1 - scores.plain(scores.specificity(threshold), found)
        y = scores.plain(scores.sensitivity(threshold), found)
        axes.plot([x], [y], "o", color=colour, markeredgecolor="white", markersize=8)
    axes.plot([], [], "o", color=PALE, label=f"threshold {threshold:.3g}")
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    save(canvas, path)


def precision_recall(groups: Mapping[str, Scores], path: Path) -> None:
    """Draw precision over recall of each group with its band, and the part of positives as a line."""
    canvas, axes = plot("recall (sensitivity)", "precision (positive predictive value)")
    for (name, found), colour in zip(groups.items(), COLOURS, strict=False):
        once = np.ones((1, len(found.truth)))
        _band(axes, *scores.precision_recall_points(found, bootstrap.weights(found.patients)), colour)
        recall, precision = scores.precision_recall_points(found, once)
        average = scores.plain(scores.average_precision, found)
        axes.plot(recall[0], precision[0], color=colour, linewidth=1.8, label=f"{name}average precision {average:.3f}")
        axes.axhline(float(found.truth.mean()), color=colour, linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(0, 1.03)
    axes.legend(loc="lower left", frameon=False, fontsize=9)
    save(canvas, path)


def confusions(points: Mapping[str, NDArray[np.int64]], path: Path) -> None:
    """Draw one confusion matrix for each operating point; shades are parts of a row."""
    canvas = Figure(figsize=(max(3.6, 2.6 * len(points)), 2.9), dpi=100, layout="constrained")
    for index, (name, counts) in enumerate(points.items()):
        axes = canvas.add_subplot(1, len(points), index + 1)
        part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(part, cmap="Blues", vmin=0, vmax=1.2)
        for row in range(2):
            for column in range(2):
                tint = "white" if part[row, column] > 0.6 else INK
                text = f"{counts[row, column]}\n{part[row, column]:.0%}"
                axes.text(column, row, text, ha="center", va="center", color=tint, fontsize=10)
        axes.set_xticks([0, 1], ["negative", "positive"], fontsize=8)
        axes.set_yticks([0, 1], ["negative", "positive"] if index == 0 else ["", ""], fontsize=8)
        axes.set_xlabel("result", fontsize=9)
        axes.set_ylabel("truth" if index == 0 else "", fontsize=9)
        axes.set_title(name, fontsize=9, color=INK)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    save(canvas, path)


def histogram(
    groups: Mapping[str, Float], threshold: float, path: Path, *, label: str = "calibrated probability"
) -> None:
    """Draw the scores of each group as part of the group, with the threshold; the few near it need a log scale."""
    canvas, axes = plot(label, "part of the group (log)")
    bins = np.linspace(0, 1, 21)
    least = 0.5 / max((len(values) for values in groups.values()), default=1)
    axes.set_yscale("log")
    for (name, values), colour in zip(groups.items(), (SECOND, ACCENT, THIRD), strict=False):
        counts = np.histogram(values, bins)[0] / max(len(values), 1)
        axes.stairs(
            np.maximum(counts, least),
            bins,
            baseline=least,
            color=colour,
            linewidth=1.6,
            label=f"{name} ({len(values)})",
        )
        axes.stairs(np.maximum(counts, least), bins, baseline=least, color=colour, alpha=0.18, fill=True)
    axes.axvline(threshold, color=INK, linewidth=1, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set_ylim(least, 30)
    axes.set_yticks([part for part in (0.001, 0.01, 0.1, 1) if part >= least])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    save(canvas, path)


def reliability(before: Scores, after: Scores, path: Path) -> None:
    """Draw the observed part of positives over the mean probability, before and after calibration."""
    canvas = Figure(figsize=(7.6, 4), dpi=100, layout="constrained")
    left: Axes | None = None
    for index, (name, found) in enumerate((("before", before), ("after", after))):
        axes = canvas.add_subplot(1, 2, index + 1, sharey=left)
        left = axes
        axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
        bins = scores.reliability(found)
        largest = max(one.count for one in bins)
        axes.plot([one.probability for one in bins], [one.observed for one in bins], color=ACCENT, linewidth=1)
        sizes = [18 + 140 * one.count / largest for one in bins]
        axes.scatter([one.probability for one in bins], [one.observed for one in bins], s=sizes, color=ACCENT)
        for one in bins:
            axes.annotate(
                str(one.count), (one.probability, one.observed), textcoords="offset points", xytext=(8, -11), fontsize=8
            )
        error = scores.plain(scores.calibration_error, found)
        axes.set_title(f"{name} calibration, error {error:.3f}", fontsize=10, color=INK)
        axes.set_xlabel("mean probability of the bin")
        axes.set_ylabel("observed part positive" if index == 0 else "")
        axes.set_xlim(-0.03, 1.08)
        axes.set_ylim(-0.05, 1.05)
        axes.spines[["top", "right"]].set_visible(False)
    save(canvas, path)


def over_threshold(found: Scores, threshold: float, path: Path) -> None:
    """Draw sensitivity, specificity and both predictive values over the threshold."""
    canvas, axes = plot("threshold", "")
    steps = np.linspace(0, 1, 201)
    lines = {
        "sensitivity": (scores.sensitivity, SECOND, "-"),
        "specificity": (scores.specificity, ACCENT, "-"),
        "positive predictive value": (scores.positive_predictive_value, SECOND, ":"),
        "negative predictive value": (scores.negative_predictive_value, ACCENT, ":"),
    }
    for name, (measure, colour, dash) in lines.items():
        values = [scores.plain(measure(float(step)), found) for step in steps]
        axes.plot(steps, values, color=colour, linestyle=dash, linewidth=1.8, label=name)
    axes.axvline(threshold, color=INK, linewidth=1, linestyle="--")
    axes.set_ylim(-0.02, 1.02)
    axes.legend(frameon=False, fontsize=9, loc="lower center")
    save(canvas, path)


def distributions(values: Mapping[str, Sequence[float]], label: str, path: Path) -> None:
    """Draw the values of each group as points over boxes; NaN is left out."""
    known = {name: [v for v in group if not np.isnan(v)] for name, group in values.items()}
    known = {name: group for name, group in known.items() if group}
    canvas, axes = plot("", label, width=max(5.0, 1.2 + 0.75 * len(known)))
    rng = np.random.default_rng(0)
    if known:
        axes.boxplot(list(known.values()), showfliers=False, medianprops={"color": SECOND}, widths=0.55)
    for position, group in enumerate(known.values(), 1):
        axes.plot(position + rng.uniform(-0.15, 0.15, len(group)), group, ".", color=ACCENT, alpha=0.5, markersize=4)
    names = [f"{name} ({len(group)})" for name, group in known.items()]
    axes.set_xticks(range(1, len(known) + 1), names, rotation=30, ha="right", fontsize=8)
    save(canvas, path)


def agreement(truth: Sequence[float], found: Sequence[float], path: Path, *, decimals: int = 3) -> None:
    """Draw found minus reference over the mean of both (Bland and Altman), with bias and limits of agreement."""
    canvas, axes = plot("mean of both", "found - reference")
    x, y = np.asarray(truth), np.asarray(found)
    axes.plot((x + y) / 2, y - x, ".", color=ACCENT)
    bias, spread = float((y - x).mean()), float((y - x).std(ddof=1)) if len(x) > 1 else 0.0
    for level, name in ((bias + 1.96 * spread, "+1.96 SD"), (bias, "bias"), (bias - 1.96 * spread, "-1.96 SD")):
        axes.axhline(level, color=SECOND, linewidth=1, linestyle="-" if name == "bias" else "--")
        axes.annotate(
            f"{name} {level:+.{decimals}f}",
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=SECOND,
        )
    save(canvas, path)


def plot(x: str, y: str, *, width: float = 5.0) -> tuple[Figure, Axes]:
    """Make one empty plot."""
    canvas = Figure(figsize=(width, 4), dpi=100, layout="constrained")
    axes = canvas.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return canvas, axes


def save(canvas: Figure, path: Path, *, colours: int = PLOT_COLOURS) -> None:
    """Write a PNG of few colours, without metadata that changes from run to run."""
    drawn = io.BytesIO()
    canvas.savefig(drawn, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(drawn) as image:
        flat = image.convert("RGB").quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        flat.save(path, optimize=True)


def _band(axes: Axes, x: Float, y: Float, colour: str) -> None:
    """Draw the 95 % band of curves (draws, points), read at the same places."""
    drawn = np.stack([np.interp(GRID, *pair) for pair in zip(x, y, strict=True) if not np.isnan(pair).any()])
    low, high = np.quantile(drawn, bootstrap.ENDS, axis=0)
    axes.fill_between(GRID, low, high, color=colour, alpha=0.18, linewidth=0)
