"""Where a classifier looked, as a picture for people: the radiograph under a colour scale, with what was found.

No result object: a PNG that says what it is and bears no attribute of the patient.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.findings import Finding, HeatMap, ImageFindings
from models.geometry import Orientation
from workers.objects.equipment import RESEARCH_ONLY
from workers.objects.wording import finding_sentence
from workers.render import BACKGROUND, DPI, HEIGHT_INCHES, MUTED, TEXT, WARNING, draw_radiograph, thinned

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
    figure = Figure(figsize=(width, HEIGHT_INCHES + 1.2), dpi=DPI, facecolor=BACKGROUND)
    under = 1.2 / (HEIGHT_INCHES + 1.2)
    axes = figure.add_axes((0.0, under, 1.0, 1 - under))
    draw_radiograph(axes, pixels)
    shown = thinned(values)
    extent = (0, columns, rows, 0)
    drawn = axes.imshow(shown, cmap=COLOURS, vmin=0, vmax=1, alpha=STRONGEST * shown.clip(0, 1), extent=extent)
    scale = figure.add_axes((0.72, 0.62 * under, 0.24, 0.14 * under))
    figure.colorbar(drawn, cax=scale, orientation="horizontal", ticks=[0, 0.5, 1])
    scale.tick_params(colors=MUTED, labelsize=8)
    name = f"{heat.bundle.name} {heat.bundle.version}"
    figure.text(0.02, 0.80 * under, finding_sentence(finding), color=TEXT, fontsize=11, fontweight="bold", va="center")
    figure.text(0.02, 0.52 * under, f"{EXPLANATION} {name}", color=MUTED, fontsize=8, va="center")
    figure.text(
        0.5, 0.18 * under, RESEARCH_ONLY, color=WARNING, ha="center", va="center", fontsize=11, fontweight="bold"
    )
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", facecolor=BACKGROUND, metadata={"Software": None})


def pairs(image: ImageFindings) -> list[tuple[HeatMap, Finding]]:
    """Give each heat map of an image with its finding."""
    by_name = {(finding.label, finding.bundle): finding for finding in image.findings}
    return [(heat, by_name[heat.label, heat.bundle]) for heat in image.heat_maps]
