"""Volumes with their masks on the model grid, as serving brings them there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.volume.grid import Float, grid_shape, on_model_grid, resampled
from training.data import volumes
from training.data.collection import Collection
from training.data.splits import Split
from training.data.volumes import OutlinedVolume
from training.tasks.atrium.recipe import VolumeRecipe


@dataclass(frozen=True)
class Prepared:
    """One volume on the model grid: image in [0, 1], and which part of each voxel the mask covers."""

    id: str
    image: Float
    cover: Float


def prepared(case: OutlinedVolume, recipe: VolumeRecipe) -> Prepared:
    """Bring a volume to the model grid, as serving does."""
    spec = recipe.volume
    image = on_model_grid(case.image.astype(np.float32), case.spacing_mm, spec, recipe.input)
    shape = grid_shape(case.image.shape, case.spacing_mm, spec.spacing_mm)
    cover = resampled(case.mask.astype(np.float32), case.spacing_mm, spec.spacing_mm, shape)
    return Prepared(case.id, image, cover)


def prepared_volumes(images: Collection, recipe: VolumeRecipe, wanted: Sequence[Split]) -> list[Prepared]:
    """Read some splits onto the model grid."""
    return [prepared(case, recipe) for case in volumes.read(images, images.ids(*wanted), recipe.volume)]
