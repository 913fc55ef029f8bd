"""Train a box recipe: its module, its images, the loop."""

from __future__ import annotations

from pathlib import Path

from training.config import Run
from training.fit import loop
from training.tasks.boxes import data
from training.tasks.boxes.module import BoxModule
from training.tasks.boxes.recipe import BoxRecipe


def train(recipe: BoxRecipe, run: Run) -> Path:
    """Train a recipe and return the path of the best checkpoint."""
    return loop.train(
        lambda: BoxModule(recipe),
        lambda: data.loaders(recipe, run),
        run,
        recipe=recipe,
        seed=recipe.seed,
        settings=recipe.optimisation,
        patience=recipe.optimisation.patience,
    )
