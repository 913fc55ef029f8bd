"""Turn a run into a bundle: the averaged weights of its last epoch in fp16. Nothing is chosen here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.bundle.manifest import DataSource, IntendedUse, Manifest, OperatingPoint
from training.bundles import manifests, weights
from training.config import Run
from training.data import collection
from training.data.collection import Collection
from training.fit import origin
from training.fit.loop import LAST, checkpoint
from training.tasks.atrium import recipe as recipes
from training.tasks.atrium.module import VolumeModule
from training.tasks.atrium.recipe import VolumeRecipe

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
SET = "left-atrium MR volumes, cut to the atrium (each volume counts as one image)"


def load(run: Run) -> tuple[VolumeRecipe, VolumeModule, int]:
    """Read recipe, weights and number of epochs of a run; with averaging, the checkpoint's weights are the averages."""
    recipe = recipes.read(run.recipe)
    module = VolumeModule(recipe, [])
    held = checkpoint(run.out, LAST)
    module.load_state_dict(held["state_dict"])
    return recipe, module.eval(), int(held["epoch"]) + 1


def export(run: Run, folds: Sequence[Path] = (), *, ensemble: bool = False) -> tuple[Path, ...]:
    """Write the bundle of a finished run to its folder `bundle` and return that folder; folds do nothing.

    Raises
    ------
    ValueError
        The run was stopped before its last epoch.
    """
    recipe, module, done = load(run)
    if done < recipe.optimisation.epochs:
        raise ValueError(f"the run has {done} of {recipe.optimisation.epochs} epochs: resume it first")
    described = manifest(recipe, _sources(recipe, collection.read(run.data, recipe.data), run.out))
    return (weights.write(run.out / "bundle", described, weights.network_tensors(module.net)),)


def manifest(recipe: VolumeRecipe, sources: tuple[DataSource, ...]) -> Manifest:
    """Describe the bundle."""
    rule = "0.5, the middle of the sigmoid: the network was trained on covered parts of voxels; not tuned"
    labels = tuple(manifests.label(name, coloured=True) for name in recipe.labels)
    return manifests.manifest(
        recipe,
        task="volume-segmentation",
        labels=labels,
        training_data=sources,
        intended_use=USE,
        volume=recipe.volume,
        operating_points=tuple(OperatingPoint(label=one.name, threshold=0.5, rule=rule) for one in labels),
        licence="research only (2018 Atrial Segmentation Challenge)",
        non_commercial=True,
    )


def _sources(recipe: VolumeRecipe, images: Collection, run: Path) -> tuple[DataSource, ...]:
    """Count the volumes that were trained on."""
    own = tuple(one.model_copy(update={"name": SET}) for one in images.counts(images.ids(*recipe.trained_on)))
    return (*own, *origin.noted(run))
