"""Figures of the report, as PNG in base64 so that the page is one file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.report.plots import ACCENT, INK, PALE, SECOND
from training.explore.survey import BINS, Sight

# Curves of one picture: more cannot be told apart.
MOST_CURVES = 6
COLOURS = (ACCENT, SECOND, "#2f8f5b", "#8a5aa8", "#c9952b", "#5b6b75")


def class_balance(labels: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw positives, negatives and unknowns of each label as one bar."""
    canvas, axes = _plot(7.2, 1.1 + 0.32 * len(labels))
    names = list(labels)[::-1]
    left = np.zeros(len(names))
    for kind, colour in (("positive", SECOND), ("negative", ACCENT), ("unknown", PALE)):
        width = np.array([labels[name]["all"][kind] for name in names])
        axes.barh(names, width, left=left, color=colour, label=kind, height=0.7)
        left += width
    axes.set_yticks(range(len(names)), [f"{name}  {labels[name]['all']['positive']:,}" for name in names])
    axes.set_xlabel("images")
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _png(canvas)


def counts(values: Mapping[str, int]) -> str:
    """Draw counts as bars, at most twelve; the rest is summed."""
    shown = dict(list(values.items())[:12])
    rest = sum(values.values()) - sum(shown.values())
    if rest:
        shown[f"{len(values) - len(shown)} others"] = rest
    canvas, axes = _plot(3.1, 0.45 + 0.3 * len(shown))
    names = list(shown)[::-1]
    bars = axes.barh(names, [shown[name] for name in names], color=ACCENT, height=0.7)
    axes.bar_label(bars, [f"{shown[name]:,}" for name in names], padding=3, fontsize=8, color=INK)
    axes.margins(x=0.22)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return _png(canvas)


def ages(sights: Sequence[Sight]) -> str | None:
    """Draw the known ages, by sex where that is known; None when there are none."""
    groups = {
        sex: [one.record.age_years for one in sights if one.record.sex == key and one.record.age_years is not None]
        for sex, key in (("women", "F"), ("men", "M"), ("sex unknown", None))
    }
    known = {name: group for name, group in groups.items() if group}
    if not known:
        return None
    canvas, axes = _plot(3.1, 2.4)
    limit = 5 * math.ceil((max(max(group) for group in known.values()) + 1) / 5)
    axes.hist(
        list(known.values()),
        bins=list(range(0, limit + 1, 5)),
        stacked=True,
        label=list(known),
        color=list(COLOURS[: len(known)]),
    )
    axes.set_xlabel("age, years")
    axes.set_ylabel("images")
    axes.legend(frameon=False, fontsize=8, loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.0))
    return _png(canvas)


def sizes(sights: Sequence[Sight]) -> str:
    """Draw rows against columns, each size as one point as large as its share."""
    canvas, axes = _plot(3.1, 2.6)
    given, number = np.unique([sight.shape for sight in sights], axis=0, return_counts=True)
    area = 12 + 300 * number / number.sum()
    axes.scatter(given[:, 1], given[:, 0], s=area, color=ACCENT, alpha=0.6, linewidths=0)
    axes.set_xlabel("columns")
    axes.set_ylabel("rows")
    edge = 1.1 * float(given.max())
    axes.set_xlim(0, edge)
    axes.set_ylim(0, edge)
    axes.set_aspect("equal")
    return _png(canvas)


def intensities(groups: Mapping[str, Sequence[Sight]]) -> str:
    """Draw the mean histogram of the grey values of each group."""
    canvas, axes = _plot(6.4, 2.8)
    centres = (np.arange(BINS) + 0.5) / BINS
    for (name, group), colour in zip(list(groups.items())[:MOST_CURVES], COLOURS, strict=False):
        mean = np.mean([sight.histogram for sight in group], axis=0) * 100
        axes.plot(centres, mean, color=colour, linewidth=1.6, label=f"{name} ({len(group):,})")
    axes.set_xlabel("grey value as shown (0 black, 1 white)")
    axes.set_ylabel("% of the pixels")
    # Borders that are all black are half of some sets; they would press everything else flat.
    inner = max(float(np.mean([s.histogram for s in group], axis=0)[1:-1].max()) for group in groups.values()) * 100
    axes.set_ylim(0, 1.15 * inner)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _png(canvas)


def brightness(sights: Sequence[Sight]) -> str:
    """Draw how bright the images are in the mean: single ones far off are worth a look."""
    canvas, axes = _plot(3.1, 2.8)
    centres = (np.arange(BINS) + 0.5) / BINS
    axes.hist([float(sight.histogram @ centres) for sight in sights], bins=40, range=(0, 1), color=ACCENT)
    axes.set_xlabel("mean grey value of an image")
    axes.set_ylabel("images")
    return _png(canvas)


def _plot(width: float, height: float) -> tuple[Figure, Axes]:
    """Make one empty figure."""
    canvas = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = canvas.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return canvas, axes


def _png(canvas: Figure) -> str:
    """Return a figure as the source of an <img>."""
    written = io.BytesIO()
    canvas.savefig(written, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()
