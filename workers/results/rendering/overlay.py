"""The radiograph with its overlay as pixels, for objects that show it where no overlay can be drawn, and for people.

Where nothing is drawn, the radiograph keeps its grey values exactly unless it had to be made smaller. In objects the
words stand beside and below it, never on it; none of them comes from the patient's header.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from models.chest.anatomy import bounding_box
from models.image.pixels import Radiograph
from models.values import codes
from models.values.findings import Box, ImageFindings, Segment
from workers.results.rendering.panel import (
    BACKGROUND,
    DIAMETER,
    DPI,
    HEIGHT_INCHES,
    PANEL_INCHES,
    WARNING,
    diameters,
    write_panel,
)
from workers.results.text.languages.language import ENGLISH, Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.wording import RESEARCH_ONLY

LONGEST = 2048
"""Rows or columns of the radiograph in a picture; a larger one is made smaller."""
SCREEN = 1600
"""The same of a picture on a screen."""
_LEAST_ROWS = 900
"""Of a picture with words, which cannot be read in fewer."""
_FOOT = 0.04
"""Part of the height that the statement takes."""
_FILL, _DISEASE_FILL = 0.16, 0.28
"""Opacity."""
_LINE, _SCREEN_LINE = 1 / 500, 1 / 330
"""Width of an outline as a part of the longest side, in full size and on a screen."""
_DISEASE_LINE = 4 / 3
"""The same of a disease, in widths of others."""
_DIAMETER_RGB = (244, 247, 250)
_BOX = {"boxstyle": "round,pad=0.25", "facecolor": "#101418", "edgecolor": "none", "alpha": 0.8}
"""Behind words on the radiograph, which may be white there."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture with words.

    Attributes
    ----------
    pixels
        uint8 (rows, columns, RGB).
    radiograph_shape
        Rows and columns of the radiograph, which lies in the upper left corner.
    """

    pixels: Pixels
    radiograph_shape: tuple[int, int]


def overlay(
    radiograph: Radiograph,
    image: ImageFindings,
    *,
    longest: int = LONGEST,
    line: float = _LINE,
    with_diameters: bool = True,
) -> Pixels:
    """Draw fills, outlines and diameters onto the radiograph.

    Parameters
    ----------
    image
        Its findings; masks bool (rows, columns) on the source grid.
    longest
        Rows or columns at most.
    line
        Width of an outline as a part of the longest side.

    Returns
    -------
    numpy.ndarray
        uint8 (rows, columns, RGB) on the canonical grid, with square pixels.

    Raises
    ------
    ValueError
        A mask does not fit the radiograph.
    """
    shape = shown_shape(radiograph, longest)
    grey = _grey(radiograph, shape)
    shown: Pixels = np.repeat(grey[..., np.newaxis], 3, axis=2)  # rows columns RGB
    masks = [_laid(segment.mask, radiograph, shape) for segment in image.segments]
    width = _pixels(shape, line)
    for segment, mask in zip(image.segments, masks, strict=True):
        _fill(shown, segment, mask)
    for segment, mask in zip(image.segments, masks, strict=True):
        _draw_outline(shown, segment, mask, _pixels(shape, line * _DISEASE_LINE) if _is_disease(segment) else width)
    for _, box, row in diameters(image, masks) if with_diameters else ():
        half = (width + 1) // 2
        shown[max(int(row) - half, 0) : int(row) + half, box.x0 : box.x1] = _DIAMETER_RGB
    return shown


def annotated(
    radiograph: Radiograph, image: ImageFindings, words: Language = ENGLISH, *, longest: int = LONGEST
) -> AnnotatedPicture:
    """Draw the overlay, beside it findings, measurements and legend, and below it the statement.

    Raises
    ------
    ValueError
        A mask does not fit the radiograph.
    """
    shown = overlay(radiograph, image, longest=longest)
    rows, columns = shown.shape[:2]
    height = max(_LEAST_ROWS, round(rows / (1 - _FOOT)))
    dpi = height / HEIGHT_INCHES
    width = columns + round(PANEL_INCHES * dpi)
    # A tenth of a pixel more, because the canvas cuts off what is left of a whole one.
    figure = Figure(figsize=((width + 0.1) / dpi, (height + 0.1) / dpi), dpi=dpi, facecolor=BACKGROUND)
    write_panel(figure, columns / width, image, words)
    figure.text(
        0.5, 0.012, words.say(Sentence.RESEARCH_ONLY), color=WARNING, ha="center", fontsize=11, fontweight="bold"
    )
    FigureCanvasAgg(figure)
    drawn = BytesIO()
    figure.savefig(drawn, format="rgba", facecolor=BACKGROUND)
    pixels = np.frombuffer(drawn.getbuffer(), np.uint8).reshape(height, width, 4)[..., :3].copy()
    pixels[:rows, :columns] = shown
    return AnnotatedPicture(pixels, (rows, columns))


def overlay_png(radiograph: Radiograph, image: ImageFindings, path: Path) -> None:
    """Write the overlay as a PNG for people, in the size of a screen, with the names of the diameters on it.

    Raises
    ------
    ValueError
        A mask does not fit the radiograph.
    """
    shown = overlay(radiograph, image, longest=SCREEN, line=_SCREEN_LINE, with_diameters=False)
    rows, columns = shown.shape[:2]
    width = HEIGHT_INCHES * min(max(columns / rows, 0.5), 2.0)
    left = width / (width + PANEL_INCHES)
    figure = Figure(figsize=(width + PANEL_INCHES, HEIGHT_INCHES), dpi=DPI, facecolor=BACKGROUND)
    axes = figure.add_axes((0.0, _FOOT, left, 1 - _FOOT))
    axes.imshow(shown, extent=(0, columns, rows, 0), interpolation="antialiased")
    axes.set_axis_off()
    masks = [_laid(segment.mask, radiograph, (rows, columns)) for segment in image.segments]
    for name, box, row in diameters(image, masks):
        _draw_width(axes, box, row, name)
    write_panel(figure, left, image)
    figure.text(0.5, 0.012, RESEARCH_ONLY, color=WARNING, ha="center", fontsize=11, fontweight="bold")
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", facecolor=BACKGROUND, metadata={"Software": None})


def shown_shape(radiograph: Radiograph, longest: int = LONGEST) -> tuple[int, int]:
    """Return the rows and columns of a radiograph with square pixels, none of them lost unless it is too long."""
    rows, columns = radiograph.shape
    height, width = rows * max(radiograph.aspect, 1.0), columns * max(1 / radiograph.aspect, 1.0)
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _grey(radiograph: Radiograph, shape: tuple[int, int]) -> Pixels:
    pixels = radiograph.pixels
    if pixels.shape != shape:
        rows, columns = shape
        pixels = np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(np.rint(pixels.clip(0, 1) * 255), np.uint8)


def _laid(mask: NDArray[np.bool_], radiograph: Radiograph, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Lay a mask of the source grid onto the picture."""
    laid = np.ascontiguousarray(radiograph.orientation.to_canonical(mask), np.uint8)
    if laid.shape != radiograph.shape:
        raise ValueError(f"a mask is {mask.shape}, the source image is {radiograph.source_shape}")
    if laid.shape != shape:
        rows, columns = shape
        laid = np.asarray(cv2.resize(laid, (columns, rows), interpolation=cv2.INTER_NEAREST), np.uint8)
    return laid.astype(np.bool_)


def _fill(shown: Pixels, segment: Segment, mask: NDArray[np.bool_]) -> None:
    """Tint what a mask covers; within its box only, which is a third of the time at 2,048 rows."""
    box = bounding_box(mask)
    if box is None:
        return
    opacity = _DISEASE_FILL if _is_disease(segment) else _FILL
    part = shown[box.y0 : box.y1, box.x0 : box.x1]
    colour = np.full_like(part, segment.colour_rgb)
    tinted = cv2.addWeighted(part, 1 - opacity, colour, opacity, 0)
    np.copyto(part, tinted.astype(np.uint8, copy=False), where=mask[box.y0 : box.y1, box.x0 : box.x1, np.newaxis])


def _draw_outline(shown: Pixels, segment: Segment, mask: NDArray[np.bool_], width: int) -> None:
    """Draw the pixels of a mask that are at most `width` from its border in the colour of the segment."""
    box = bounding_box(mask)
    if box is None:
        return
    part = mask[box.y0 : box.y1, box.x0 : box.x1]
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(part.astype(np.uint8), cross, iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    shown[box.y0 : box.y1, box.x0 : box.x1][part & (inner == 0)] = segment.colour_rgb


def _draw_width(axes: Axes, box: Box, row: float, name: str) -> None:
    edge = [withStroke(linewidth=3.2, foreground=BACKGROUND)]
    axes.plot([box.x0, box.x1], [row, row], color=DIAMETER, linewidth=1.6, path_effects=edge)
    for column in (box.x0, box.x1):
        axes.plot([column, column], [box.y0, box.y1], color=DIAMETER, linewidth=0.7, linestyle=(0, (4, 4)), alpha=0.7)
    axes.annotate(
        name,
        ((box.x0 + box.x1) / 2, row),
        xytext=(0, 6),
        textcoords="offset points",
        color=DIAMETER,
        bbox=_BOX,
        ha="center",
        fontsize=9,
    )


def _is_disease(segment: Segment) -> bool:
    return segment.property_category != codes.ANATOMICAL_STRUCTURE


def _pixels(shape: tuple[int, int], part: float) -> int:
    """Return the pixels that are a part of the longest side."""
    return max(1, round(max(shape) * part))
