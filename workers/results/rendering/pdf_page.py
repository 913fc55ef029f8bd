"""The result of a study on one page, as PDF: pictures with overlay, findings, measurements, limits, algorithms.

The page bears no attribute of the patient: it leaves the archive easily, and with the object that holds it the archive
knows whose it is. What leads back from a printed page is the UID of that object.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

WIDTH_INCHES, HEIGHT_INCHES = 8.27, 11.69
"""A4, upright."""
LONGEST = 1000
"""Rows or columns of a picture on the page: 200 to 250 in an inch."""
MOST_PICTURES = 3

_MARGIN = 0.07
_TOP, _BOTTOM = 0.955, 0.05
_PICTURES = 0.42
"""Part of the page that pictures take at most."""
_GAP = 0.012
_SIZES = (9.5, 9.0, 8.5, 8.0, 7.5, 7.0, 6.5, 6.0)
"""In points, tried in turn until all words fit."""
_LINE = 1.32
"""Height of a line in sizes."""
_CHARACTER = {"normal": 0.56, "bold": 0.63}
"""Mean width of a character in sizes, so that no line of DejaVu Sans runs over the margin (measured)."""
_INK, _MUTED, _WARNING = "#15191e", "#55606b", "#a34700"


@dataclass(frozen=True)
class Legend:
    """A colour and what is outlined in it."""

    colour_rgb: tuple[int, int, int]
    text: str


@dataclass(frozen=True)
class Page:
    """What stands on the page.

    Attributes
    ----------
    pictures
        uint8 (rows, columns, RGB), each with its name; the first `MOST_PICTURES` are shown.
    sections
        Heading and paragraphs of each.
    more
        What is said in the place of words for which there is no room.
    foot
        At the foot of the page.
    """

    title: str
    notice: str
    pictures: tuple[tuple[str, NDArray[np.uint8]], ...]
    legend: tuple[Legend, ...]
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    more: str
    foot: str


def pdf(page: Page) -> bytes:
    """Return the page as PDF: the same bytes for the same page, fonts embedded, text that can be searched."""
    figure = draw(page)
    drawn = BytesIO()
    # Type 3 fonts, matplotlib's default: searchable all the same, and a third of the time of TrueType (measured).
    FigureCanvasPdf(figure)
    figure.savefig(drawn, format="pdf", metadata={"Title": page.title, "CreationDate": None, "Producer": None})
    return drawn.getvalue()


def draw(page: Page) -> Figure:
    """Draw the page."""
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), facecolor="white")
    figure.text(_MARGIN, _TOP, page.title, fontsize=15, fontweight="bold", color=_INK, va="top", parse_math=False)
    figure.text(
        _MARGIN, _TOP - 0.024, page.notice, fontsize=10.5, fontweight="bold", color=_WARNING, va="top", parse_math=False
    )
    y = _TOP - 0.052
    y = _draw_pictures(figure, page.pictures[:MOST_PICTURES], y)
    y = _draw_legend(figure, page.legend, y)
    _write(figure, page, y)
    figure.text(_MARGIN, 0.025, page.foot, fontsize=6.5, color=_MUTED, va="bottom", parse_math=False)
    return figure


def _draw_pictures(figure: Figure, pictures: Sequence[tuple[str, NDArray[np.uint8]]], top: float) -> float:
    """Draw pictures side by side below `top`; return where they end."""
    if not pictures:
        return top
    width = (1 - 2 * _MARGIN - _GAP * (len(pictures) - 1)) / len(pictures)
    heights = [width * WIDTH_INCHES * p.shape[0] / p.shape[1] / HEIGHT_INCHES for _, p in pictures]
    named = 0.018 if len(pictures) > 1 else 0.0
    height = min(float(max(heights)), _PICTURES)
    for number, (name, picture) in enumerate(pictures):
        left = _MARGIN + number * (width + _GAP)
        axes = figure.add_axes((left, top - named - height, width, height))
        axes.imshow(picture, interpolation="none", aspect="equal")
        axes.set_anchor("NW")
        axes.set_axis_off()
        if named:
            figure.text(left, top, name, fontsize=8, color=_MUTED, va="top", parse_math=False)
    return top - named - height - _GAP


def _draw_legend(figure: Figure, legend: Sequence[Legend], top: float) -> float:
    """Draw the legend in columns of equal width; return where it ends."""
    if not legend:
        return top
    columns, row_height = 3, 0.017
    step = (1 - 2 * _MARGIN) / columns
    for number, entry in enumerate(legend):
        row, column = divmod(number, columns)
        x, y = _MARGIN + column * step, top - row * row_height
        colour = "#{:02x}{:02x}{:02x}".format(*entry.colour_rgb)
        figure.add_artist(Rectangle((x, y - 0.010), 0.022, 0.010, facecolor=colour, edgecolor="none"))
        figure.text(x + 0.03, y, entry.text, fontsize=8.5, color=_INK, va="top", parse_math=False)
    return top - (1 + (len(legend) - 1) // columns) * row_height - _GAP


def _write(figure: Figure, page: Page, top: float) -> None:
    """Write the sections in the largest size in which they fit, and cut what fits in none."""
    room = (top - _BOTTOM) * HEIGHT_INCHES * 72
    size = next((size for size in _SIZES if _height(page, size) <= room), _SIZES[-1])
    left = room
    for text, weight in _lines(page, size):
        needed = size * _LINE * (1 if text else 0.5)
        if left - needed < (0 if _height(page, size) <= room else 2 * size * _LINE):
            figure.text(_MARGIN, _BOTTOM, page.more, fontsize=size, color=_WARNING, va="bottom", parse_math=False)
            break
        y = _BOTTOM + left / 72 / HEIGHT_INCHES
        figure.text(_MARGIN, y, text, fontsize=size, fontweight=weight, color=_INK, va="top", parse_math=False)
        left -= needed


def _height(page: Page, size: float) -> float:
    return sum(size * _LINE * (1 if text else 0.5) for text, _ in _lines(page, size))


def _lines(page: Page, size: float) -> list[tuple[str, str]]:
    """Return every line with its weight; an empty one is a gap."""
    lines: list[tuple[str, str]] = []
    for heading, paragraphs in page.sections:
        lines += [("", "normal")] if lines else []
        lines.append((heading, "bold"))
        for paragraph in paragraphs:
            lines += [(line, "normal") for line in textwrap.wrap(paragraph, _characters(size, "normal"))]
    return lines


def _characters(size: float, weight: str) -> int:
    """Return how many characters fit between the margins."""
    return int((1 - 2 * _MARGIN) * WIDTH_INCHES * 72 / (size * _CHARACTER[weight]))
