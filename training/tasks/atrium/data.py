"""Volumes with their masks, from the data set to the model grid.

Everything is (slice, row, column), that is (head, back, left), as training/data/sources/atrium.py gives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import VolumeSpec
from models.volume.grid import Float, Mask, grid_shape, on_model_grid, resampled
from training.data.collection import Collection
from training.tasks.atrium.recipe import VolumeRecipe


@dataclass(frozen=True)
class Case:
    """One volume: image and mask, both (slices, rows, columns) on the source grid, with its spacing in mm."""

    id: str
    patient: str
    image: NDArray[np.generic]
    mask: Mask
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Prepared:
    """One volume on the model grid: image in [0, 1], and which part of each voxel the mask covers."""

    id: str
    image: Float
    cover: Float


def read(given: Collection, ids: Iterable[str], spec: VolumeSpec) -> list[Case]:
    """Read the volumes that are outlined; where a file carries no spacing it is the one that `spec` assumes.

    Raises
    ------
    ValueError
        None of them is outlined.
    """
    found: list[Case] = []
    for record in (given.records[one] for one in ids):
        volume = None if record.volume is None else record.volume()
        if volume is not None and volume.mask is not None:
            spacing = volume.spacing_mm or spec.source_spacing_mm
            found.append(Case(record.id, record.patient, volume.image, volume.mask, spacing))
    if not found:
        raise ValueError(f"none of the volumes of {given.name} that were asked for has an outline")
    return found


def prepared(case: Case, recipe: VolumeRecipe) -> Prepared:
    """Bring a volume to the model grid, as serving does."""
    spec = recipe.volume
    image = on_model_grid(case.image.astype(np.float32), case.spacing_mm, spec, recipe.input)
    shape = grid_shape(case.image.shape, case.spacing_mm, spec.spacing_mm)
    cover = resampled(case.mask.astype(np.float32), case.spacing_mm, spec.spacing_mm, shape)
    return Prepared(case.id, image, cover)
