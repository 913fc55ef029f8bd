"""Turn a run into bundles: fp16 weights, thresholds, calibration and gate from validation; the test split is not read.

What comes out is complete but for its evaluation, which `training.evaluation` adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.bundle import store
from models.bundle.calibration import calibrated
from models.bundle.manifest import Calibration, DataSource, OperatingPoint
from models.inference.runner import GATE, NETWORK, Runner, run_image
from models.networks import ARCHITECTURES, ENSEMBLE
from models.networks.ensemble import joined
from models.values import catalogue
from models.values.features import FeatureStatistics
from training.bundles import weights
from training.bundles.manifests import training_sources
from training.config import Run, ThresholdRule
from training.data import cache, collection, masks, splits
from training.data.collection import Collection
from training.data.masks import located_ids
from training.measures import calibrate, hysteresis, thresholds
from training.tasks.chest import gatefit, manifests, predict
from training.tasks.chest.data import TARGETS
from training.tasks.chest.module import ChestModule
from training.tasks.chest.recipe import ChestRecipe

# A pixel of the model grid belongs to the truth when half of it is covered, in 8 bits.
HALF = 128
# Beside the chosen one, for information.
OTHER_RULES = (
    ThresholdRule(kind="fixed", value=0.5, name="0.5"),
    ThresholdRule(kind="fixed", value=0.25, name="0.25"),
    ThresholdRule(kind="youden", name="youden"),
    ThresholdRule(kind="target-sensitivity", value=0.9, name="sensitivity-0.90"),
    ThresholdRule(kind="target-sensitivity", value=0.95, name="sensitivity-0.95"),
    ThresholdRule(kind="target-specificity", value=0.9, name="specificity-0.90"),
)


def export(run: Run, folds: Sequence[Path] = (), *, ensemble: bool = False) -> tuple[Path, ...]:
    """Write the bundles of a run into its folder and return their folders.

    Parameters
    ----------
    run
        What `train` wrote, data sets and decoded arrays.
    folds
        Runs of the same recipe, one for each fold of `recipe.data.folds`. Classifiers take threshold and calibration
        from what these held out, which are more images than val has; () takes them from val.
    ensemble
        The bundle holds the networks of the folds, which answer by their mean logit, instead of that of `run`.
    """
    recipe, module = predict.load(run.out)
    weights.round_to_fp16(module.net)
    if folds and recipe.task in ("segmentation", "lesion-segmentation"):
        raise ValueError(f"folds choose the thresholds of classifiers; a recipe of the task {recipe.task} has none")
    if recipe.task == "segmentation":
        return (_lungs_heart(run, recipe, module),)
    if recipe.task == "lesion-segmentation":
        return (_lesions(run, recipe, module),)
    tensors, trained_on = weights.network_tensors(module.net), splits.SPLITS[:1]
    if folds:
        modules = _by_fold(recipe, folds)
        judged = _out_of_fold(modules, run.data, run.cache)
        if ensemble:
            recipe, tensors = _ensemble(recipe, modules)
            trained_on = splits.TUNED_ON
    else:
        judged = _on_validation(recipe, module, run.data, run.cache)
    images = collection.read(run.data, recipe.data)
    sources = training_sources(images, images.ids(*trained_on), run.out)
    if recipe.task == "findings":
        return _findings(run.out, recipe, tensors, judged, sources)
    return (_paediatric(run.out / "bundle", recipe, tensors, judged, sources),)


@dataclass(frozen=True)
class Judged:
    """What thresholds and calibration are chosen on.

    Logits and truth are (images, labels), patients (images,); `split` is what people call the images.
    """

    logits: NDArray[np.float32]
    truth: NDArray[np.float32]
    patients: NDArray[np.str_]
    split: str

    def of(self, column: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[str, ...]]:
        """Return logits, truth and patients of one label, of the images in which it is known."""
        known = ~np.isnan(self.truth[:, column])
        return self.logits[known, column], self.truth[known, column] > 0.5, tuple(self.patients[known])


def _on_validation(recipe: ChestRecipe, module: ChestModule, data: Path, folder: Path) -> Judged:
    """Run the network on the validation split."""
    images = collection.read(data, recipe.data)
    source = cache.build(images, recipe.input, folder, targets=TARGETS[recipe.task])
    ids = images.ids("val")
    logits = predict.classify(module, source.images, source.rows(ids), images.patient_features(ids))
    patients = np.array([images.records[one].patient for one in ids], dtype=str)
    return Judged(logits, images.labels(ids, recipe.labels), patients, "validation")


def _by_fold(recipe: ChestRecipe, runs: Sequence[Path]) -> list[tuple[ChestRecipe, ChestModule]]:
    """Load the run of each fold.

    Raises
    ------
    ValueError
        The runs are not one of each fold of the recipe.
    """
    found: dict[int | None, tuple[ChestRecipe, ChestModule]] = {}
    for run in runs:
        own, module = predict.load(run)
        if own.model_copy(update={"data": recipe.data}) != recipe:
            raise ValueError(f"{run} is a run of another recipe than {recipe.name}, or of another version of it")
        weights.round_to_fp16(module.net)
        found[own.data.fold] = own, module
    folds = recipe.data.folds or 0
    if found.keys() != set(range(folds)):
        raise ValueError(f"one run of each of the {folds} folds of the recipe is needed, given: folds {[*found]}")
    return [found[fold] for fold in range(folds)]


def _out_of_fold(modules: Sequence[tuple[ChestRecipe, ChestModule]], data: Path, folder: Path) -> Judged:
    """Run each network on the fold that it has not seen."""
    parts = [_on_validation(recipe, module, data, folder) for recipe, module in modules]
    logits, truth = (np.concatenate([getattr(one, name) for one in parts]) for name in ("logits", "truth"))
    patients = np.concatenate([one.patients for one in parts])
    return Judged(logits, truth, patients, f"training and validation (out of {len(parts)} folds)")


def _ensemble(
    recipe: ChestRecipe, modules: Sequence[tuple[ChestRecipe, ChestModule]]
) -> tuple[ChestRecipe, dict[str, Tensor]]:
    """Return the recipe and the tensors of the ensemble.

    Raises
    ------
    ValueError
        There is no such ensemble among the architectures.
    """
    name = f"{recipe.architecture}{ENSEMBLE}{len(modules)}"
    if name not in ARCHITECTURES:
        raise ValueError(f"no architecture is named {name}; models/networks has {', '.join(ARCHITECTURES)}")
    states = [{key: weights.stored(value) for key, value in module.net.state_dict().items()} for _, module in modules]
    joint = {NETWORK + key: value for key, value in joined(states).items()}
    return ChestRecipe.model_validate({**recipe.model_dump(), "architecture": name}), joint


def gate_tensors(statistics: FeatureStatistics) -> dict[str, Tensor]:
    """Return the gate's statistics as tensors."""
    return {
        "mean": torch.from_numpy(statistics.mean),
        "components": torch.from_numpy(statistics.components).contiguous(),
        "scale": torch.from_numpy(statistics.scale),
        "residual_scale": torch.tensor(statistics.residual_scale),
    }


def judged_label(
    judged: Judged, column: int, *, calibration: str, rule: ThresholdRule, label: str
) -> tuple[Calibration, tuple[OperatingPoint, ...]]:
    """Fit the calibration of one label, and choose the point that decides and the others."""
    logits, truth, patients = judged.of(column)
    fitted = calibrate.fitted(calibration, logits, truth, split=judged.split)
    probability = calibrated(logits, fitted)
    points = (
        thresholds.choose(one, probability, truth, label=label, split=judged.split, patients=patients)
        for one in (rule, *OTHER_RULES)
    )
    return fitted, tuple(points)


def only_label(tensors: dict[str, Tensor], index: int, labels: int) -> dict[str, Tensor]:
    """Keep one output of a classifier: the row of every tensor of the heads that has one row a label."""
    heads = ("classify.", "locate.", "share", "net.classifier.", "net.fc.")
    rows = {}
    for key, value in tensors.items():
        is_head = key.removeprefix(NETWORK).startswith(heads) and value.shape[:1] == (labels,)
        rows[key] = value[index : index + 1].contiguous() if is_head else value
    return rows


def _lungs_heart(run: Run, recipe: ChestRecipe, module: ChestModule) -> Path:
    """Write the segmenter with its gate."""
    out = run.out / "bundle"
    fitted = gatefit.fit(module, recipe, run.data, run.cache)
    tensors = weights.network_tensors(module.net)
    tensors |= {GATE + key: value for key, value in gate_tensors(fitted.statistics).items()}
    (out / "evaluation").mkdir(parents=True, exist_ok=True)
    gatefit.write_rates(fitted, out / "evaluation" / "gate.json")
    manifest = manifests.lungs_heart(recipe, fitted.settings, manifests.lungs_heart_sources(recipe, run.data, run.out))
    return weights.write(out, manifest, tensors)


def _paediatric(
    out: Path, recipe: ChestRecipe, tensors: dict[str, Tensor], judged: Judged, sources: tuple[DataSource, ...]
) -> Path:
    """Write the children's classifier."""
    calibration, points = judged_label(judged, 0, calibration=recipe.calibration, rule=recipe.rule, label="pneumonia")
    return weights.write(out, manifests.paediatric(recipe, calibration, points, sources), tensors)


def _findings(
    run: Path, recipe: ChestRecipe, tensors: dict[str, Tensor], judged: Judged, sources: tuple[DataSource, ...]
) -> tuple[Path, ...]:
    """Cut one bundle for each finding out of a training on many."""
    written: list[Path] = []
    for name, part in recipe.bundles.items():
        column = recipe.labels.index(part.label)
        (label,) = catalogue.BUNDLES[name].labels
        calibration, points = judged_label(judged, column, calibration=recipe.calibration, rule=part.rule, label=label)
        manifest = manifests.finding(recipe, name, calibration, points, sources)
        own = only_label(tensors, column, len(recipe.labels))
        written.append(weights.write(run / "bundles" / name, manifest, own))
    return tuple(written)


def _lesions(run: Run, recipe: ChestRecipe, module: ChestModule) -> Path:
    """Write a network that outlines a disease, with its triplet chosen behind the classifier that gates it."""
    if recipe.lesions is None:
        raise ValueError(f"recipe {recipe.name} has no section `lesions`")
    name = recipe.labels[0]
    images = collection.read(run.data, recipe.data)
    source = cache.build(images, recipe.input, run.cache, targets=masks.lesions)
    ids = located_ids(images, "val", name)
    rows = source.rows(ids)
    if source.masks is None:
        raise ValueError("the cache of this collection holds no masks")
    truth = source.masks[rows, masks.LOCATED[name]] >= HALF
    probability, _ = predict.segment(module, source.images, rows)
    allowed = None if recipe.lesions.gated_by is None else _gate_opens(recipe.lesions.gated_by, images, ids, run.cache)
    choice = hysteresis.choose(probability[:, 0], truth, prevalence=recipe.lesions.prevalence, allowed=allowed)
    sources = training_sources(images, located_ids(images, "train", name), run.out)
    manifest = manifests.lesion(recipe, choice.triplet, sources)
    return weights.write(run.out / "bundle", manifest, weights.network_tensors(module.net))


def _gate_opens(name: str, images: Collection, ids: tuple[str, ...], folder: Path) -> np.ndarray:
    """Ask the shipped classifier `name`, where it is positive masks are given, about each image (ids,)."""
    gate = store.named(store.shipped(), name)
    source = cache.build(images, gate.manifest.input, folder, targets=masks.lesions)
    runner = Runner(gate, device="cpu", dtype="float32")
    logits = [
        run_image(runner, source.images[row] / np.float32(255), images.patient_data(one)).logits[0]
        for one, row in zip(ids, source.rows(ids), strict=True)
    ]
    threshold = gate.manifest.operating_point(gate.manifest.labels[0].name).threshold
    return np.asarray(calibrated(np.array(logits), gate.manifest.calibration) >= threshold)
