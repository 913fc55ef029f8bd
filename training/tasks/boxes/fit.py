"""Train the box regression: data, network, loss, loop."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.ops import box_iou

from models import networks
from training.data import collection
from training.fit import loop
from training.fit.order import SeededOrder
from training.tasks.boxes import data as images
from training.tasks.boxes import module
from training.tasks.boxes import recipe as config
from training.tasks.boxes.augment import BoxAugment
from training.tasks.boxes.data import BoxDataset, BoxItem
from training.tasks.boxes.recipe import BoxRecipe


class BoxTask(module.BoxModule):
    """Mean squared error of the four edges; the score is the mean intersection over union on the model grid."""

    def __init__(self, recipe: BoxRecipe) -> None:
        super().__init__(networks.build(recipe.architecture, len(recipe.labels)), recipe.optimisation)
        self.spec = recipe.input

    def forward(self, image: Tensor) -> Tensor:
        """Give boxes (batch, labels, 4) in [0, 1] of images (batch, 1, size, size) in [0, 1]."""
        given = networks.three_channels(image, scale=self.spec.scale, offset=self.spec.offset)
        edges: Tensor = self.net(given).logits
        return edges

    def training_step(self, batch: BoxItem, index: int) -> Tensor:
        """Give the loss of one batch."""
        loss = functional.mse_loss(self(batch["image"]), batch["boxes"] / self.spec.size)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: BoxItem, index: int) -> None:
        """Record the overlap of found and true boxes."""
        found, truth = self(batch["image"]).flatten(0, 1) * self.spec.size, batch["boxes"].flatten(0, 1)
        self.log(loop.SCORE, box_iou(found, truth).diagonal().mean(), on_epoch=True, batch_size=len(found))


def train(
    recipe_path: Path,
    data: Path,
    out: Path,
    *,
    weights: str | None = None,
    resume: bool = False,
    smoke: bool = False,
) -> Path:
    """Train a box recipe and give the path of the best checkpoint.

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
    task = loop.begin(lambda: BoxTask(recipe), recipe, out, seed=recipe.seed, weights=weights, resume=resume)
    batch = recipe.optimisation.batch_size
    given = collection.read(data, recipe.data)
    items = BoxDataset(images.hearts(given, "train", recipe.input), BoxAugment(recipe.augmentation))
    training: DataLoader = DataLoader(
        items, batch, sampler=SeededOrder(len(items), seed=recipe.seed), drop_last=True, generator=torch.Generator()
    )
    validation: DataLoader = DataLoader(BoxDataset(images.hearts(given, "val", recipe.input), None), batch)
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
