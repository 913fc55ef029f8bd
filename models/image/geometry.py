"""Orientation and letterbox: from the source grid to the model grid and exactly back.

Two steps, each with its inverse. `Orientation` is one of the eight ways to lay a rectangle on itself, a bijection of
pixels. `Letterbox` scales the oriented image, with square pixels, into a square and centres it there; pixel areas map
linearly, so a point has one place on either grid and masks return to where the image came from.
All arrays are (row, column); a pixel `i` covers the interval [i, i + 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Orientation:
    """How a source image is laid onto the canonical grid: first transposed, then flipped.

    Canonical is Patient Orientation (0020,0020) L, F: the patient's left on the right of the image, feet down.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def to_canonical(self, array: NDArray[T]) -> NDArray[T]:
        """Lay a source-grid array (rows, columns) onto the canonical grid."""
        turned = array.T if self.transpose else array
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def to_source(self, array: NDArray[T]) -> NDArray[T]:
        """Lay a canonical-grid array back onto the source grid, the exact inverse of `to_canonical`."""
        flipped = array[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return flipped.T if self.transpose else flipped

    def point_to_source(self, row: float, column: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Map a point, in pixel edges, of a canonical grid of `shape` to row and column of the source grid."""
        rows, columns = shape
        row = rows - row if self.flip_rows else row
        column = columns - column if self.flip_columns else column
        return (column, row) if self.transpose else (row, column)


@dataclass(frozen=True)
class Letterbox:
    """The place of an image of `shape` within a square of `size`: its content rectangle on the model grid.

    Attributes
    ----------
    shape
        Rows and columns of the image.
    size
        Edge of the model grid.
    top, left, height, width
        Content rectangle on the model grid, in whole pixels.
    """

    shape: tuple[int, int]
    size: int
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, int], *, aspect: float, size: int) -> Letterbox:
        """Fit an image whose pixels are `aspect` times as high as wide into a square of edge `size`, centred."""
        rows, columns = shape
        high, wide = rows * aspect, float(columns)
        scale = size / max(high, wide)
        height = min(size, max(1, round(high * scale)))
        width = min(size, max(1, round(wide * scale)))
        return cls(shape, size, (size - height) // 2, (size - width) // 2, height, width)

    def forward(self, image: Float) -> Float:
        """Scale `image` (rows, columns) into the square; what lies outside the content is 0.

        Shrinking averages over areas, which does not alias; enlarging interpolates linearly.
        """
        square = np.zeros((self.size, self.size), np.float32)
        square[self.content] = _resize(image, (self.height, self.width))
        return square

    def inverse(self, square: Float) -> Float:
        """Bring values of the model grid (size, size) back to the image's grid (rows, columns)."""
        return _resize(square[self.content], self.shape)

    @property
    def content(self) -> tuple[slice, slice]:
        """The content rectangle as slices of the model grid."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def point_to_model(self, row: float, column: float) -> tuple[float, float]:
        """Map a point of the image, in pixel edges, to the model grid."""
        return (
            self.top + row * self.height / self.shape[0],
            self.left + column * self.width / self.shape[1],
        )

    def point_to_image(self, row: float, column: float) -> tuple[float, float]:
        """Map a point of the model grid, in pixel edges, to the image: the inverse of `point_to_model`."""
        return (
            (row - self.top) * self.shape[0] / self.height,
            (column - self.left) * self.shape[1] / self.width,
        )


def _resize(image: Float, shape: tuple[int, int]) -> Float:
    """Resize one axis after the other, since one may shrink while the other grows."""
    rows, columns = shape
    half = _resize_to(image, (image.shape[0], columns), shrinks=columns < image.shape[1])
    return _resize_to(half, (rows, columns), shrinks=rows < image.shape[0])


def _resize_to(image: Float, shape: tuple[int, int], *, shrinks: bool) -> Float:
    """Resize with pixel areas aligned; equal shapes pass unchanged."""
    if image.shape == shape:
        return image
    source = np.ascontiguousarray(image, np.float32)
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(source, (shape[1], shape[0]), interpolation=method), np.float32)
