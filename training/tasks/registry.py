"""Which package trains and exports a recipe: told by the `task` of its YAML, in one table.

Every package of training/tasks has the same five files with the same functions: recipe.py (`read`, `smoke`), data.py,
module.py, fit.py (`train`), export.py (`export`). Only the package that is asked for is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from training.config import Run
from training.progress import ProgressFactory


@dataclass(frozen=True)
class TaskPackage:
    """A package of training/tasks, and which options of the command line are for it."""

    name: str
    folds: bool = False
    """Cross-validation (`--fold`), and going on from an earlier run (`--earlier`)."""
    prepares: bool = False
    """Decoded images are kept (`prepare`)."""
    network: bool = True
    """There is a network (`--weights`, `--resume`)."""

    def module(self, name: str) -> Any:
        """Load one of the package's files."""
        return import_module(f"training.tasks.{self.name}.{name}")


CHEST = TaskPackage("chest", folds=True, prepares=True)
TASKS: Mapping[str, TaskPackage] = {
    "segmentation": CHEST,
    "classification": CHEST,
    "findings": CHEST,
    "lesion-segmentation": CHEST,
    "box": TaskPackage("boxes"),
    "detection": TaskPackage("detection"),
    "volume-segmentation": TaskPackage("atrium"),
    "classical": TaskPackage("classical", network=False),
}


def task_of(recipe: Path) -> str:
    """Return the task of a recipe.

    Raises
    ------
    ValueError
        The file is no recipe, or its task is none of `TASKS`.
    """
    content = yaml.safe_load(recipe.read_text())
    if not isinstance(content, dict) or "task" not in content:
        raise ValueError(f"{recipe} is no recipe: a YAML mapping with the key `task` was expected")
    task = str(content["task"])
    if task not in TASKS:
        raise ValueError(f"{recipe} has the task {task!r}, which is none of {', '.join(TASKS)}")
    return task


def train(path: Path, run: Run, *, smoke: bool = False, fold: int | None = None) -> Path:
    """Train a recipe and return what the run is best known by: its checkpoint, or its report.

    Parameters
    ----------
    smoke
        In the smallest form, which runs within a minute and learns nothing.
    fold
        Of cross-validation, held out of train and val; None: val as it is in the split.

    Raises
    ------
    ValueError
        The file is no recipe, or an option is not for its task.
    """
    task = task_of(path)
    package = TASKS[task]
    if not package.folds and (fold is not None or run.earlier is not None):
        raise ValueError(f"--fold and --earlier are not for recipes of the task {task}")
    if not package.network and (run.weights is not None or run.resume):
        raise ValueError("--weights and --resume are not for the classical baseline, which has no network")
    recipes = package.module("recipe")
    recipe = recipes.read(path)
    if fold is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"fold": fold})})
    checkpoint: Path = package.module("fit").train(recipes.smoke(recipe) if smoke else recipe, run)
    return checkpoint


def prepare(path: Path, data: Path, cache: Path, progress: ProgressFactory) -> Iterator[tuple[str, int]]:
    """Decode the images of a recipe and tell the name and the number of images of each collection.

    Raises
    ------
    ValueError
        The recipe's task keeps no decoded images.
    """
    task = task_of(path)
    if not TASKS[task].prepares:
        raise ValueError(f"recipes of the task {task} decode while they train; there is nothing to prepare")
    recipe = TASKS[task].module("recipe").read(path)
    for name, source in TASKS[task].module("data").prepared(recipe, data, cache, progress):
        yield name, len(source.ids)


def export(run: Run, folds: Sequence[Path] = (), *, ensemble: bool = False) -> tuple[Path, ...]:
    """Write the bundles of a run and return their folders; `folds`, `ensemble` as in training/tasks/chest/export.py.

    Raises
    ------
    ValueError
        The run makes no bundle, or not with folds.
    """
    task = task_of(run.recipe)
    if folds and not TASKS[task].folds:
        raise ValueError(f"thresholds of the task {task} are not chosen by fold")
    written: tuple[Path, ...] = TASKS[task].module("export").export(run, folds, ensemble=ensemble)
    return written
