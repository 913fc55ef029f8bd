"""Turn a run into a bundle of boxes of lung opacities; its evaluation is added by `training.evaluation`.

The threshold is the one with the best score of the challenge on validation; the test split is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from models.bundle.manifest import Calibration, DataSource, Manifest, OperatingPoint
from training.bundles import manifests, weights
from training.config import Run
from training.data import collection
from training.data.collection import Collection
from training.data.masks import located_ids
from training.tasks.boxes import data as boxes
from training.tasks.boxes.data import BoxedImage
from training.tasks.detection import recipe as recipes
from training.tasks.detection.metrics import Detections, best_threshold
from training.tasks.detection.module import DetectionModule, detections_of
from training.tasks.detection.recipe import DetectionRecipe


def export(run: Run, folds: Sequence[Path] = (), *, ensemble: bool = False) -> tuple[Path, ...]:
    """Write the bundle of a run to its folder `bundle`, with fp16 weights, and return that folder; folds do nothing."""
    recipe = recipes.read(run.recipe)
    module = DetectionModule(recipe)
    weights.fill(module, run.out)
    images, label = collection.read(run.data, recipe.data), recipe.labels[0]
    found = detect(module, boxes.labelled(images, "val", recipe.input, label), images)
    sources = manifests.training_sources(images, located_ids(images, "train", label), run.out)
    threshold, score = best_threshold(found)
    rule = (
        f"best score of the RSNA challenge (TP / (TP + FP + FN) over overlaps of 0.4 to 0.75) on {len(found)} "
        f"validation images ({sum(len(one.truth) > 0 for one in found)} with boxes): {score:.3f}"
    )
    point = OperatingPoint(label=label, threshold=threshold, rule=rule)
    described = manifest(recipe, point, sources)
    return (weights.write(run.out / "bundle", described, weights.network_tensors(module.net)),)


def detect(module: DetectionModule, shown: Sequence[BoxedImage], images: Collection) -> list[Detections]:
    """Run the network; boxes are on the grid of the images."""
    seen: list[Detections] = []
    with torch.inference_mode():
        for one in shown:
            rows = module(torch.from_numpy(one.image / 255.0).float()[None, None])[0].numpy()
            rows[:, :4] = boxes.to_image(rows[:, :4], one.letterbox)
            seen.append(detections_of(rows, one.boxes, images.records[one.id].patient))
    return seen


def manifest(recipe: DetectionRecipe, point: OperatingPoint, sources: tuple[DataSource, ...]) -> Manifest:
    """Describe the bundle."""
    return manifests.manifest(
        recipe,
        task="detection",
        labels=tuple(manifests.label(name, coloured=True) for name in recipe.labels),
        training_data=sources,
        intended_use=manifests.adult_use("Boxes around lung opacities that radiologists hold for a possible pneumonia"),
        operating_points=(point,),
        calibration=Calibration(temperature=1.0, method="none: scores of the detector are no probabilities"),
    )
