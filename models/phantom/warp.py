"""Thin-plate spline warps between point sets (Bookstein 1989), evaluated on a coarse lattice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def _kernel(left: Doubles, right: Doubles) -> Doubles:
    """Return r² log r² between two point sets."""
    squared = ((left[:, None, :] - right[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(squared * np.log(squared + 1e-12))


def thin_plate(at: Doubles, values: Doubles, query: Doubles, *, smoothing: float) -> Doubles:
    """Interpolate `values` known `at` points to the `query` points.

    Parameters
    ----------
    at
        (n, 2) array. Points where the values are known.
    values
        (n, k) array. Values there.
    query
        (m, 2) array. Points to evaluate.
    smoothing
        Weight of the bending energy: 0 interpolates; above it, points that lie close together and disagree (heart
        border and lung border) are averaged instead of folding the plane.

    Returns
    -------
    (m, k) array
    """
    count = len(at)
    affine = np.hstack([np.ones((count, 1)), at])
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(at, at) + smoothing * np.eye(count)
    system[:count, count:] = affine
    system[count:, :count] = affine.T
    right_side = np.zeros((count + 3, values.shape[1]))
    right_side[:count] = values
    weights = np.linalg.solve(system, right_side)
    plane = np.hstack([np.ones((len(query), 1)), query])
    return np.asarray(_kernel(query, at) @ weights[:count] + plane @ weights[count:])


def displacement(
    source: Doubles, target: Doubles, xs: Doubles, ys: Doubles, *, smoothing: float = 1e-3
) -> tuple[Floats, Floats]:
    """Return where each lattice position in the space of `source` lies in the space of `target`.

    Parameters
    ----------
    source, target
        (n, 2) arrays. Corresponding points, (x, y).
    xs, ys
        1-D arrays. Lattice positions in the space of `source`.

    Returns
    -------
    tuple of (len(ys), len(xs)) arrays
        x and y in the space of `target`.
    """
    grid_x, grid_y = np.meshgrid(xs, ys)
    query = np.stack([grid_x.ravel(), grid_y.ravel()], axis=1)
    moved = query + thin_plate(source, target - source, query, smoothing=smoothing)
    shape = grid_x.shape
    return moved[:, 0].reshape(shape).astype(np.float32), moved[:, 1].reshape(shape).astype(np.float32)
