"""What the pictures for people have in common: the radiograph, its diameters, and the words beside it.

A picture leaves the archive easily, so it bears no attribute of the patient.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from models.chest.anatomy import bounding_box, extent
from models.values import codes
from models.values.findings import Box, Decision, ImageFindings, Segment
from workers.results.text.languages.language import ENGLISH, Language
from workers.results.text.quality import field_of_view
from workers.results.text.wording import (
    NO_ROOM,
    capital,
    finding_sentence,
    label_of,
    measurement_sentence,
    name_of,
    reason_text,
    segmentation_empty_sentence,
    sentence,
)

HEIGHT_INCHES = 9.0
PANEL_INCHES = 4.2
DPI = 110

BACKGROUND, TEXT, MUTED, WARNING = "#101418", "#e8edf2", "#9aa7b4", "#ffb454"
DIAMETER = "#f4f7fa"
_COLOURS = {Decision.PRESENT: "#ff7b72", Decision.INDETERMINATE: WARNING, Decision.ABSENT: TEXT}
LONGEST = 1600
"""Rows or columns of the radiograph in the picture; larger ones are thinned."""

_TOP, _LINE_HEIGHT, _AFTER_TEXT, _AFTER_BLOCK, _LEGEND_LINE = 0.955, 0.00235, 0.008, 0.014, 0.029
"""Of the panel, as parts of its height; the height of a line is that of one point."""
_SCALES, _SMALLEST = (1.0, 0.92, 0.85, 0.78, 0.72), 0.66
"""Tried in turn until all words fit above the legend."""

Mask = NDArray[np.bool_]
Entry = tuple[str, str, float, bool]


def draw_radiograph(axes: Axes, pixels: NDArray[np.float32]) -> None:
    """Draw the radiograph (rows, columns) in its own pixels as units, without axes."""
    rows, columns = pixels.shape
    extent = (0, columns, rows, 0)
    axes.imshow(thinned(pixels), cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="antialiased")
    axes.set_axis_off()


def thinned(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leave out rows and columns of a picture that has more than a viewer shows."""
    step = max(1, -(-max(values.shape) // LONGEST))
    return values[::step, ::step]


def diameters(image: ImageFindings, masks: list[Mask]) -> list[tuple[str, Box, float]]:
    """Return the widest extent of the heart and of both lungs, as models/chest/anatomy.py measures them.

    Parameters
    ----------
    masks
        Of the image's segments, on the grid of the picture.

    Returns
    -------
    list
        Name, box, and the row on which its width is drawn: of the heart midway between its outermost points, of the
        thorax at its lower end, where the line crosses nothing else.
    """
    hearts = [m for s, m in zip(image.segments, masks, strict=True) if s.property_type == codes.HEART]
    heart = _box(hearts)
    ends = extent(np.logical_or.reduce(hearts)) if hearts else None
    lungs = [m for s, m in zip(image.segments, masks, strict=True) if s.property_type == codes.LUNG]
    chest = _box(lungs) if len(lungs) > 1 else None
    found = []
    if heart is not None and ends is not None:
        ratios = [m.value for m in image.measurements if m.code == codes.CARDIOTHORACIC_RATIO]
        name = f"Heart (CTR {ratios[0]:.2f})" if ratios else "Heart"
        found.append((name, heart, (ends[0].row + ends[1].row) / 2))
    if chest is not None:
        found.append(("Thorax", chest, chest.y1 - 0.02 * (chest.y1 - chest.y0)))
    return found


def _box(masks: list[Mask]) -> Box | None:
    return bounding_box(np.logical_or.reduce(masks)) if masks else None


def write_panel(figure: Figure, left: float, image: ImageFindings, words: Language = ENGLISH) -> None:
    """Write the findings beside the picture, from the top down, in the part of the figure right of `left`."""
    panel = figure.add_axes((left, 0.04, 1 - left, 0.96))
    panel.set_axis_off()
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    entries = _panel_lines(image, words)
    bottom = 0.04 + _LEGEND_LINE * (len(image.segments) + 1)
    scale = next(s for s in (*_SCALES, _SMALLEST) if s == _SMALLEST or _TOP - _height(entries, s) > bottom)
    if _TOP - _height(entries, scale) <= bottom:
        entries = _cut(entries, (words.term(NO_ROOM), WARNING, 11, False), scale, _TOP - bottom)
    y = _TOP
    for text, colour, points, bold in entries:
        size, weight = points * scale, "bold" if bold else "normal"
        for line in _wrapped(text, size, bold=bold):
            panel.text(0.06, y, line, color=colour, fontsize=size, fontweight=weight, va="top", parse_math=False)
            y -= size * _LINE_HEIGHT
        y -= scale * (_AFTER_TEXT if text else _AFTER_BLOCK)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=_hex(s), edgecolor=_hex(s), alpha=0.8, label=label_of(s, words)) for s in image.segments
    ]
    if handles:
        handles.append(Line2D([], [], color=DIAMETER, label=words.term("Diameters")))
        legend = panel.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.03, 0.0), frameon=False, fontsize=11)
        for label in legend.get_texts():
            label.set_color(TEXT)
            label.set_parse_math(False)


def _cut(entries: list[Entry], last: Entry, scale: float, room: float) -> list[Entry]:
    """Return the entries that fit into a part of the panel's height together with `last`, and that behind them."""
    fitting = next(n for n in range(len(entries), -1, -1) if _height([*entries[:n], last], scale) <= room or n == 0)
    return [*entries[:fitting], last]


def _height(entries: list[Entry], scale: float) -> float:
    """Return the part of the panel's height that the entries take at a scale."""
    return sum(
        len(_wrapped(text, size * scale, bold=bold)) * size * scale * _LINE_HEIGHT
        + scale * (_AFTER_TEXT if text else _AFTER_BLOCK)
        for text, _, size, bold in entries
    )


def _panel_lines(image: ImageFindings, words: Language) -> list[Entry]:
    """Return (text, colour, size in points, bold) for each entry."""
    lines: list[Entry] = []
    if image.gate.reason is not None:
        lines.append((words.term("Not analysed"), WARNING, 15, True))
        why = capital(reason_text(image.gate.reason, words))
        detail = sentence(words.detail(image.gate.detail))
        lines.append((f"{why}. {detail}".strip(), TEXT, 11, False))
    if image.findings:
        lines.append((words.term("Findings"), MUTED, 12, True))
        lines += [
            (finding_sentence(f, words), _COLOURS[f.decision], 11, f.decision is not Decision.ABSENT)
            for f in image.findings
        ]
        lines += [(segmentation_empty_sentence(item, words), TEXT, 11, False) for item in image.segmentation_empty]
        lines.append(("", TEXT, 11, False))
    if image.measurements:
        lines.append((words.term("Measurements"), MUTED, 12, True))
        lines += [(measurement_sentence(m, words), TEXT, 11, False) for m in image.measurements]
        lines += [(sentence(s.text), WARNING, 11, False) for s in field_of_view(image, words) if s.matters]
        lines.append(("", TEXT, 11, False))
    if image.not_computed:
        lines.append((words.term("Not computed"), MUTED, 12, True))
        lines += [
            (f"{name_of(n.label, words)}: {reason_text(n.reason, words)}", WARNING, 11, False)
            for n in image.not_computed
        ]
        lines.append(("", TEXT, 11, False))
    bundles = (
        {f.bundle for f in image.findings} | {s.bundle for s in image.segments} | {m.bundle for m in image.measurements}
    )
    if bundles:
        lines.append((words.term("Algorithms"), MUTED, 12, True))
        lines += [(f"{b.name} {b.version}", MUTED, 10, False) for b in sorted(bundles, key=lambda b: b.name)]
    return lines


def _wrapped(text: str, size: float, *, bold: bool) -> list[str]:
    """Break a text at words so that it fits the panel."""
    limit = int(PANEL_INCHES * 0.9 * 72 / (size * (0.64 if bold else 0.57)))
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > limit:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _hex(segment: Segment) -> str:
    return "#{:02x}{:02x}{:02x}".format(*segment.colour_rgb)
