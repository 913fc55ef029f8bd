"""The Lightning module of the box regression, and what it shares with detection: the optimiser."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_iou

from models import networks
from training.config import Optimisation
from training.fit import loop, schedules
from training.tasks.boxes.data import BoxItem
from training.tasks.boxes.recipe import BoxRecipe


class WarmedUpModule(lightning.LightningModule):
    """A network with its optimiser; subclasses add the loss and the validation score."""

    def __init__(self, net: nn.Module, optimisation: Optimisation) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.optimisation = optimisation

    def configure_optimizers(self) -> Any:
        """Return AdamW without decay on norms and biases, with a warm-up followed by half a cosine."""
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        optimiser = schedules.adamw(self.net, self.optimisation)
        return schedules.warmed_up(optimiser, self.optimisation.warmup_fraction, steps=steps)


class BoxModule(WarmedUpModule):
    """Mean squared error of the four edges; the score is the mean intersection over union on the model grid."""

    def __init__(self, recipe: BoxRecipe) -> None:
        super().__init__(networks.build(recipe.architecture, len(recipe.labels)), recipe.optimisation)
        self.spec = recipe.input

    def forward(self, image: Tensor) -> Tensor:
        """Return boxes (batch, labels, 4) in [0, 1] of images (batch, 1, size, size) in [0, 1]."""
        given = networks.three_channels(image, scale=self.spec.scale, offset=self.spec.offset)
        edges: Tensor = self.net(given).logits
        return edges

    def training_step(self, batch: BoxItem, index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = functional.mse_loss(self(batch["image"]), batch["boxes"] / self.spec.size)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: BoxItem, index: int) -> None:
        """Record the overlap of found and true boxes."""
        found, truth = self(batch["image"]).flatten(0, 1) * self.spec.size, batch["boxes"].flatten(0, 1)
        self.log(loop.SCORE, box_iou(found, truth).diagonal().mean(), on_epoch=True, batch_size=len(found))
