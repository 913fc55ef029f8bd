"""Volumes on the grid of a network and back: normalisation, resampling, sliding windows, the largest piece.

Arrays are (slice, row, column) and, where a network sees them, in the canonical order: slices towards the head, rows
towards the back, columns towards the patient's left. Reading a DICOM series is the work of models/volume/series.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import VolumeSpec
from models.image.inputs import InputSpec

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]
_WINDOW_SIGMA = 0.25
"""Standard deviation of the weights over a window, as a part of its edge."""
_LEAST_WEIGHT = 1e-3


def normalised(image: NDArray[np.generic], percentiles: tuple[float, float]) -> Float:
    """Stretch a volume between two of its percentiles to [0, 1], clipped, in float32."""
    values = image.astype(np.float32)
    low, high = np.percentile(values, percentiles)
    stretched: Float = np.clip((values - low) / max(float(high - low), 1e-6), 0.0, 1.0).astype(np.float32)
    return stretched


def grid_shape(shape: Sequence[int], spacing_mm: Spacing, target_mm: Spacing) -> Triple:
    """Return how many voxels of the target grid cover a volume; both grids begin at the same corner."""
    a, b, c = (
        max(1, int(np.ceil(n * own / wanted - 1e-6)))
        for n, own, wanted in zip(shape, spacing_mm, target_mm, strict=True)
    )
    return a, b, c


def resampled(volume: Float, spacing_mm: Spacing, target_mm: Spacing, shape: Triple) -> Float:
    """Bring a volume to a grid of another spacing that begins at the same corner.

    Linear between voxel centres where the target is finer; where it is coarser, a triangle as wide as its voxels, so
    that noise is averaged and not sampled. Outside, the outermost voxel goes on.
    """
    for axis in range(3):
        matrix = _weights(volume.shape[axis], spacing_mm[axis], target_mm[axis], shape[axis])
        volume = np.moveaxis(np.tensordot(matrix, volume, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(volume, np.float32)


def _weights(count: int, spacing_mm: float, target_mm: float, target: int) -> Float:
    """Return the matrix (target, count) of one axis; its rows add up to 1."""
    ratio = target_mm / spacing_mm
    centres = np.clip((np.arange(target) + 0.5) * ratio - 0.5, 0, count - 1)
    reach = max(1.0, ratio)
    matrix = np.maximum(0.0, 1 - np.abs(np.arange(count)[None, :] - centres[:, None]) / reach)
    rows: Float = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return rows


def on_model_grid(image: Float, spacing_mm: Spacing, spec: VolumeSpec, normalisation: InputSpec) -> Float:
    """Normalise a canonical volume and bring it to the model grid; the same in training and in serving."""
    shape = grid_shape(image.shape, spacing_mm, spec.spacing_mm)
    return resampled(normalised(image, normalisation.contrast_percentiles), spacing_mm, spec.spacing_mm, shape)


def windows(shape: Sequence[int], window: Sequence[int], overlap: float) -> Iterator[Triple]:
    """Yield the first voxel of windows that cover a volume, which is at least as large, evenly spread."""
    axes = [_starts(n, size, overlap) for n, size in zip(shape, window, strict=True)]
    yield from cast(Iterator[Triple], product(*axes))


def _starts(count: int, size: int, overlap: float) -> list[int]:
    """Spread the fewest windows with at least this overlap; windows of one voxel do not overlap."""
    if count <= size:
        return [0]
    step = max(1, round(size * (1 - overlap)))
    number = -(-(count - size) // step) + 1
    return [round(k * (count - size) / (number - 1)) for k in range(number)]


def blending(window: Sequence[int]) -> Float:
    """Return the weight of each voxel of a window: a normal curve over each edge, highest in the middle."""
    edges = [np.exp(-0.5 * (((np.arange(n) + 0.5) / n - 0.5) / _WINDOW_SIGMA) ** 2) for n in window]
    weight = np.maximum(np.einsum("i,j,k->ijk", *edges), _LEAST_WEIGHT)
    return np.asarray(weight, np.float32)


def padded(volume: Float, spec: VolumeSpec) -> tuple[Float, Triple]:
    """Widen a volume with zeros to one window at least, and by the context; return also its first voxel therein."""
    missing = [max(0, size - n) for n, size in zip(volume.shape, spec.window, strict=True)]
    before = [m // 2 for m in missing]
    context = (spec.context, 0, 0)
    edges = [(b + c, m - b + c) for b, m, c in zip(before, missing, context, strict=True)]
    # Slices beyond the ends repeat the last one: the 2-D network has always seen three real slices.
    widened = np.pad(volume, [edges[0], (0, 0), (0, 0)], mode="edge" if spec.context else "constant")
    widened = np.pad(widened, [(0, 0), edges[1], edges[2]])
    return widened, (before[0], before[1], before[2])


def answered(volume: Float, spec: VolumeSpec, run: Callable[[Float], Float]) -> Float:
    """Run a network over a volume of the model grid and blend what the windows say.

    Parameters
    ----------
    volume
        (slices, rows, columns) in [0, 1].
    run
        Gives (windows, labels, *window) for (windows, *input_shape).

    Returns
    -------
    (labels, slices, rows, columns), averaged by `blending`.
    """
    widened, first = padded(volume, spec)
    inner = (widened.shape[0] - 2 * spec.context, widened.shape[1], widened.shape[2])
    weight = blending(spec.window)
    total: Float | None = None
    weights: Float = np.zeros(inner, np.float32)
    for start in windows(inner, spec.window, spec.overlap):
        given = tuple(slice(s, s + n) for s, n in zip(start, spec.input_shape, strict=True))
        place = tuple(slice(s, s + n) for s, n in zip(start, spec.window, strict=True))
        said = run(widened[given][None])[0]
        if total is None:
            total = np.zeros((len(said), *inner), np.float32)
        total[(slice(None), *place)] += said * weight
        weights[place] += weight
    if total is None:
        raise ValueError("a volume without voxels")
    kept = tuple(slice(f, f + n) for f, n in zip(first, volume.shape, strict=True))
    blended: Float = (total / weights)[(slice(None), *kept)]
    return blended


def largest_piece(mask: Mask) -> Mask:
    """Keep the largest piece of a mask (slices, rows, columns) whose voxels touch by their faces.

    Pieces are found slice by slice and joined where they overlap from one slice to the next.
    """
    labels = np.zeros(mask.shape, np.int32)
    parent: list[int] = [0]
    for z in range(len(mask)):
        count, pieces = cv2.connectedComponents(mask[z].astype(np.uint8), connectivity=4)
        labels[z] = np.where(pieces > 0, pieces + len(parent) - 1, 0)
        parent += range(len(parent), len(parent) + count - 1)
        if z:
            both = (labels[z] > 0) & (labels[z - 1] > 0)
            for one, other in np.unique(np.stack([labels[z][both], labels[z - 1][both]]), axis=1).T:
                _join(parent, int(one), int(other))
    if len(parent) == 1:
        return np.zeros_like(mask)
    roots = np.array([_root(parent, k) for k in range(len(parent))])[labels]
    sizes = np.bincount(roots.ravel())
    sizes[0] = 0
    kept: Mask = roots == int(sizes.argmax())
    return kept


def _root(parent: list[int], label: int) -> int:
    """Follow a piece to the one that it was joined to."""
    while parent[label] != label:
        label = parent[label]
    return label


def _join(parent: list[int], one: int, other: int) -> None:
    """Join two pieces under the older root."""
    a, b = _root(parent, one), _root(parent, other)
    parent[max(a, b)] = min(a, b)
