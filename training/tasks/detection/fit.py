"""Train the detector of lung opacities: data, network, loss, loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from models import networks
from models.networks.detectors import Detector
from training.data import collection
from training.fit import loop
from training.fit.order import SeededOrder
from training.tasks.boxes import data as images
from training.tasks.boxes import module
from training.tasks.boxes.augment import BoxAugment
from training.tasks.boxes.data import BoxDataset, BoxedImage, BoxItem
from training.tasks.detection import recipe as config
from training.tasks.detection.metrics import Detections, mean_average_precision
from training.tasks.detection.recipe import DetectionRecipe

# A box that augmentation left fewer pixels of, along either edge, is dropped.
LEAST_EDGE = 4.0


class Batch(TypedDict):
    """Images (batch, 1, size, size) in [0, 1], and of each its boxes (n, 4) in pixels of the model grid."""

    image: Tensor
    boxes: list[Tensor]


class DetectionTask(module.BoxModule):
    """Focal loss and L1 of the boxes; the score is the mean average precision over the challenge's overlaps."""

    def __init__(self, recipe: DetectionRecipe) -> None:
        super().__init__(networks.build(recipe.architecture, len(recipe.labels)), recipe.optimisation)
        self.spec = recipe.input
        self.seen: list[Detections] = []

    def forward(self, image: Tensor) -> Tensor:
        """Give detections (batch, most, 6) of images (batch, 1, size, size) in [0, 1]; see `Detector.forward`."""
        rows: Tensor = self.net(self._given(image)).logits
        return rows

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Give the loss of one batch; there is one label."""
        labels = [torch.zeros(len(one), dtype=torch.int64, device=one.device) for one in batch["boxes"]]
        parts = cast(Detector, self.net).losses(self._given(batch["image"]), batch["boxes"], labels)
        for name, part in parts.items():
            self.log(f"train_{name}", part, on_epoch=True, on_step=False, batch_size=len(labels))
        return torch.stack(list(parts.values())).sum()

    def validation_step(self, batch: Batch, index: int) -> None:
        """Collect detections."""
        for rows, truth in zip(self(batch["image"]).float().cpu().numpy(), batch["boxes"], strict=True):
            self.seen.append(detections_of(rows, truth.cpu().numpy()))

    def on_validation_epoch_end(self) -> None:
        """Record the mean average precision."""
        self.log(loop.SCORE, mean_average_precision(self.seen))
        self.seen.clear()

    def _given(self, image: Tensor) -> Tensor:
        """Normalise."""
        return networks.three_channels(image, scale=self.spec.scale, offset=self.spec.offset)


def detections_of(rows: np.ndarray, truth: np.ndarray, patient: str = "") -> Detections:
    """Give what was found in one image: the rows (most, 6) that have a score."""
    found = rows[rows[:, 4] > 0]
    return Detections(found[:, :4], found[:, 4], truth, patient)


def train(
    recipe_path: Path,
    data: Path,
    out: Path,
    *,
    weights: str | None = None,
    resume: bool = False,
    smoke: bool = False,
) -> Path:
    """Train a detection recipe and give the path of the best checkpoint.

    Parameters
    ----------
    data : folder of the data sets (DATA.md).
    out : folder of this run: resolved recipe, metrics, checkpoints.
    weights : initial weights of the encoder (training/fit/initial.py); None starts at random.
    resume : go on after the last whole epoch of a run in `out` that was stopped, to the same result.
    smoke : the smallest form, for tests.
    """
    recipe = config.read(recipe_path)
    recipe = config.smoke(recipe) if smoke else recipe
    task = loop.begin(lambda: DetectionTask(recipe), recipe, out, seed=recipe.seed, weights=weights, resume=resume)
    given = collection.read(data, recipe.data)
    drawn = images.labelled(given, "train", recipe.input, recipe.labels[0])
    order = SeededOrder(
        len(drawn), seed=recipe.seed, weights=draw_weights(drawn, recipe.positive_part), count=recipe.images
    )
    batch = recipe.optimisation.batch_size
    training: DataLoader = DataLoader(
        BoxDataset(drawn, BoxAugment(recipe.augmentation)),
        batch,
        sampler=order,
        drop_last=True,
        collate_fn=collate,
        generator=torch.Generator(),
    )
    seen = BoxDataset(images.labelled(given, "val", recipe.input, recipe.labels[0]), None)
    validation: DataLoader = DataLoader(seen, batch, collate_fn=collate)
    return loop.fit(
        task,
        training,
        validation,
        out,
        seed=recipe.seed,
        settings=recipe.optimisation,
        patience=recipe.optimisation.patience,
        resume=resume,
    )


def draw_weights(drawn: Sequence[BoxedImage], positive_part: float) -> Tensor:
    """Give how often to draw each image, so that `positive_part` of them have a box."""
    positive = torch.tensor([len(one.boxes) > 0 for one in drawn])
    if positive.all() or not positive.any():
        raise ValueError("images with and without boxes are needed")
    return torch.where(positive, positive_part / positive.sum(), (1 - positive_part) / (~positive).sum())


def collate(items: Sequence[BoxItem]) -> Batch:
    """Make a batch; boxes that left the picture are dropped."""
    kept = [one["boxes"][((one["boxes"][:, 2:] - one["boxes"][:, :2]) >= LEAST_EDGE).all(dim=1)] for one in items]
    return {"image": torch.stack([one["image"] for one in items]), "boxes": kept}
