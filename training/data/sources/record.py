"""What every data set becomes: records with lazily read images, and what was wrong with the files.

Nothing is decoded here: a record knows how to read its image, mask or volume when it is asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError
from models.image.pixels import Radiograph

UNKNOWN = float("nan")
View = Literal["PA", "AP", "LATERAL"]
Sex = Literal["F", "M"]


class SourceRefused(ModelsError):
    """A data set cannot be read at all; the message says what was expected and what to do."""


class Kind(StrEnum):
    """What is wrong with a part of a data set."""

    MISSING = "missing"
    """The table names a file that is not there."""
    UNLISTED = "unlisted"
    """A file is there that no table names."""
    UNREADABLE = "unreadable"
    """A file is there and cannot be read."""
    SIZE = "size"
    """An image or a mask has not the size that the table or the owner states."""
    LABEL = "label"
    """A label, a box or a run-length string is not one that the owner's description allows."""
    VALUE = "value"
    """An age, a sex or a view is not plausible and is taken for unknown."""
    CONTRAST = "contrast"
    """An image is of nearly one grey."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: which kind, where (a file or an id), and what was expected."""

    kind: Kind
    where: str
    message: str


@dataclass(frozen=True)
class LabelledBox:
    """A rectangle in pixels of the source image: columns [x0, x1), rows [y0, y1)."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Volume:
    """A stack of slices.

    Attributes
    ----------
    image
        (slices, rows, columns), as stored.
    mask
        bool of the same shape; None is unknown.
    spacing_mm
        Of slices, rows and columns; None is unknown.
    """

    image: NDArray[np.generic]
    mask: NDArray[np.bool_] | None = None
    spacing_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Record:
    """One image of a data set. What is None is unknown.

    Attributes
    ----------
    id
        Unique within the data set.
    patient
        Whom the image is of; the id itself where the owner does not say.
    path
        The file that holds the image.
    image
        Reads it. Raises `Undecodable` or `OSError` when that fails.
    labels
        1 present, 0 absent, NaN unknown.
    boxes
        () is none found.
    mask
        Reads uint8 masks (len(mask_names), rows, columns) on the grid of the image, 255 inside.
    mask_names
        What the masks are of, in their order.
    volume
        Reads the whole stack of which `image` shows the middle slice.
    groups
        Further columns by which figures are told apart, each with this image's value.
    reference
        Values that the owner measured, by name; NaN where there is none.
    """

    id: str
    patient: str
    path: Path
    image: Callable[[], Radiograph]
    labels: Mapping[str, float] = field(default_factory=dict)
    boxes: tuple[LabelledBox, ...] | None = None
    mask: Callable[[], NDArray[np.uint8]] | None = None
    mask_names: tuple[str, ...] = ()
    volume: Callable[[], Volume] | None = None
    view: View | None = None
    sex: Sex | None = None
    age_years: float | None = None
    site: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """A data set as it lies in a folder.

    Attributes
    ----------
    licence, citation
        The owner's terms; manifests and cards repeat them.
    records
        What can be read, in the order of the table.
    problems
        What cannot, or is not as published; such images are left out where nothing can be read of them.
    notes
        What someone who trains on it must know.
    """

    name: str
    licence: str
    citation: str
    records: tuple[Record, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def labels(self) -> tuple[str, ...]:
        """Name the labels that any record knows, in the order of their first appearance."""
        return tuple(dict.fromkeys(name for record in self.records for name in record.labels))


class Problems:
    """Collects what is wrong while a data set is read."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, kind: Kind, where: str | Path, message: str) -> None:
        """Note one problem."""
        self._found.append(Problem(kind, str(where), message))

    def found(self) -> tuple[Problem, ...]:
        """Return what was noted, in order."""
        return tuple(self._found)


def finished(
    name: str,
    terms: tuple[str, str],
    records: list[Record],
    problems: Problems,
    *,
    notes: tuple[str, ...] = (),
) -> DataSet:
    """Make a data set of its parts.

    Raises
    ------
    SourceRefused
        Nothing could be read, or two records have one id.
    """
    if not records:
        found = problems.found()
        first = f"; the first of {len(found)} problems: {found[0].where}: {found[0].message}" if found else ""
        raise SourceRefused(f"{name}: no image of the table could be found{first}")
    seen: set[str] = set()
    for record in records:
        if record.id in seen:
            raise SourceRefused(f"{name}: two images have the id {record.id}; each needs its own")
        seen.add(record.id)
    return DataSet(name, *terms, tuple(records), problems.found(), notes)
