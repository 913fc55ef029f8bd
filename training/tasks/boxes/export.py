"""Turn a run into a bundle of the heart's box; its evaluation is added by `training.evaluation`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.bundle.intended_use import FRONTAL_VIEWS
from models.bundle.manifest import DataSource, IntendedUse, Manifest
from training.bundles import manifests, weights
from training.config import Run
from training.data import collection
from training.fit import origin
from training.tasks.boxes import recipe as recipes
from training.tasks.boxes.module import BoxModule
from training.tasks.boxes.recipe import BoxRecipe

USE = IntendedUse(
    statement=(
        "Research use only, not for clinical use. Box around the heart on upright frontal chest radiographs of adults, "
        "found by regression. It is there for comparison: the box that is given out is that of the heart's mask."
    ),
    age_years_from=16,
    age_years_below=None,
    age_unknown_allowed=True,
    views=FRONTAL_VIEWS,
)


def export(run: Run, folds: Sequence[Path] = (), *, ensemble: bool = False) -> tuple[Path, ...]:
    """Write the bundle of a run to its folder `bundle`, with fp16 weights, and return that folder; folds do nothing."""
    recipe = recipes.read(run.recipe)
    module = BoxModule(recipe)
    images = collection.read(run.data, recipe.data)
    sources = (*manifests.by_site(images, images.ids("train")), *origin.noted(run.out))
    weights.fill(module, run.out)
    return (weights.write(run.out / "bundle", manifest(recipe, sources), weights.network_tensors(module.net)),)


def manifest(recipe: BoxRecipe, sources: tuple[DataSource, ...]) -> Manifest:
    """Describe the bundle."""
    return manifests.manifest(
        recipe,
        task="box",
        labels=tuple(manifests.label(name, coloured=True) for name in recipe.labels),
        training_data=sources,
        intended_use=USE,
        licence="research and education only (JSRT); see training_data for each set",
        non_commercial=True,
    )
