"""Pictures of the report: some images of each class with their masks and boxes, pairs of duplicates side by side.

Images of the test split are never shown: whoever tunes a recipe reads this page.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import Undecodable
from training.data.sources import Record
from training.explore.survey import Sight

EDGE = 176
# Rows of six fill the page; a set of few classes shows two of them.
PER_CLASS, FEW_CLASSES = 6, 4
RED, YELLOW = (61, 85, 200), (70, 200, 240)  # blue, green, red
SEED = 20261121


@dataclass(frozen=True)
class SamplePicture:
    """One picture with what is written below it; `source` is the source of an <img>."""

    source: str
    caption: str


def grid(sights: Sequence[Sight], split_of: Mapping[str, str]) -> dict[str, list[SamplePicture]]:
    """Draw some images of each class, by chance with a fixed seed."""
    shown = [one for one in sights if split_of.get(one.record.id) != "test"]
    groups = classes(shown)
    number = PER_CLASS * (2 if len(groups) <= FEW_CLASSES else 1)
    return {name: [picture(one.record) for one in _some(group, number)] for name, group in groups.items()}


def classes(sights: Sequence[Sight]) -> dict[str, list[Sight]]:
    """Group images by the labels that they have, those without any apart; without labels by site."""
    names = list(dict.fromkeys(label for sight in sights for label in sight.record.labels))
    if not names:
        sites = dict.fromkeys(sight.record.site or "unknown site" for sight in sights)
        return {site: [one for one in sights if (one.record.site or "unknown site") == site] for site in sites}
    groups = {name: [one for one in sights if one.record.labels.get(name) == 1] for name in names}
    groups["no label present"] = [one for one in sights if 1 not in one.record.labels.values()]
    return {name: group for name, group in groups.items() if group}


def picture(record: Record) -> SamplePicture:
    """Draw one image small, with the outline of its masks in red and its boxes in yellow."""
    facts = (record.view, record.sex, None if record.age_years is None else f"{record.age_years:g} y")
    caption = " · ".join((record.id[-28:], *(fact for fact in facts if fact)))
    try:
        radiograph = record.image()
        masks = None if record.mask is None else record.mask()
    except (Undecodable, OSError):
        return SamplePicture("", f"{caption} · cannot be read")
    rows, columns = radiograph.shape
    # Square pixels, as a person expects a chest to look: aspect is row spacing over column spacing.
    scale = EDGE / max(rows * radiograph.aspect, columns)
    height, width = max(1, round(rows * radiograph.aspect * scale)), max(1, round(columns * scale))
    grey = cv2.resize(radiograph.pixels, (width, height), interpolation=cv2.INTER_AREA)
    canvas = np.ascontiguousarray(np.repeat(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2))
    for mask in () if masks is None else masks:
        small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
        outlines, _ = cv2.findContours((small > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, RED, 1)
    # Boxes are in source pixels; they are drawn where the image was not turned.
    turned = radiograph.orientation.transpose or radiograph.orientation.flip_rows or radiograph.orientation.flip_columns
    for box in () if turned else record.boxes or ():
        corners = ((box.x0 / columns, box.y0 / rows), (box.x1 / columns, box.y1 / rows))
        (x0, y0), (x1, y1) = ((round(x * width), round(y * height)) for x, y in corners)
        cv2.rectangle(canvas, (x0, y0), (x1, y1), YELLOW, 1)
    return SamplePicture(_jpeg(canvas), caption)


def side_by_side(first: Record, second: Record, split_of: Mapping[str, str]) -> list[SamplePicture]:
    """Draw two duplicates; nothing when one of them is in the test split."""
    if "test" in (split_of.get(first.id), split_of.get(second.id)):
        return []
    return [picture(first), picture(second)]


def _some(group: Sequence[Sight], number: int) -> list[Sight]:
    """Choose a few, of different patients."""
    order = np.random.default_rng(SEED).permutation(len(group))
    chosen: dict[str, Sight] = {}
    for index in order.tolist():
        chosen.setdefault(group[index].record.patient, group[index])
        if len(chosen) == number:
            break
    return list(chosen.values())


def _jpeg(canvas: NDArray[np.uint8]) -> str:
    """Return a picture as the source of an <img>."""
    written, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not written:
        raise ValueError("the picture could not be written as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
