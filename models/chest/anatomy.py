"""Masks of lungs and heart on the grid of the image, and what is measured on them.

The cardiothoracic ratio here: widest horizontal extent of the heart's largest piece over the widest horizontal
extent of both lungs together, each from its outermost left to its outermost right pixel, whatever the row, in the
canonical orientation. On the reference masks this equals the published ratio of the training set to 0.0001. It is not
the reading on paper, which takes the inner ribs at the level of the diaphragm.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.values.findings import Box, Edge, Point

Mask = NDArray[np.bool_]
# Pieces smaller than this part of the largest one are dropped.
SMALL_PIECE = 0.1


@dataclass(frozen=True)
class Anatomy:
    """The masks (rows, columns) on the canonical grid; None: not found."""

    right_lung: Mask | None
    left_lung: Mask | None
    heart: Mask | None


@dataclass(frozen=True)
class Size:
    """Widths in columns and areas in pixels of the canonical grid; None: not measurable."""

    cardiac_width: int | None
    thoracic_width: int | None
    right_lung_area: int | None
    left_lung_area: int | None
    heart_box: Box | None
    cardiac_extent: tuple[Point, Point] | None = None
    thoracic_extent: tuple[Point, Point] | None = None

    @property
    def cardiothoracic_ratio(self) -> float | None:
        """Cardiac over thoracic width."""
        if self.cardiac_width is None or not self.thoracic_width:
            return None
        return self.cardiac_width / self.thoracic_width


def clean(mask: Mask, *, keep_largest: bool) -> Mask | None:
    """Drop small pieces, or all but the largest; None where nothing is left."""
    count, labelled, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    limit = areas.max() if keep_largest else max(1, SMALL_PIECE * areas.max())
    kept = areas >= limit
    if keep_largest:
        kept &= np.arange(count) == int(np.argmax(areas))
    return np.asarray(kept[labelled], np.bool_)


def measure(anatomy: Anatomy) -> Size:
    """Measure the masks; the thoracic width needs both lungs."""
    lungs = anatomy.right_lung, anatomy.left_lung
    both = None if lungs[0] is None or lungs[1] is None else lungs[0] | lungs[1]
    box = None if anatomy.heart is None else bounding_box(anatomy.heart)
    chest = None if both is None else bounding_box(both)
    return Size(
        cardiac_width=None if box is None else box.x1 - box.x0,
        thoracic_width=None if chest is None else chest.x1 - chest.x0,
        right_lung_area=None if lungs[0] is None else int(lungs[0].sum()),
        left_lung_area=None if lungs[1] is None else int(lungs[1].sum()),
        heart_box=box,
        cardiac_extent=None if anatomy.heart is None else extent(anatomy.heart),
        thoracic_extent=None if both is None else extent(both),
    )


def extent(mask: Mask) -> tuple[Point, Point] | None:
    """Return the outermost points of a mask, on its left and on its right edge; None where it is empty.

    Each lies on the outer edge of the outermost pixel, so that the columns differ by the width; where several rows
    reach as far, in the middle one.
    """
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(columns):
        return None
    first, last = int(columns[0]), int(columns[-1])
    return Point(_middle(mask[:, first]), float(first)), Point(_middle(mask[:, last]), float(last + 1))


def cut_off(anatomy: Anatomy, valid: Mask | None = None) -> tuple[Edge, ...]:
    """Return the edges of the image that a lung reaches, in the canonical orientation.

    Parameters
    ----------
    valid
        False where the detector saw nothing; the image ends with the box around the rest. None: all valid.
    """
    lungs = [lung for lung in (anatomy.right_lung, anatomy.left_lung) if lung is not None]
    if not lungs:
        return ()
    either = np.logical_or.reduce(lungs)
    lung_edges = bounding_box(either)
    rows, columns = either.shape
    image = Box(0, 0, columns, rows) if valid is None else bounding_box(valid)
    if lung_edges is None or image is None:
        return ()
    reached = {
        Edge.TOP: lung_edges.y0 <= image.y0,
        Edge.BOTTOM: lung_edges.y1 >= image.y1,
        Edge.RIGHT: lung_edges.x0 <= image.x0,
        Edge.LEFT: lung_edges.x1 >= image.x1,
    }
    return tuple(edge for edge, is_reached in reached.items() if is_reached)


def _middle(column: Mask) -> float:
    """Return the middle of the middle one of the true pixels."""
    rows = np.flatnonzero(column)
    return float(rows[len(rows) // 2]) + 0.5


def lung_box(anatomy: Anatomy) -> Box | None:
    """Return the box around both lungs, None unless both were found."""
    if anatomy.right_lung is None or anatomy.left_lung is None:
        return None
    return bounding_box(anatomy.right_lung | anatomy.left_lung)


def bounding_box(mask: Mask) -> Box | None:
    """Return the box around all true pixels, None where there is none."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
