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
from safetensors.torch import save
from torch import Tensor

from models.bundle import store
from models.bundle.calibration import calibrated
from models.bundle.manifest import Calibration, DataSource, Manifest, OperatingPoint
from models.bundle.store import CARD, WEIGHTS, write_manifest
from models.inference.runner import GATE, NETWORK, Runner, run_image
from models.networks import ARCHITECTURES, ENSEMBLE
from models.networks.ensemble import joined
from models.values.features import FeatureStatistics
from training.bundles import gatefit, hysteresis, manifests
from training.config import Recipe
from training.data import cache, collection, masks, splits
from training.data.collection import Collection
from training.evaluation.measures import calibrate, thresholds
from training.evaluation.measures.thresholds import Rule
from training.tasks.chest import predict
from training.tasks.chest.data import TARGETS, lesion_ids
from training.tasks.chest.module import Task

# A pixel of the model grid belongs to the truth when half of it is covered, in 8 bits.
HALF = 128
# Beside the chosen one, for information.
OTHER_RULES = (
    Rule(kind="fixed", value=0.5, name="0.5"),
    Rule(kind="fixed", value=0.25, name="0.25"),
    Rule(kind="youden", name="youden"),
    Rule(kind="target-sensitivity", value=0.9, name="sensitivity-0.90"),
    Rule(kind="target-sensitivity", value=0.95, name="sensitivity-0.95"),
    Rule(kind="target-specificity", value=0.9, name="specificity-0.90"),
)


def export(
    run: Path, data: Path, folder: Path, folds: Sequence[Path] = (), *, together: bool = False
) -> tuple[Path, ...]:
    """Write the bundles of a run into its folder and give their folders.

    Parameters
    ----------
    run : what `train` wrote.
    data, folder : data sets and decoded arrays.
    folds : runs of the same recipe, one for each fold of `recipe.data.folds`. Classifiers take threshold and
        calibration from what these held out, which are more images than val has; () takes them from val.
    together : the bundle holds the networks of the folds, which answer by their mean logit, instead of that of `run`.
    """
    recipe, task = predict.load_task(run)
    round_to_fp16(task)
    if folds and recipe.task in ("segmentation", "lesion-segmentation"):
        raise ValueError(f"folds choose the thresholds of classifiers; a recipe of the task {recipe.task} has none")
    if recipe.task == "segmentation":
        return (_lungs_heart(run, recipe, task, data, folder),)
    if recipe.task == "lesion-segmentation":
        return (_lesions(run, recipe, task, data, folder),)
    tensors, learnt_on = network_tensors(task), splits.SPLITS[:1]
    if folds:
        tasks = _by_fold(recipe, folds)
        judged = _out_of_fold(tasks, data, folder)
        if together:
            recipe, tensors = _together(recipe, tasks)
            learnt_on = splits.TUNED_ON
    else:
        judged = _on_validation(recipe, task, data, folder)
    given = collection.read(data, recipe.data)
    learnt = manifests.learnt_from(given, given.ids(*learnt_on), run)
    if recipe.task == "findings":
        return _findings(run, recipe, tensors, judged, learnt)
    return (_paediatric(run / "bundle", recipe, tensors, judged, learnt),)


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
        """Give logits, truth and patients of one label, of the images in which it is known."""
        known = ~np.isnan(self.truth[:, column])
        return self.logits[known, column], self.truth[known, column] > 0.5, tuple(self.patients[known])


def _on_validation(recipe: Recipe, task: Task, data: Path, folder: Path) -> Judged:
    """Run the network on the validation split."""
    given = collection.read(data, recipe.data)
    source = cache.build(given, recipe.input, folder, targets=TARGETS[recipe.task])
    ids = given.ids("val")
    logits = predict.classify(task, source.images, source.rows(ids), given.people(ids))
    patients = np.array([given.records[one].patient for one in ids], dtype=str)
    return Judged(logits, given.labels(ids, recipe.labels), patients, "validation")


def _by_fold(recipe: Recipe, runs: Sequence[Path]) -> list[tuple[Recipe, Task]]:
    """Load the run of each fold.

    Raises
    ------
    ValueError
        The runs are not one of each fold of the recipe.
    """
    found: dict[int | None, tuple[Recipe, Task]] = {}
    for run in runs:
        own, task = predict.load_task(run)
        if own.model_copy(update={"data": recipe.data}) != recipe:
            raise ValueError(f"{run} is a run of another recipe than {recipe.name}, or of another version of it")
        round_to_fp16(task)
        found[own.data.fold] = own, task
    folds = recipe.data.folds or 0
    if found.keys() != set(range(folds)):
        raise ValueError(f"one run of each of the {folds} folds of the recipe is needed, given: folds {[*found]}")
    return [found[fold] for fold in range(folds)]


def _out_of_fold(tasks: Sequence[tuple[Recipe, Task]], data: Path, folder: Path) -> Judged:
    """Run each network on the fold that it has not seen."""
    parts = [_on_validation(recipe, task, data, folder) for recipe, task in tasks]
    logits, truth = (np.concatenate([getattr(one, name) for one in parts]) for name in ("logits", "truth"))
    patients = np.concatenate([one.patients for one in parts])
    return Judged(logits, truth, patients, f"training and validation (out of {len(parts)} folds)")


def _together(recipe: Recipe, tasks: Sequence[tuple[Recipe, Task]]) -> tuple[Recipe, dict[str, Tensor]]:
    """Give the recipe and the tensors of the ensemble.

    Raises
    ------
    ValueError
        There is no such ensemble among the architectures.
    """
    name = f"{recipe.architecture}{ENSEMBLE}{len(tasks)}"
    if name not in ARCHITECTURES:
        raise ValueError(f"no architecture is named {name}; models/networks has {', '.join(ARCHITECTURES)}")
    states = [{key: stored(value) for key, value in task.net.state_dict().items()} for _, task in tasks]
    joint = {NETWORK + key: value for key, value in joined(states).items()}
    return Recipe.model_validate({**recipe.model_dump(), "architecture": name}), joint


def stored(tensor: Tensor) -> Tensor:
    """Give a tensor as it is stored: matrices in fp16; norms, biases and counters as they are (small, wide range)."""
    return (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor).contiguous()


def round_to_fp16(task: Task) -> None:
    """Round the weights to what will be stored, so that everything measured is of the bundle."""
    with torch.no_grad():
        for tensor in task.net.state_dict().values():
            tensor.copy_(stored(tensor).to(tensor.dtype))


def gate_tensors(statistics: FeatureStatistics) -> dict[str, Tensor]:
    """Give the gate's statistics as tensors."""
    return {
        "mean": torch.from_numpy(statistics.mean),
        "components": torch.from_numpy(statistics.components).contiguous(),
        "scale": torch.from_numpy(statistics.scale),
        "residual_scale": torch.tensor(statistics.residual_scale),
    }


def judged_label(
    judged: Judged, column: int, *, calibration: str, rule: Rule, label: str
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


def write(out: Path, manifest: Manifest, tensors: dict[str, Tensor]) -> Path:
    """Write a bundle that waits for its evaluation."""
    out.mkdir(parents=True, exist_ok=True)
    aside = out / f"{WEIGHTS}.part"
    aside.write_bytes(save(tensors))
    aside.replace(out / WEIGHTS)
    title = f"# {manifest.name} {manifest.version}"
    (out / CARD).write_text(f"{title}\n\nNot evaluated yet. Research use only, not for clinical use.\n")
    write_manifest(out, manifest)
    return out


def network_tensors(task: Task) -> dict[str, Tensor]:
    """Give the network's tensors as they are stored."""
    return {NETWORK + key: stored(value) for key, value in task.net.state_dict().items()}


def only_label(tensors: dict[str, Tensor], index: int, labels: int) -> dict[str, Tensor]:
    """Keep one output of a classifier: the row of every tensor of the heads that has one row a label."""
    heads = ("classify.", "locate.", "share", "net.classifier.", "net.fc.")
    rows = {}
    for key, value in tensors.items():
        is_head = key.removeprefix(NETWORK).startswith(heads) and value.shape[:1] == (labels,)
        rows[key] = value[index : index + 1].contiguous() if is_head else value
    return rows


def _lungs_heart(run: Path, recipe: Recipe, task: Task, data: Path, folder: Path) -> Path:
    """Write the segmenter with its gate."""
    out = run / "bundle"
    fitted = gatefit.fit(task, recipe, data, folder)
    tensors = network_tensors(task)
    tensors |= {GATE + key: value for key, value in gate_tensors(fitted.statistics).items()}
    (out / "evaluation").mkdir(parents=True, exist_ok=True)
    gatefit.write_rates(fitted, out / "evaluation" / "gate.json")
    manifest = manifests.lungs_heart_manifest(recipe, fitted.settings, manifests.lungs_heart_sources(recipe, data, run))
    return write(out, manifest, tensors)


def _paediatric(
    out: Path, recipe: Recipe, tensors: dict[str, Tensor], judged: Judged, learnt: tuple[DataSource, ...]
) -> Path:
    """Write the children's classifier."""
    calibration, points = judged_label(judged, 0, calibration=recipe.calibration, rule=recipe.rule, label="pneumonia")
    return write(out, manifests.paediatric_manifest(recipe, calibration, points, learnt), tensors)


def _findings(
    run: Path, recipe: Recipe, tensors: dict[str, Tensor], judged: Judged, learnt: tuple[DataSource, ...]
) -> tuple[Path, ...]:
    """Cut one bundle for each finding out of a training on many."""
    written: list[Path] = []
    for name, part in recipe.bundles.items():
        column = recipe.labels.index(part.label)
        label = manifests.FINDINGS[name][0].name
        calibration, points = judged_label(judged, column, calibration=recipe.calibration, rule=part.rule, label=label)
        manifest = manifests.finding_manifest(recipe, name, calibration, points, learnt)
        own = only_label(tensors, column, len(recipe.labels))
        written.append(write(run / "bundles" / name, manifest, own))
    return tuple(written)


def _lesions(run: Path, recipe: Recipe, task: Task, data: Path, folder: Path) -> Path:
    """Write a network that outlines a disease, with its triplet chosen behind the classifier that gates it."""
    if recipe.lesions is None:
        raise ValueError(f"recipe {recipe.name} has no section `lesions`")
    name = recipe.labels[0]
    given = collection.read(data, recipe.data)
    source = cache.build(given, recipe.input, folder, targets=masks.lesions)
    ids = lesion_ids(given, "val", name)
    rows = source.rows(ids)
    if source.masks is None:
        raise ValueError("the cache of this collection holds no masks")
    truth = source.masks[rows, masks.LOCATED[name]] >= HALF
    probability, _ = predict.segment(task, source.images, rows)
    allowed = None if recipe.lesions.gated_by is None else _gate_opens(recipe.lesions.gated_by, given, ids, folder)
    choice = hysteresis.choose(probability[:, 0], truth, prevalence=recipe.lesions.prevalence, allowed=allowed)
    learnt = manifests.learnt_from(given, lesion_ids(given, "train", name), run)
    manifest = manifests.lesion_manifest(recipe, choice.triplet, learnt)
    return write(run / "bundle", manifest, network_tensors(task))


def _gate_opens(name: str, given: Collection, ids: tuple[str, ...], folder: Path) -> np.ndarray:
    """Ask the shipped classifier `name`, where it is positive masks are given, about each image (ids,)."""
    gate = store.named(store.shipped(), name)
    source = cache.build(given, gate.manifest.input, folder, targets=masks.lesions)
    runner = Runner(gate, device="cpu", dtype="float32")
    logits = [
        run_image(runner, source.images[row] / np.float32(255), given.someone(one)).logits[0]
        for one, row in zip(ids, source.rows(ids), strict=True)
    ]
    threshold = gate.manifest.operating_point(gate.manifest.labels[0].name).threshold
    return np.asarray(calibrated(np.array(logits), gate.manifest.calibration) >= threshold)
