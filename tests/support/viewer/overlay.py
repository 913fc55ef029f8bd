"""Whether the coloured pixels of a screen lie where a segmentation says, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.support.viewer.browser import Picture
from tests.support.viewer.ohif import Placement

Mask = NDArray[np.bool_]
MARGIN_PX = 4
"""Half of the outlines (3 CSS pixels wide), and a source pixel of rounding where it is larger than one of these."""
_COLOURED = 0.2
"""Part of a segment's chroma from which a pixel counts as coloured: the fill has half of it, a shade of grey none."""
_SAME_HUE = 0.95
"""Cosine between two chromas from which they are the same colour."""


@dataclass(frozen=True)
class Seen:
    """One segment on the screen: the parts of the pixels that have its colour."""

    inside: float
    """Of the pixels inside its mask, away from any border."""
    outside: int
    """Number of pixels of its colour outside its mask, away from its border."""
    mask: Mask
    """Pixels of its colour, (height, width)."""


def on_screen(mask: Mask, placement: Placement) -> Mask:
    """Return a mask on the source's grid (rows, columns) as it lies on the screen (height, width)."""
    row, column = (np.rint(part).astype(int) for part in placement.source_of_screen())
    within = (row >= 0) & (row < mask.shape[0]) & (column >= 0) & (column < mask.shape[1])
    return within & mask[row.clip(0, mask.shape[0] - 1), column.clip(0, mask.shape[1] - 1)]


def look(
    picture: Picture,
    placement: Placement,
    masks: Mapping[int, Mask],
    colours: Mapping[int, tuple[int, int, int]],
) -> dict[int, Seen]:
    """Look for each segment on the screen.

    Parameters
    ----------
    picture
        The viewport's pixels (height, width, 3).
    masks
        By Segment Number, each on the source's grid.
    colours
        RGB of each segment.
    """
    coloured = _by_colour(picture, [colours[number] for number in masks])
    expected = {number: on_screen(mask, placement) for number, mask in masks.items()}
    seen = {}
    for (number, mask), own in zip(expected.items(), coloured, strict=True):
        others = np.any([np.zeros_like(mask), *(m for n, m in expected.items() if n != number)], axis=0)
        core = _eroded(mask) & ~_dilated(others)
        seen[number] = Seen(float(own[core].mean()), int((own & ~_dilated(mask)).sum()), own)
    return seen


def is_grey(picture: Picture) -> bool:
    """Whether no pixel (height, width, 3) has a colour: nothing is drawn over the image."""
    return not np.ptp(picture, axis=-1).any()


def _by_colour(picture: Picture, colours: Sequence[tuple[int, int, int]]) -> list[Mask]:
    """Return, for each colour, the pixels that have its chroma.

    The image is grey, so that what is drawn over it, at any opacity, has the direction of the colour's own chroma.
    """
    chroma = _chroma(picture.astype(np.float32))
    size = np.linalg.norm(chroma, axis=-1)
    wanted = [_chroma(np.array(colour, np.float32)) for colour in colours]
    cosines = [chroma @ each / np.maximum(size * np.linalg.norm(each), 1e-6) for each in wanted]
    best = np.argmax(cosines, axis=0)
    return [
        (best == index) & (cosine > _SAME_HUE) & (size > _COLOURED * np.linalg.norm(each))
        for index, (each, cosine) in enumerate(zip(wanted, cosines, strict=True))
    ]


def _chroma(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the part of a colour that is not grey."""
    return rgb - rgb.mean(axis=-1, keepdims=True)


def _eroded(mask: Mask) -> Mask:
    return cv2.erode(mask.astype(np.uint8), _disc(), borderValue=0).astype(bool)


def _dilated(mask: Mask) -> Mask:
    return cv2.dilate(mask.astype(np.uint8), _disc()).astype(bool)


def _disc() -> NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1))
