"""Train a detection recipe: its module, its images, the loop."""

from __future__ import annotations

from pathlib import Path

from training.config import Run
from training.fit import loop
from training.tasks.detection import data
from training.tasks.detection.module import DetectionModule
from training.tasks.detection.recipe import DetectionRecipe


def train(recipe: DetectionRecipe, run: Run) -> Path:
    """Train a recipe and return the path of the best checkpoint."""
    return loop.train(
        lambda: DetectionModule(recipe),
        lambda: data.loaders(recipe, run),
        run,
        recipe=recipe,
        seed=recipe.seed,
        settings=recipe.optimisation,
        patience=recipe.optimisation.patience,
    )
