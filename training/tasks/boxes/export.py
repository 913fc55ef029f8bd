"""Turn a run into a bundle of the heart's box; its evaluation is added by `training.evaluation`."""

from __future__ import annotations

from pathlib import Path

from models.bundle.intended_use import FRONTAL_VIEWS
from models.bundle.manifest import Calibration, Coded, DataSource, IntendedUse, Label, Manifest
from models.values import codes
from training.bundles import manifests
from training.data import collection
from training.fit import origin
from training.tasks.boxes import module
from training.tasks.boxes import recipe as config
from training.tasks.boxes.fit import BoxTask
from training.tasks.boxes.recipe import BoxRecipe
from training.tasks.chest.export import write

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


def export(run: Path, data: Path) -> Path:
    """Write the bundle of a run to its folder `bundle`, with fp16 weights, and give that folder."""
    recipe = config.read(run / "recipe.yaml")
    task = BoxTask(recipe)
    given = collection.read(data, recipe.data)
    learnt = (*manifests.by_site(given, given.ids("train")), *origin.noted(run))
    module.fill(task, run)
    return write(run / "bundle", manifest(recipe, learnt), module.tensors(task))


def manifest(recipe: BoxRecipe, learnt: tuple[DataSource, ...]) -> Manifest:
    """Describe the bundle."""
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task="box",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=(Label(name="heart", code=Coded.of(codes.HEART), colour_rgb=(235, 95, 85)),),
        operating_points=(),
        calibration=Calibration(temperature=1.0, method="none"),
        training_data=learnt,
        licence="research and education only (JSRT); see training_data for each set",
        non_commercial=True,
        evaluation=(),
        intended_use=USE,
        files={},
    )
