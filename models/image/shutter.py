"""The Display Shutter (PS3.3 section C.7.6.11): what the sender wants blanked before anybody looks at the image.

A viewer shows nothing there, and neither do the networks see anything there: it is treated as padding is. A shutter
that would hide nearly all is a mistake, and is left open.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

LEAST_OPEN = 0.05
"""Part of the picture that a believable shutter leaves."""

Mask = NDArray[np.bool_]


def shutter(ds: Dataset, shape: tuple[int, ...]) -> tuple[Mask | None, tuple[str, ...]]:
    """Return the open part (rows, columns) and a note; None where there is no shutter, or none that can be used.

    Several shapes hide together whatever one of them hides. A bitmap shutter is an overlay, and not looked for.
    """
    shapes = ds.get("ShutterShape") or ()
    named = [shapes] if isinstance(shapes, str) else [str(name) for name in shapes]
    parts = [part for name in named if (part := _open(name.strip().upper(), ds, (shape[0], shape[1]))) is not None]
    if not parts:
        return None, ("Display Shutter cannot be used",) if named else ()
    seen = np.logical_and.reduce(parts)
    if seen.mean() < LEAST_OPEN:
        return None, ("Display Shutter hides the picture, and was left open",)
    return seen, () if seen.all() else ("blank outside of the Display Shutter",)


def _open(name: str, ds: Dataset, shape: tuple[int, int]) -> Mask | None:
    """Return what one shape leaves open; None where its attributes are not usable. Rows and columns count from 1."""
    try:
        match name:
            case "RECTANGULAR":
                return _rectangle(ds, shape)
            case "CIRCULAR":
                return _circle(ds, shape)
            case "POLYGONAL":
                return _polygon(ds, shape)
    except (AttributeError, TypeError, ValueError):
        return None
    return None


def _rectangle(ds: Dataset, shape: tuple[int, int]) -> Mask:
    top, bottom = int(ds.ShutterUpperHorizontalEdge), int(ds.ShutterLowerHorizontalEdge)
    left, right = int(ds.ShutterLeftVerticalEdge), int(ds.ShutterRightVerticalEdge)
    mask = np.zeros(shape, np.bool_)
    mask[max(0, top - 1) : max(0, bottom), max(0, left - 1) : max(0, right)] = True
    return mask


def _circle(ds: Dataset, shape: tuple[int, int]) -> Mask:
    row, column = (int(value) for value in ds.CenterOfCircularShutter)
    radius = float(int(ds.RadiusOfCircularShutter))
    across = (np.arange(1, shape[1] + 1, dtype=np.float64) - column) ** 2
    down = (np.arange(1, shape[0] + 1, dtype=np.float64) - row) ** 2
    mask: Mask = down[:, None] + across[None, :] <= radius**2
    return mask


def _polygon(ds: Dataset, shape: tuple[int, int]) -> Mask:
    values: list[Any] = list(ds.VerticesOfThePolygonalShutter)
    corners = np.array([int(value) for value in values], np.int32).reshape(-1, 2)  # row, column
    if len(corners) < 3:
        raise ValueError("a polygon has three corners or more")
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [corners[:, ::-1] - 1], 1)
    return mask.astype(np.bool_)
