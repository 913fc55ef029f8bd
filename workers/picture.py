"""The radiograph with its overlay as pixels, for objects that show it where no overlay can be drawn.

Where nothing is drawn, the radiograph keeps its grey values exactly unless it had to be made smaller. The words stand
beside and below it, never on it, and none of them comes from the patient's header.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models import codes
from models.anatomy import bounding_box
from models.findings import ImageFindings, Segment
from models.pixels import Radiograph
from workers.objects.languages.language import ENGLISH, Language
from workers.objects.languages.sentences import Sentence
from workers.render import (
    BACKGROUND,
    DISEASE_FILL,
    FILL,
    HEIGHT_INCHES,
    PANEL_INCHES,
    WARNING,
    diameters,
    write_panel,
)

LONGEST = 2048
"""Rows or columns of the radiograph in a picture; a larger one is made smaller."""
_LEAST_ROWS = 900
"""Of a picture with words, which cannot be read in fewer."""
_FOOT = 0.04
"""Part of the height that the statement takes."""
_LINE = 1 / 500
"""Width of an outline as a part of the longest side."""
_DIAMETER = (244, 247, 250)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A picture with words.

    Attributes
    ----------
    pixels : uint8 (rows, columns, RGB).
    radiograph_shape : rows and columns of the radiograph, which lies in the upper left corner.
    """

    pixels: Pixels
    radiograph_shape: tuple[int, int]


def overlay(radiograph: Radiograph, image: ImageFindings, *, longest: int = LONGEST) -> Pixels:
    """Draw fills, outlines and diameters onto the radiograph.

    Parameters
    ----------
    image
        Its findings; masks bool (rows, columns) on the source grid.
    longest
        Rows or columns at most.

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
    width = max(1, round(max(shape) * _LINE))
    for segment, mask in zip(image.segments, masks, strict=True):
        _fill(shown, segment, mask)
    for segment, mask in zip(image.segments, masks, strict=True):
        _draw_outline(shown, segment, mask, width)
    for _, box, row in diameters(image, masks):
        half = (width + 1) // 2
        shown[max(int(row) - half, 0) : int(row) + half, box.x0 : box.x1] = _DIAMETER
    return shown


def annotated(
    radiograph: Radiograph, image: ImageFindings, words: Language = ENGLISH, *, longest: int = LONGEST
) -> Picture:
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
    return Picture(pixels, (rows, columns))


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
    opacity = FILL if segment.property_category == codes.ANATOMICAL_STRUCTURE else DISEASE_FILL
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
