"""Turn a run into a bundle: the averaged weights of its last epoch in fp16. Nothing is chosen here."""

from __future__ import annotations

from pathlib import Path

import torch

from models.bundle.manifest import Calibration, Coded, DataSource, IntendedUse, Label, Manifest, OperatingPoint
from models.inference.runner import NETWORK
from models.volume.atrium import LEFT_ATRIUM
from training.data import collection
from training.data.collection import Collection
from training.fit import origin
from training.fit.loop import CHECKPOINTS, LAST
from training.tasks.atrium import recipe as config
from training.tasks.atrium.fit import VolumeTask
from training.tasks.atrium.recipe import VolumeRecipe
from training.tasks.chest import export as exporting

USE = IntendedUse(
    statement=(
        "Research use only, not for clinical use. Mask of the left atrium with the roots of the pulmonary veins and "
        "the appendage on late-gadolinium MR volumes of the heart, of adults with atrial fibrillation, of the kind of "
        "the training set: cut to the surroundings of the atrium, slices close to axial."
    ),
    age_years_from=18,
    age_years_below=None,
    age_unknown_allowed=True,
    views=(),
)
LABELS = (Label(name="left-atrium", code=Coded.of(LEFT_ATRIUM), colour_rgb=(235, 95, 85)),)
SET = "left-atrium MR volumes, cut to the atrium (each volume counts as one image)"


def load(run: Path) -> tuple[VolumeRecipe, VolumeTask]:
    """Read recipe and weights of a run; with averaging, the checkpoint's own weights are the averaged ones."""
    recipe = config.read(run / "recipe.yaml")
    task = VolumeTask(recipe, [])
    held = torch.load(run / CHECKPOINTS / f"{LAST}.ckpt", map_location="cpu", weights_only=True)
    task.load_state_dict(held["state_dict"])
    return recipe, task.eval()


def export(run: Path, data: Path) -> Path:
    """Write the bundle of a finished run to its folder `bundle` and give that folder; it waits for its evaluation.

    Raises
    ------
    ValueError
        The run was stopped before its last epoch.
    """
    recipe, task = load(run)
    done = int(torch.load(run / CHECKPOINTS / f"{LAST}.ckpt", map_location="cpu", weights_only=True)["epoch"]) + 1
    if done < recipe.optimisation.epochs:
        raise ValueError(f"the run has {done} of {recipe.optimisation.epochs} epochs: resume it first")
    learnt = _sources(recipe, collection.read(data, recipe.data), run)
    tensors = {NETWORK + key: exporting.stored(value) for key, value in task.net.state_dict().items()}
    return exporting.write(run / "bundle", manifest(recipe, learnt), tensors)


def manifest(recipe: VolumeRecipe, learnt: tuple[DataSource, ...]) -> Manifest:
    """Describe the bundle."""
    rule = "0.5, the middle of the sigmoid: the network was trained on covered parts of voxels; not tuned"
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task="volume-segmentation",
        architecture=recipe.architecture,
        input=recipe.input,
        volume=recipe.volume,
        labels=LABELS,
        operating_points=tuple(OperatingPoint(label=one.name, threshold=0.5, rule=rule) for one in LABELS),
        calibration=Calibration(temperature=1.0, method="none"),
        training_data=learnt,
        licence="research only (2018 Atrial Segmentation Challenge)",
        non_commercial=True,
        evaluation=(),
        intended_use=USE,
        files={},
    )


def _sources(recipe: VolumeRecipe, given: Collection, run: Path) -> tuple[DataSource, ...]:
    """Count the volumes that were trained on."""
    own = tuple(one.model_copy(update={"name": SET}) for one in given.counts(given.ids(*recipe.trained_on)))
    return (*own, *origin.noted(run))
