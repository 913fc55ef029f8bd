"""The Lightning module of the atrium's networks."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.networks.volumes import build_volume
from models.volume.grid import Float, answered
from training.fit import schedules
from training.measures.overlap import dice
from training.tasks.atrium.data import Prepared
from training.tasks.atrium.patches import PatchItem
from training.tasks.atrium.recipe import VolumeRecipe


class VolumeModule(lightning.LightningModule):
    """The network with its loss and optimiser; the score is the mean Dice of whole volumes on the model grid."""

    score = "val_dice"

    def __init__(self, recipe: VolumeRecipe, scored: list[Prepared]) -> None:
        super().__init__()
        self.recipe, self.scored = recipe, scored
        self.net = build_volume(recipe.architecture, len(recipe.labels))

    def forward(self, patch: Tensor) -> Tensor:
        """Return logits (batch, 1, *window) of patches (batch, 1, *input_shape) in [0, 1]."""
        logits: Tensor = self.net(patch * self.recipe.scale + self.recipe.offset).logits
        return logits.float()

    def training_step(self, batch: PatchItem, index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = patch_loss(self(batch["image"]), batch["mask"])
        self.log("train_loss", loss, prog_bar=True, on_epoch=True, on_step=False, batch_size=len(batch["mask"]))
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """Segment one whole volume."""
        volume = self.scored[int(batch[0])]
        found = answered(volume.image, self.recipe.volume, self.answer)[0] > 0.5
        value = dice(found, volume.cover > 0.5)
        self.log(f"val_dice_{volume.id}", value, batch_size=1)
        self.log(self.score, value, prog_bar=True, on_epoch=True, batch_size=1)

    def answer(self, patch: Float) -> Float:
        """Return probabilities (windows, labels, *window) of patches (windows, *input_shape)."""
        given = torch.from_numpy(np.ascontiguousarray(patch))[:, None].to(self.device)
        found: Float = self(given).sigmoid().cpu().numpy()
        return found

    def configure_optimizers(self) -> Any:
        """Return AdamW without decay on norms and biases, warmed up and then lowered along half a cosine."""
        settings = self.recipe.optimisation
        steps = settings.epochs * (settings.patches // (settings.batch_size * settings.accumulation))
        return schedules.warmed_up(schedules.adamw(self.net, settings), settings.warmup_fraction, steps=steps)


def patch_loss(logits: Tensor, cover: Tensor) -> Tensor:
    """Add cross-entropy and 1 minus the soft Dice over the batch; a slice without the atrium has no Dice of its own."""
    entropy = functional.binary_cross_entropy_with_logits(logits, cover)
    found = logits.sigmoid()
    overlap, total = (found * cover).sum(), found.sum() + cover.sum()
    return entropy + 1 - (2 * overlap + 1) / (total + 1)
