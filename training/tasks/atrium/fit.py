"""Train an atrium recipe: its module, its patches, the loop."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from training.config import Run
from training.data import collection
from training.fit import loop
from training.tasks.atrium import data, patches
from training.tasks.atrium.module import VolumeModule
from training.tasks.atrium.recipe import VolumeRecipe


def train(recipe: VolumeRecipe, run: Run) -> Path:
    """Train a recipe and return the path of its last checkpoint, which is the one that is exported."""
    images = collection.read(run.data, recipe.data)
    volumes = data.prepared_volumes(images, recipe, recipe.trained_on)
    scored = [] if "val" in recipe.trained_on else data.prepared_volumes(images, recipe, ("val",))
    validation: DataLoader | None = DataLoader(TensorDataset(torch.arange(len(scored)))) if scored else None
    return loop.train(
        lambda: VolumeModule(recipe, scored),
        lambda: (patches.loader(volumes, recipe), validation),
        run,
        recipe=recipe,
        seed=recipe.seed,
        settings=recipe.optimisation,
        patience=None,
        validate_every=recipe.optimisation.validate_every,
    )
