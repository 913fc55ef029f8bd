"""Train a recipe: data, network, loss, optimiser, loop. The rest of the way is `evaluate` and `export`."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback

from training.config import Recipe
from training.fit import loop, origin
from training.fit.freezing import TwoPhases
from training.fit.schedules import Plateau
from training.tasks.chest.data import classification_loaders, finding_loaders, lesion_loaders, segmentation_loaders
from training.tasks.chest.module import ClassificationTask, FindingsTask, LesionTask, SegmentationTask, Task


def task_of(recipe: Recipe) -> Task:
    """Make the Lightning module of a recipe."""
    match recipe.task:
        case "segmentation":
            return SegmentationTask(recipe)
        case "classification":
            return ClassificationTask(recipe)
        case "findings":
            return FindingsTask(recipe)
        case "lesion-segmentation":
            return LesionTask(recipe)
    raise ValueError(f"no training for the task {recipe.task}")


LOADERS = {
    "segmentation": segmentation_loaders,
    "classification": classification_loaders,
    "findings": finding_loaders,
    "lesion-segmentation": lesion_loaders,
}


def train(
    recipe: Recipe,
    data: Path,
    cache: Path,
    out: Path,
    *,
    weights: str | None = None,
    earlier: Path | None = None,
    resume: bool = False,
) -> Path:
    """Train `recipe` and give the path of the best checkpoint by the validation score.

    Parameters
    ----------
    data : folder of the data sets (DATA.md).
    cache : folder of decoded arrays, filled where it is not.
    out : folder of this run: resolved recipe, metrics, checkpoints.
    weights : initial weights of the encoder (training/fit/initial.py); None starts at random.
    earlier : run whose best weights this one starts from, with a schedule of its own.
    resume : go on after the last whole epoch of a run in `out` that was stopped, to the same result.
    """
    task = loop.begin(lambda: task_of(recipe), recipe, out, seed=recipe.seed, weights=weights, resume=resume)
    if earlier is not None:
        origin.note(out, (weights, str(earlier)))
        state = torch.load(earlier / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
        task.load_state_dict(state["state_dict"])
    training, validation = LOADERS[recipe.task](recipe, data, cache)
    return loop.fit(
        task,
        training,
        validation,
        out,
        seed=recipe.seed,
        settings=recipe.optimisation,
        patience=recipe.optimisation.patience,
        resume=resume,
        others=_learning(recipe),
    )


def _learning(recipe: Recipe) -> list[Callback]:
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
