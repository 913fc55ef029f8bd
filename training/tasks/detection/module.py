"""The Lightning module of the detector of lung opacities."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor

from models import networks
from models.networks.detectors import Detector
from training.fit import loop
from training.tasks.boxes.module import WarmedUpModule
from training.tasks.detection.data import Batch
from training.tasks.detection.metrics import Detections, mean_average_precision
from training.tasks.detection.recipe import DetectionRecipe


class DetectionModule(WarmedUpModule):
    """Focal loss and L1 of the boxes; the score is the mean average precision over the challenge's overlaps."""

    def __init__(self, recipe: DetectionRecipe) -> None:
        super().__init__(networks.build(recipe.architecture, len(recipe.labels)), recipe.optimisation)
        self.spec = recipe.input
        self.validated: list[Detections] = []

    def forward(self, image: Tensor) -> Tensor:
        """Return detections (batch, most, 6) of images (batch, 1, size, size) in [0, 1]; see `Detector.forward`."""
        rows: Tensor = self.net(self._given(image)).logits
        return rows

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss of one batch; there is one label."""
        labels = [torch.zeros(len(one), dtype=torch.int64, device=one.device) for one in batch["boxes"]]
        parts = cast(Detector, self.net).losses(self._given(batch["image"]), batch["boxes"], labels)
        for name, part in parts.items():
            self.log(f"train_{name}", part, on_epoch=True, on_step=False, batch_size=len(labels))
        return torch.stack(list(parts.values())).sum()

    def validation_step(self, batch: Batch, index: int) -> None:
        """Collect detections."""
        for rows, truth in zip(self(batch["image"]).float().cpu().numpy(), batch["boxes"], strict=True):
            self.validated.append(detections_of(rows, truth.cpu().numpy()))

    def on_validation_epoch_end(self) -> None:
        """Record the mean average precision."""
        self.log(loop.SCORE, mean_average_precision(self.validated))
        self.validated.clear()

    def _given(self, image: Tensor) -> Tensor:
        """Normalise."""
        return networks.three_channels(image, scale=self.spec.scale, offset=self.spec.offset)


def detections_of(rows: np.ndarray, truth: np.ndarray, patient: str = "") -> Detections:
    """Return what was found in one image: the rows (most, 6) that have a score."""
    found = rows[rows[:, 4] > 0]
    return Detections(found[:, :4], found[:, 4], truth, patient)
