"""Volumes with their masks, from the .npz files of the data set to the model grid.

The files hold `image` (uint8) and `label` (0 or 1) as (left, back, head): the axes increase towards the patient's left,
towards the back and towards the head. They carry no spacing. The model's order is (slice, row, column), that is
(head, back, left).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.volume import Float, Mask, grid_shape, on_model_grid, resampled
from training import splits
from training.atrium.config import VolumeRecipe
from training.splits import Split

NAME = "atrium"


@dataclass(frozen=True)
class Case:
    """One volume: image uint8 and mask, both (slices, rows, columns) on the source grid."""

    id: str
    image: NDArray[np.uint8]
    mask: Mask


@dataclass(frozen=True)
class Prepared:
    """One volume on the model grid: image in [0, 1], and which part of each voxel the mask covers."""

    id: str
    image: Float
    cover: Float


def read(data: Path, ids: Iterable[str]) -> list[Case]:
    """Read volumes by their ids.

    Raises
    ------
    ValueError
        A file disagrees with the table, with itself, or holds labels other than 0 and 1.
    """
    table = {row["id"]: row for row in _table(data)}
    return [_read(data / NAME / f"{one}.npz", table[one]) for one in ids]


def ids_of(wanted: Iterable[Split]) -> tuple[str, ...]:
    """Give the ids of some splits."""
    return tuple(one for split in wanted for one in splits.read(NAME, split))


def prepared(case: Case, recipe: VolumeRecipe) -> Prepared:
    """Bring a volume to the model grid, as serving does."""
    spec = recipe.volume
    image = on_model_grid(case.image.astype(np.float32), spec.source_spacing_mm, spec, recipe.input)
    shape = grid_shape(case.image.shape, spec.source_spacing_mm, spec.spacing_mm)
    cover = resampled(case.mask.astype(np.float32), spec.source_spacing_mm, spec.spacing_mm, shape)
    return Prepared(case.id, image, cover)


def _table(data: Path) -> list[dict[str, str]]:
    """Read the table of the set."""
    with (data / NAME / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _read(path: Path, row: dict[str, str]) -> Case:
    """Read one file and check it against its row of the table."""
    with np.load(path, allow_pickle=False) as held:
        image, label = held["image"], held["label"]
    if image.shape != label.shape or image.dtype != np.uint8 or not set(np.unique(label)) <= {0, 1}:
        raise ValueError(
            f"{path.name}: image {image.dtype} {image.shape} and label {label.shape} are not a pair of 0/1"
        )
    expected = tuple(int(row[key]) for key in ("rows", "columns", "slices"))
    if image.shape != expected:
        raise ValueError(f"{path.name} is {image.shape}, its row of the table says {expected}")
    turn = (2, 1, 0)
    return Case(row["id"], np.ascontiguousarray(image.transpose(turn)), np.ascontiguousarray(label.transpose(turn) > 0))
