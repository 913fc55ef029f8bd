"""Which package trains and exports a recipe: told by the `task` of its YAML.

The recipes of one package differ only in their parts; lungs and heart, findings and lesions share
training/tasks/chest/fit.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from training import config
from training.progress import Shown


@dataclass(frozen=True)
class Options:
    """What `python -m training train` may be told besides recipe, data and folder."""

    cache: Path
    weights: str | None = None
    earlier: Path | None = None
    resume: bool = False
    smoke: bool = False
    fold: int | None = None


def task_of(recipe: Path) -> str:
    """Give the task of a recipe.

    Raises
    ------
    ValueError
        The file is no recipe.
    """
    content = yaml.safe_load(recipe.read_text())
    if not isinstance(content, dict) or "task" not in content:
        raise ValueError(f"{recipe} is no recipe: a YAML mapping with the key `task` was expected")
    return str(content["task"])


def train(recipe: Path, data: Path, out: Path, options: Options) -> Path:
    """Train a recipe and give what the run is best known by: its checkpoint, or its report."""
    weights, resume, smoke = options.weights, options.resume, options.smoke
    task = task_of(recipe)
    if task not in config.TASKS and (options.fold is not None or options.earlier is not None):
        raise ValueError(f"--fold and --earlier are not for recipes of the task {task}")
    if task == "classical" and (weights is not None or resume):
        raise ValueError("--weights and --resume are not for the classical baseline, which has no network")
    match task:
        case "volume-segmentation":
            from training.fit.initial import RANDOM
            from training.tasks.atrium import fit as atrium
            from training.tasks.atrium import recipe as volumes

            chosen = volumes.read(recipe)
            chosen = volumes.smoke(chosen) if smoke else chosen
            return atrium.train(chosen, data, out, weights=weights or RANDOM, resume=resume)
        case "box":
            from training.tasks.boxes import fit as boxes

            return boxes.train(recipe, data, out, weights=weights, resume=resume, smoke=smoke)
        case "detection":
            from training.tasks.detection import fit as detection

            return detection.train(recipe, data, out, weights=weights, resume=resume, smoke=smoke)
        case "classical":
            from training.tasks.classical import fit as boosting

            return boosting.train(recipe, data, out, cache=options.cache, smoke=smoke)
        case _:
            from training.tasks.chest import fit

            read = config.read(recipe)
            if options.fold is not None:
                of_fold = read.data.model_copy(update={"fold": options.fold})
                read = read.model_copy(update={"data": of_fold})
            return fit.train(
                config.smoke(read) if smoke else read,
                data,
                options.cache,
                out,
                weights=weights,
                earlier=options.earlier,
                resume=resume,
            )


def prepare(recipe: Path, data: Path, cache: Path, progress: Shown) -> Iterator[tuple[str, int]]:
    """Decode the images of a recipe and tell the name and the number of images of each collection.

    Raises
    ------
    ValueError
        The recipe's task keeps no decoded images.
    """
    task = task_of(recipe)
    if task not in config.TASKS:
        raise ValueError(f"recipes of the task {task} decode while they train; there is nothing to prepare")
    from training.tasks.chest import data as datasets

    for name, source in datasets.prepared(config.read(recipe), data, cache, progress):
        yield name, len(source.ids)


def export(
    run: Path, data: Path, cache: Path, folds: Sequence[Path] = (), *, together: bool = False
) -> tuple[Path, ...]:
    """Write the bundles of a run and give their folders; `folds` and `together` as in training/tasks/chest/export.py.

    Raises
    ------
    ValueError
        The run makes no bundle, or not with folds.
    """
    task = task_of(run / "recipe.yaml")
    if folds and task not in config.TASKS:
        raise ValueError(f"thresholds of the task {task} are not chosen by fold")
    match task:
        case "volume-segmentation":
            from training.tasks.atrium import export as atrium

            return (atrium.export(run, data),)
        case "box":
            from training.tasks.boxes import export as boxes

            return (boxes.export(run, data),)
        case "detection":
            from training.tasks.detection import export as detection

            return (detection.export(run, data),)
        case "classical":
            raise ValueError("the classical baseline is a figure to beat and makes no bundle; see its report.json")
        case _:
            from training.tasks.chest import export as core

            return core.export(run, data, cache, folds, together=together)
