"""Run-length strings of the SIIM-ACR pneumothorax challenge: masks as text, in both of its dialects.

A string holds pairs "start length", the pixels counted down the columns (first the whole first column). Dialects
differ in what a start is:

- relative: the pixels left out since the end of the last run (the challenge's own csv files, `mask_functions.py`);
- absolute: the number of the first pixel of the run, from 1 (the form usual for submissions to such challenges) or
  from 0.

No string says which it is; `possible` tells which dialects can read one. An empty mask is "-1" or "". Several
regions of one image stand in several rows: `union` joins them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

EMPTY = "-1"
# The grid of the challenge: its images and its strings are 1024 x 1024.
CHALLENGE_SHAPE = (1024, 1024)

Mask = NDArray[np.bool_]


class Dialect(StrEnum):
    """What the first number of a pair counts."""

    RELATIVE = "relative"
    """Pixels since the end of the run before, or since the first pixel."""
    ABSOLUTE_FROM_1 = "absolute-from-1"
    """Number of the run's first pixel, the first of the image being 1."""
    ABSOLUTE_FROM_0 = "absolute-from-0"
    """Number of the run's first pixel, the first of the image being 0."""


class MalformedRle(ValueError):
    """The string does not describe a mask of this shape in this dialect; the message says why."""


def decode(text: str, shape: tuple[int, int] = CHALLENGE_SHAPE, dialect: Dialect = Dialect.RELATIVE) -> Mask:
    """Read one string as a mask (rows, columns).

    Raises
    ------
    MalformedRle
        A part is no whole number, there is an odd count of them, a start or length is out of range, a run overlaps
        the one before or leaves the image.
    """
    starts, lengths = _runs(text, dialect)
    rows, columns = shape
    ends = starts + lengths
    if len(starts) and int(ends[-1]) > rows * columns:
        raise MalformedRle(f"a run ends at pixel {int(ends[-1])}, the image of {rows} x {columns} has {rows * columns}")
    flat = np.zeros(rows * columns, np.bool_)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        flat[start:end] = True
    return np.ascontiguousarray(flat.reshape(columns, rows).T)


def union(texts: Iterable[str], shape: tuple[int, int] = CHALLENGE_SHAPE, dialect: Dialect = Dialect.RELATIVE) -> Mask:
    """Read the rows of one image as one mask (rows, columns): what is in any of them.

    Raises
    ------
    MalformedRle
        As `decode`.
    """
    joined = np.zeros(shape, np.bool_)
    for text in texts:
        joined |= decode(text, shape, dialect)
    return joined


def encode(mask: NDArray[np.bool_] | NDArray[np.uint8], dialect: Dialect = Dialect.RELATIVE) -> str:
    """Write a mask (rows, columns; not 0 is inside) as one string; "-1" when it is empty."""
    flat = (np.asarray(mask) != 0).T.reshape(-1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flat, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return EMPTY
    match dialect:
        case Dialect.RELATIVE:
            shown = starts - np.concatenate(([0], ends[:-1]))
        case Dialect.ABSOLUTE_FROM_1:
            shown = starts + 1
        case Dialect.ABSOLUTE_FROM_0:
            shown = starts
    return " ".join(f"{start} {length}" for start, length in zip(shown.tolist(), (ends - starts).tolist(), strict=True))


def possible(texts: Iterable[str], shape: tuple[int, int] = CHALLENGE_SHAPE) -> tuple[Dialect, ...]:
    """Return the dialects in which every string is well formed, in the order of `Dialect`; () when there is none.

    A string of one run, or an empty one, tells little; read as the other dialect, one of many runs soon overlaps
    itself or leaves the image. So give it all the strings of a file.
    """
    left = list(Dialect)
    for text in texts:
        left = [dialect for dialect in left if _well_formed(text, shape, dialect)]
        if not left:
            break
    return tuple(left)


def _well_formed(text: str, shape: tuple[int, int], dialect: Dialect) -> bool:
    """Return whether a string can be read, without painting it."""
    try:
        starts, lengths = _runs(text, dialect)
    except MalformedRle:
        return False
    return not len(starts) or int(starts[-1] + lengths[-1]) <= shape[0] * shape[1]


def _runs(text: str, dialect: Dialect) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first pixels, from 0, and the lengths of the runs, in order and apart from each other."""
    numbers = _numbers(text)
    shown, lengths = numbers[::2], numbers[1::2]
    if (lengths < 1).any():
        raise MalformedRle(f"a run of length {int(lengths[lengths < 1][0])}, at least 1 was expected")
    first = 1 if dialect is Dialect.ABSOLUTE_FROM_1 else 0
    if (shown < first).any():
        raise MalformedRle(f"a start of {int(shown[shown < first][0])}, at least {first} was expected ({dialect})")
    skipped = dialect is Dialect.RELATIVE
    starts = np.cumsum(shown) + np.cumsum(lengths) - lengths if skipped else shown - first
    if (starts[1:] < (starts + lengths)[:-1]).any():
        raise MalformedRle(f"a run begins before the end of the one before ({dialect})")
    return starts, lengths


def _numbers(text: str) -> NDArray[np.int64]:
    """Return the numbers of a string, an even count."""
    parts = text.split()
    if parts in ([], [EMPTY]):
        return np.zeros(0, np.int64)
    # isdecimal alone takes digits of any script, isascii leaves those of ours; so no sign, no point, no underscore.
    wrong = [part for part in parts if not (part.isascii() and part.isdecimal() and len(part) < 10)]
    if wrong:
        raise MalformedRle(f"{wrong[0][:20]!r} is no number of a pixel")
    if len(parts) % 2:
        raise MalformedRle(f"{len(parts)} numbers, pairs of start and length were expected")
    return np.array([int(part) for part in parts], np.int64)
