"""Worst cases and heat maps as small pictures: outlines, with the image beneath only where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation.report.plots import ACCENT, PALE, SECOND, THIRD, save

Mask = NDArray[np.bool_]
COLUMNS = 4
FOUND = (ACCENT, THIRD, SECOND)
# Pictures have more shades than curves.
PICTURE_COLOURS = 256
EDGE = 256
"""Rows and columns that a picture is thinned to: more is not seen at this size."""


@dataclass(frozen=True)
class Outline:
    """Found and true masks (labels, rows, columns) of one image, and the image itself (rows, columns) in [0, 1]."""

    title: str
    found: Mask
    truth: Mask
    image: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Heat:
    """A heat map (rows, columns) in [0, 1], the true place, and the image itself."""

    title: str
    heat: NDArray[np.float32]
    truth: Mask
    image: NDArray[np.float32] | None = None


def outlines(cases: Sequence[Outline], path: Path) -> None:
    """Draw the outlines of cases: true in pale grey, found in colour."""
    canvas, places = _sheet(len(cases))
    for axes, case in zip(places, cases, strict=True):
        step = _step(case.truth.shape[1:])
        _beneath(axes, case.image, step, case.truth.shape[1:])
        for truth, found, colour in zip(case.truth, case.found, FOUND, strict=False):
            for mask, tint, width in ((truth, PALE, 3.0), (found, colour, 1.2)):
                _line(axes, mask[::step, ::step], tint, width)
        axes.set_title(case.title, fontsize=8)
    save(canvas, path, colours=PICTURE_COLOURS)


def heat_maps(cases: Sequence[Heat], path: Path) -> None:
    """Draw heat maps with the true place as an outline."""
    canvas, places = _sheet(len(cases))
    for axes, case in zip(places, cases, strict=True):
        step = _step(case.truth.shape)
        _beneath(axes, case.image, step, case.truth.shape)
        over = case.heat[::step, ::step]
        axes.imshow(over, cmap="inferno", vmin=0, vmax=1, alpha=1.0 if case.image is None else 0.45)
        _line(axes, case.truth[::step, ::step], "#7fe0ff", 1.4)
        axes.set_title(case.title, fontsize=8)
    save(canvas, path, colours=PICTURE_COLOURS)


def _sheet(count: int) -> tuple[Figure, list[Axes]]:
    """Make a sheet of square places."""
    columns = max(1, min(COLUMNS, count))
    rows = max(1, -(-count // columns))
    canvas = Figure(figsize=(2.3 * columns, 2.5 * rows), dpi=100, layout="constrained")
    return canvas, [canvas.add_subplot(rows, columns, index + 1) for index in range(count)]


def _beneath(axes: Axes, image: NDArray[np.float32] | None, step: int, shape: tuple[int, ...]) -> None:
    """Set the frame, and draw the image in it if there is one."""
    rows, columns = (-(-edge // step) for edge in shape)
    if image is not None:
        axes.imshow(image[::step, ::step], cmap="gray", vmin=0, vmax=1)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(PALE)


def _line(axes: Axes, mask: Mask, tint: str, width: float) -> None:
    """Draw the outline of a mask, closed at the edge of the picture; an empty one has none."""
    if mask.any():
        framed = np.pad(mask, 1).astype(float)
        extent = (-1.5, mask.shape[1] + 0.5, -1.5, mask.shape[0] + 0.5)
        axes.contour(framed, [0.5], colors=[tint], linewidths=width, extent=extent, origin="lower")


def _step(shape: tuple[int, ...]) -> int:
    """Return the step that thins a picture enough."""
    return max(1, -(-max(shape) // EDGE))
