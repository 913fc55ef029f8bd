"""Where a classifier looked, as a picture for people: the radiograph under a colour scale, with what was found.

No result object: a PNG that says what it is and bears no attribute of the patient.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.image.geometry import Orientation
from models.values.findings import Finding, HeatMap, ImageFindings
from workers.results.rendering.panel import (
    BACKGROUND,
    DPI,
    HEIGHT_INCHES,
    MUTED,
    TEXT,
    WARNING,
    draw_radiograph,
    thinned,
)
from workers.results.text.wording import RESEARCH_ONLY, finding_sentence

FOOT_INCHES = 1.7
COLOURS = "inferno"
STRONGEST = 0.6
"""Opacity of the largest value; smaller values are clearer in proportion, so that the radiograph stays readable."""
EXPLANATION = "Where the network looked, from nothing (clear) to most (bright). It does not outline the disease."


def heat_map_png(
    pixels: NDArray[np.float32],
    heat: HeatMap,
    finding: Finding,
    path: Path,
    *,
    orientation: Orientation | None = None,
) -> None:
    """Draw one heat map onto its radiograph and write a PNG.

    Parameters
    ----------
    pixels
        float32 (rows, columns) in 0 to 1, bright is dense, on the canonical grid.
    heat
        On the source grid.
    finding
        Of the same label and bundle.
    orientation
        How the source lies on the canonical grid; None: as it is.

    Raises
    ------
    ValueError
        The heat map does not fit the pixels.
    """
    values = np.asarray((orientation or Orientation()).to_canonical(heat.values), np.float32)
    if values.shape != pixels.shape:
        raise ValueError(f"heat map of {heat.label!r} is {values.shape}, the picture is {pixels.shape}")
    rows, columns = pixels.shape
    width = HEIGHT_INCHES * min(max(columns / rows, 0.5), 2.0)
    figure = Figure(figsize=(width, HEIGHT_INCHES + FOOT_INCHES), dpi=DPI, facecolor=BACKGROUND)
    under = FOOT_INCHES / (HEIGHT_INCHES + FOOT_INCHES)
    axes = figure.add_axes((0.0, under, 1.0, 1 - under))
    draw_radiograph(axes, pixels)
    shown = thinned(values)
    extent = (0, columns, rows, 0)
    drawn = axes.imshow(shown, cmap=COLOURS, vmin=0, vmax=1, alpha=STRONGEST * shown.clip(0, 1), extent=extent)
    scale = figure.add_axes((0.03, 0.34 * under, 0.34, 0.07 * under))
    figure.colorbar(drawn, cax=scale, orientation="horizontal", ticks=[0, 0.5, 1])
    scale.tick_params(colors=MUTED, labelsize=8)
    name = f"{heat.bundle.name} {heat.bundle.version}"
    _write(figure, 0.94 * under, finding_sentence(finding), width, size=11, colour=TEXT, bold=True)
    _write(figure, 0.63 * under, EXPLANATION, width, size=8.5, colour=MUTED)
    figure.text(0.97, 0.36 * under, name, color=MUTED, ha="right", va="center", fontsize=8.5)
    figure.text(
        0.5, 0.09 * under, RESEARCH_ONLY, color=WARNING, ha="center", va="center", fontsize=10, fontweight="bold"
    )
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", facecolor=BACKGROUND, metadata={"Software": None})


def _write(figure: Figure, y: float, words: str, width: float, *, size: float, colour: str, bold: bool = False) -> None:
    """Write words from the left and down from `y`, broken where the figure of so many inches ends."""
    text = textwrap.fill(words, int(0.94 * width * 72 / (size * (0.66 if bold else 0.57))))
    figure.text(0.03, y, text, color=colour, fontsize=size, fontweight="bold" if bold else "normal", va="top")


def pairs(image: ImageFindings) -> list[tuple[HeatMap, Finding]]:
    """Return each heat map of an image with its finding."""
    by_name = {(finding.label, finding.bundle): finding for finding in image.findings}
    return [(heat, by_name[heat.label, heat.bundle]) for heat in image.heat_maps]
