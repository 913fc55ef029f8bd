"""An MR series from its files: sorted by where each slice lies in the patient, never by file name or number.

Geometry follows PS3.3 section C.7.6.2.1.1: Image Position is the centre of the first voxel of a slice, the first three
values of Image Orientation point along a row (to the next column), the others along a column (to the next row).
Directions are those of the patient: x to the left, y to the back, z to the head. One frame a file; enhanced objects are
refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from models.errors import ModelsError, Undecodable
from models.image import decode
from models.volume.grid import Float, Mask, Spacing

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
LEAST_SLICES = 8
MOST_SLICES = 2000
_SAME_DIRECTION = 1e-3
_SAME_GAP = 0.02
"""Largest difference of two slice distances, as a part of them; less is rounding, more is a missing slice."""
_SHEAR = 0.05
"""Largest drift of the slices' corners along the slices, as a part of the slice distance."""
Vector = NDArray[np.float64]


class SeriesRefused(ModelsError):
    """The files are no series of parallel, evenly spaced MR slices; the message says why."""


@dataclass(frozen=True)
class Slice:
    """One file of a series and its identity."""

    path: Path
    sop_instance_uid: str


@dataclass(frozen=True)
class Series:
    """A volume as its files give it.

    Attributes
    ----------
    pixels
        float32 (slices, rows, columns), rescaled; slices in the order of their position along the normal, which is the
        row direction crossed with the column direction.
    slices
        The file of each slice, in that order.
    spacing_mm
        Slice distance (not thickness), row distance, column distance.
    axes
        (3, 3), unit vectors of the patient along the array's axes: slice, row, column.
    origin_mm
        Centre of the first voxel.
    """

    series_instance_uid: str
    pixels: Float
    slices: tuple[Slice, ...]
    spacing_mm: Spacing
    axes: Vector
    origin_mm: Vector

    def place_mm(self, voxel: Sequence[float]) -> Vector:
        """Return the position in the patient of a voxel (slice, row, column)."""
        place: Vector = self.origin_mm + (np.asarray(voxel, np.float64) * self.spacing_mm) @ self.axes
        return place

    def voxel(self, place_mm: Sequence[float]) -> Vector:
        """Return the voxel (slice, row, column), fractions included, at a position in the patient."""
        voxel: Vector = (self.axes @ (np.asarray(place_mm, np.float64) - self.origin_mm)) / np.asarray(self.spacing_mm)
        return voxel


@dataclass(frozen=True)
class Canonical:
    """How a volume is turned, by exchanging and reversing axes only, to (to the head, to the back, to the left).

    Attributes
    ----------
    order
        The source's axis that becomes each canonical one.
    reversed
        Which canonical axes run against their source axis.
    oblique_degrees
        Largest angle that is left between an axis and its canonical direction.
    """

    order: tuple[int, int, int]
    reversed: tuple[bool, bool, bool]
    oblique_degrees: float

    @classmethod
    def of(cls, axes: Vector) -> Canonical:
        """Find the turn for the axes of a series."""
        wanted = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
        along = wanted @ axes.T  # canonical, source
        order = max(permutations(range(3)), key=lambda p: sum(abs(along[k, p[k]]) for k in range(3)))
        chosen = np.array([along[k, order[k]] for k in range(3)])
        angle = float(np.degrees(np.arccos(np.clip(np.abs(chosen).min(), 0, 1))))
        a, b, c = order
        x, y, z = (bool(value < 0) for value in chosen)
        return cls((a, b, c), (x, y, z), angle)

    def forward(self, volume: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn an array of the source."""
        return volume.transpose(self.order)[self._steps()]

    def inverse(self, volume: Mask) -> Mask:
        """Turn an array back."""
        back = np.argsort(self.order)
        return np.ascontiguousarray(volume[self._steps()].transpose(back))

    def spacing(self, spacing_mm: Spacing) -> Spacing:
        """Return the spacing of the turned array."""
        a, b, c = (spacing_mm[axis] for axis in self.order)
        return a, b, c

    def voxel(self, voxel: Vector, shape: Sequence[int]) -> Vector:
        """Turn a voxel of the source array of this shape."""
        turned = [(shape[axis] - 1 - voxel[axis]) if back else voxel[axis] for axis, back in self._pairs()]
        return np.asarray(turned, np.float64)

    def _pairs(self) -> Iterable[tuple[int, bool]]:
        """Pair each canonical axis's source with whether it is reversed."""
        return zip(self.order, self.reversed, strict=True)

    def _steps(self) -> tuple[slice, slice, slice]:
        """Return the slices that reverse the canonical axes."""
        a, b, c = (slice(None, None, -1 if back else 1) for back in self.reversed)
        return a, b, c


def read(paths: Sequence[Path]) -> Series:
    """Read one series.

    Raises
    ------
    SeriesRefused
        A file is no single-frame MR image, or they do not belong to one series, or the slices are not parallel, alike,
        complete and evenly spaced.
    """
    if not LEAST_SLICES <= len(paths) <= MOST_SLICES:
        raise SeriesRefused(f"{len(paths)} files, between {LEAST_SLICES} and {MOST_SLICES} slices are read")
    opened = [(path, _opened(path)) for path in paths]
    first = opened[0][1]
    _check_alike([ds for _, ds in opened])
    row, column = _directions(first)
    normal = np.cross(row, column)
    positions = np.array([_numbers(ds, "ImagePositionPatient", 3) for _, ds in opened])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gap = _gap(along[order])
    _check_upright(positions[order], normal, gap)
    spacing = _numbers(first, "PixelSpacing", 2)
    files = [opened[k] for k in order]
    return Series(
        str(first.SeriesInstanceUID),
        np.stack([_values(ds) for _, ds in files]),
        tuple(Slice(path, str(ds.SOPInstanceUID)) for path, ds in files),
        (gap, float(spacing[0]), float(spacing[1])),
        np.stack([normal, column, row]),
        positions[order[0]],
    )


def _opened(path: Path) -> FileDataset:
    """Open one file and see that it is an MR image of one frame."""
    try:
        ds = decode.open_dataset(path)
    except Undecodable as error:
        raise SeriesRefused(f"{path.name}: {error}") from error
    if str(ds.get("SOPClassUID", "")) != MR_IMAGE_STORAGE:
        raise SeriesRefused(f"{path.name} is {ds.get('SOPClassUID', 'of no SOP class')}, MR Image Storage was expected")
    return ds


def _check_alike(datasets: Sequence[FileDataset]) -> None:
    """Refuse what differs where slices of one series agree."""
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "Rows", "Columns"):
        distinct = {str(ds.get(keyword, "")) for ds in datasets}
        if len(distinct) > 1:
            raise SeriesRefused(f"the files have {len(distinct)} values of {keyword}, one was expected")
    uids = Counter(str(ds.get("SOPInstanceUID", "")) for ds in datasets)
    twice = [uid for uid, count in uids.items() if count > 1]
    if twice:
        raise SeriesRefused(f"{len(twice)} instances are there more than once")
    for keyword, count in (("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        values = np.array([_numbers(ds, keyword, count) for ds in datasets])
        if np.abs(values - values[0]).max() > _SAME_DIRECTION:
            raise SeriesRefused(f"{keyword} differs between the slices")


def _numbers(ds: FileDataset, keyword: str, count: int) -> Vector:
    """Read a geometric attribute."""
    try:
        values = np.array([float(v) for v in ds[keyword].value], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise SeriesRefused(f"a slice has no usable {keyword}") from error
    if values.shape != (count,) or not np.isfinite(values).all():
        raise SeriesRefused(f"{keyword} has {values.size} values, {count} finite ones were expected")
    return values


def _directions(ds: FileDataset) -> tuple[Vector, Vector]:
    """Return the unit vectors along a row and along a column."""
    values = _numbers(ds, "ImageOrientationPatient", 6)
    row, column = values[:3], values[3:]
    if not np.allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-2):
        raise SeriesRefused("Image Orientation (Patient) holds no two perpendicular unit vectors")
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    if (_numbers(ds, "PixelSpacing", 2) <= 0).any():
        raise SeriesRefused("Pixel Spacing is not positive")
    return row, column / np.linalg.norm(column)


def _gap(along: Vector) -> float:
    """Return the distance of neighbouring slices."""
    gaps = np.diff(along)
    gap = float(np.median(gaps))
    if gap <= 0 or gaps.min() < gap * 0.5:
        raise SeriesRefused("several slices lie in one place: more than one echo, phase or acquisition in the series")
    if np.abs(gaps - gap).max() > _SAME_GAP * gap:
        raise SeriesRefused(f"slice distances run from {gaps.min():.3f} to {gaps.max():.3f} mm: a slice is missing")
    return float(gaps.mean())


def _check_upright(positions: Vector, normal: Vector, gap: float) -> None:
    """Refuse slices that are stacked slantwise: their rows do not lie above each other."""
    steps = positions - positions[0]
    drift = np.linalg.norm(steps - np.outer(steps @ normal, normal), axis=1)
    if drift[-1] > _SHEAR * gap * (len(positions) - 1) or drift.max() > max(1.0, gap):
        raise SeriesRefused(f"the slices are stacked slantwise, by up to {drift.max():.2f} mm")


def _values(ds: FileDataset) -> Float:
    """Decode and rescale one slice."""
    try:
        stored = decode.stored_values(ds).values
    except Undecodable as error:
        raise SeriesRefused(f"slice {ds.get('InstanceNumber', '?')}: {error}") from error
    slope, intercept = (float(ds.get(k) or d) for k, d in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)))
    values: Float = (stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)).astype(np.float32)
    return -values if str(ds.PhotometricInterpretation) == "MONOCHROME1" else values
