"""Turn a run into a bundle of boxes of lung opacities; its evaluation is added by `training.evaluation`.

The threshold is the one with the best score of the challenge on validation; the test split is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from models.bundle.manifest import Calibration, Coded, DataSource, Label, Manifest, OperatingPoint
from models.values import codes
from training.bundles import manifests
from training.data import collection, terms
from training.data.collection import Collection
from training.tasks.boxes import data as images
from training.tasks.boxes import module
from training.tasks.boxes.data import BoxedImage
from training.tasks.chest.export import write
from training.tasks.detection import recipe as config
from training.tasks.detection.fit import DetectionTask, detections_of
from training.tasks.detection.metrics import Detections, best_threshold
from training.tasks.detection.recipe import DetectionRecipe


def export(run: Path, data: Path) -> Path:
    """Write the bundle of a run to its folder `bundle`, with fp16 weights, and give that folder."""
    recipe = config.read(run / "recipe.yaml")
    task = DetectionTask(recipe)
    module.fill(task, run)
    given = collection.read(data, recipe.data)
    seen = detect(task, images.labelled(given, "val", recipe.input, recipe.labels[0]), given)
    learnt = manifests.learnt_from(given, images.boxed_ids(given, "train", recipe.labels[0]), run)
    threshold, score = best_threshold(seen)
    rule = (
        f"best score of the RSNA challenge (TP / (TP + FP + FN) over overlaps of 0.4 to 0.75) on {len(seen)} "
        f"validation images ({sum(len(one.truth) > 0 for one in seen)} with boxes): {score:.3f}"
    )
    point = OperatingPoint(label=recipe.labels[0], threshold=threshold, rule=rule)
    return write(run / "bundle", manifest(recipe, point, learnt), module.tensors(task))


def detect(task: DetectionTask, shown: Sequence[BoxedImage], given: Collection) -> list[Detections]:
    """Run the network; boxes are on the grid of the images."""
    seen: list[Detections] = []
    with torch.inference_mode():
        for one in shown:
            rows = task(torch.from_numpy(one.image / 255.0).float()[None, None])[0].numpy()
            rows[:, :4] = images.to_image(rows[:, :4], one.letterbox)
            seen.append(detections_of(rows, one.boxes, given.records[one.id].patient))
    return seen


def manifest(recipe: DetectionRecipe, point: OperatingPoint, learnt: tuple[DataSource, ...]) -> Manifest:
    """Describe the bundle."""
    licence, non_commercial = terms.together(recipe.data.sources)
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task="detection",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=(Label(name="lung-opacity", code=Coded.of(codes.LUNG_OPACITY), colour_rgb=(235, 140, 60)),),
        operating_points=(point,),
        calibration=Calibration(temperature=1.0, method="none: scores of the detector are no probabilities"),
        training_data=learnt,
        licence=licence,
        non_commercial=non_commercial,
        evaluation=(),
        intended_use=manifests.adult_use("Boxes around lung opacities that radiologists hold for a possible pneumonia"),
        files={},
    )
