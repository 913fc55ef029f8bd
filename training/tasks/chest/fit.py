"""Train a recipe for chest radiographs: its module, its images, the loop. The rest of the way is `export`."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.callbacks import Callback

from training.config import Run
from training.fit import loop
from training.fit.freezing import TwoPhases
from training.fit.schedules import Plateau
from training.tasks.chest import data
from training.tasks.chest.module import module_of
from training.tasks.chest.recipe import ChestRecipe


def train(recipe: ChestRecipe, run: Run) -> Path:
    """Train a recipe and return the path of the best checkpoint."""
    return loop.train(
        lambda: module_of(recipe),
        lambda: data.loaders(recipe, run),
        run,
        recipe=recipe,
        seed=recipe.seed,
        settings=recipe.optimisation,
        patience=recipe.optimisation.patience,
        callbacks=_callbacks(recipe),
    )


def _callbacks(recipe: ChestRecipe) -> list[Callback]:
    """Freeze and unfreeze, and lower the rate on a plateau, if the recipe says so."""
    tuning, found = recipe.tuning, list[Callback]()
    if tuning is not None:
        found.append(
            TwoPhases(
                frozen_epochs=tuning.frozen_epochs, upper_stages=tuning.upper_stages, upper_rate=tuning.upper_rate
            )
        )
    if recipe.optimisation.schedule == "plateau":
        found.append(Plateau(recipe.optimisation, tuning, score=loop.SCORE))
    return found
