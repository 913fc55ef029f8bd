"""Images with any number of boxes, as many with a box as the recipe says, in batches that the detector takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.config import Run
from training.data import collection
from training.fit.order import SeededOrder
from training.tasks.boxes.augment import BoxAugment
from training.tasks.boxes.data import BoxDataset, BoxedImage, BoxItem, labelled
from training.tasks.detection.recipe import DetectionRecipe

# A box that augmentation left fewer pixels of, along either edge, is dropped.
LEAST_EDGE = 4.0


class Batch(TypedDict):
    """Images (batch, 1, size, size) in [0, 1], and of each its boxes (n, 4) in pixels of the model grid."""

    image: Tensor
    boxes: list[Tensor]


def loaders(recipe: DetectionRecipe, run: Run) -> tuple[DataLoader, DataLoader]:
    """Return the images to train on, drawn with return and varied, and those to validate on."""
    images = collection.read(run.data, recipe.data)
    drawn = labelled(images, "train", recipe.input, recipe.labels[0])
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
    validated = BoxDataset(labelled(images, "val", recipe.input, recipe.labels[0]), None)
    return training, DataLoader(validated, batch, collate_fn=collate)


def draw_weights(drawn: Sequence[BoxedImage], positive_part: float) -> Tensor:
    """Return how often to draw each image, so that `positive_part` of them have a box."""
    positive = torch.tensor([len(one.boxes) > 0 for one in drawn])
    if positive.all() or not positive.any():
        raise ValueError("images with and without boxes are needed")
    return torch.where(positive, positive_part / positive.sum(), (1 - positive_part) / (~positive).sum())


def collate(items: Sequence[BoxItem]) -> Batch:
    """Make a batch; boxes that left the picture are dropped."""
    kept = [one["boxes"][((one["boxes"][:, 2:] - one["boxes"][:, :2]) >= LEAST_EDGE).all(dim=1)] for one in items]
    return {"image": torch.stack([one["image"] for one in items]), "boxes": kept}
