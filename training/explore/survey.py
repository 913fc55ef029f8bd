"""One pass over the images of a data set: what each is like, and which cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import Undecodable
from training.data.duplicates import Fingerprint, fingerprint
from training.data.sources import DataSet, Kind, Problem, Record

BINS = 64
# In 8 bits 25 grey values. Six of JSRT's images in DATA.md's form have 16 or fewer; the next flattest has 34.
LEAST_CONTRAST = 0.1


@dataclass(frozen=True)
class Sight:
    """What is kept of one decoded image.

    Attributes
    ----------
    shape
        Rows and columns.
    histogram
        Part of the pixels in each of BINS intervals of [0, 1].
    """

    record: Record
    shape: tuple[int, int]
    histogram: NDArray[np.float64]
    print: Fingerprint


def look(found: DataSet, progress: Callable[[int, int], None] | None = None) -> tuple[list[Sight], list[Problem]]:
    """Decode every image, and every mask, once; `progress` is told how many of how many are done."""
    sights: list[Sight] = []
    problems: list[Problem] = []
    for done, record in enumerate(found.records, 1):
        try:
            sight, contrast = _sight(record)
        except (Undecodable, OSError) as error:
            problems.append(Problem(Kind.UNREADABLE, str(record.path), str(error)))
        else:
            sights.append(sight)
            problems.extend(_of_mask(record, sight.shape))
            if contrast < LEAST_CONTRAST:
                said = f"98 % of its pixels lie within {contrast:.0%} of the grey values: nearly empty, or washed out"
                problems.append(Problem(Kind.CONTRAST, str(record.path), said))
        if progress is not None:
            progress(done, len(found.records))
    return sights, problems


def _sight(record: Record) -> tuple[Sight, float]:
    """Look at one image; return its contrast, too: between the 1st and the 99th percentile."""
    radiograph = record.image()
    valid = radiograph.pixels if radiograph.valid is None else radiograph.pixels[radiograph.valid]
    counts, _ = np.histogram(valid, BINS, (0, 1))
    low, high = np.percentile(valid, (1, 99)) if valid.size else (0.0, 0.0)
    shares = counts / max(int(counts.sum()), 1)
    return Sight(record, radiograph.shape, shares, fingerprint(radiograph)), float(high - low)


def _of_mask(record: Record, shape: tuple[int, int]) -> list[Problem]:
    """Tell what is wrong with the mask of a record."""
    if record.mask is None:
        return []
    try:
        given = record.mask().shape
    except (Undecodable, OSError) as error:
        return [Problem(Kind.UNREADABLE, f"mask of {record.id}", str(error))]
    if given != (len(record.mask_names), *shape):
        return [Problem(Kind.SIZE, f"mask of {record.id}", f"{given}, its image is {shape}")]
    return []
