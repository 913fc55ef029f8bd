"""What the children's lung-field masks say in the convention of the adult masks.

Their fields include the lung behind the heart and the diaphragm; those of the adults do not. So the fields are a
partial label. Outside both there is no lung. Within a field, what no heart can reach is lung: its upper quarter, and
the outer part of it. The rest of the field is unknown. Where no heart can reach, there is none; within reach nothing
is said of it.

An earlier form asked for "lung or heart" within the fields and said nothing of the heart anywhere. The heart then
spread over the whole body of children, and over opacities of adults from another hospital (training/LOG.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.uint8]
Mask = NDArray[np.bool_]
INSIDE, UNKNOWN = 255, 127
# A field is a piece of at least this part of the picture.
LEAST_FIELD = 0.02
# Reach of the heart: below this part of the fields' height, and so far into the width of either field.
UPPER = 0.25
INTO_RIGHT, INTO_LEFT = 0.6, 0.85


def targets(field: Array) -> Array:
    """Return targets and weights of right lung, left lung and heart (6, rows, columns), each 0 or 255.

    Parameters
    ----------
    field
        (rows, columns), 0 outside, 127 unknown, 255 inside; all weights are 0 unless it has two large pieces.
    """
    sides = _sides(field == INSIDE)
    if sides is None:
        return np.zeros((6, *field.shape), np.uint8)
    right, left = sides
    known = right | left | (field == 0)
    reach = _reach(right, left)
    nothing = np.zeros_like(right)
    doubtful = (right | left) & reach
    planes = (right, left, nothing, known & ~doubtful, known & ~doubtful, ~reach)
    return np.stack([np.where(plane, 255, 0).astype(np.uint8) for plane in planes])


def _sides(inside: Mask) -> tuple[Mask, Mask] | None:
    """Tell the two fields apart; the patient's right is on the left of the image."""
    labelled, count = ndimage.label(inside)
    sizes = ndimage.sum_labels(inside, labelled, range(1, count + 1))
    large = [index + 1 for index, size in enumerate(sizes) if size > LEAST_FIELD * inside.size]
    if len(large) != 2:
        return None
    first, second = (labelled == index for index in large)
    columns = [np.nonzero(side)[1].mean() for side in (first, second)]
    return (first, second) if columns[0] < columns[1] else (second, first)


def _reach(right: Mask, left: Mask) -> Mask:
    """Return the rectangle that the heart may touch: between the outer parts of the fields, down to the lower edge."""
    rows = np.flatnonzero((right | left).any(axis=1))
    of_right, of_left = (np.flatnonzero(side.any(axis=0)) for side in (right, left))
    top = rows[0] + round(UPPER * (rows[-1] - rows[0]))
    start = of_right[-1] - round(INTO_RIGHT * (of_right[-1] - of_right[0]))
    end = of_left[0] + round(INTO_LEFT * (of_left[-1] - of_left[0]))
    reach = np.zeros_like(right)
    reach[top : rows[-1] + 1, start : end + 1] = True
    return reach
