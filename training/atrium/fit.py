"""Train an atrium recipe: patches, network, loss, loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.callbacks.weight_averaging import EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from models.networks.volumes import build_volume
from models.volume import Float, answered
from training import initial
from training.atrium import cases, config, patches
from training.atrium.cases import Prepared
from training.atrium.config import VolumeRecipe
from training.atrium.patches import PatchItem
from training.evaluation.overlap import dice
from training.fit import SeededEpochs
from training.quiet import expected_warnings

LAST = "last.ckpt"


class VolumeTask(lightning.LightningModule):
    """The network with its loss and optimiser; the score is the mean Dice of whole volumes on the model grid."""

    score = "val_dice"

    def __init__(self, recipe: VolumeRecipe, scored: list[Prepared]) -> None:
        super().__init__()
        self.recipe, self.scored = recipe, scored
        self.net = build_volume(recipe.architecture, len(recipe.labels))

    def forward(self, patch: Tensor) -> Tensor:
        """Give logits (batch, 1, *window) of patches (batch, 1, *seen) in [0, 1]."""
        logits: Tensor = self.net(patch * self.recipe.scale + self.recipe.offset).logits
        return logits.float()

    def training_step(self, batch: PatchItem, index: int) -> Tensor:
        """Give the loss of one batch."""
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
        """Give probabilities (windows, labels, *window) of patches (windows, *seen)."""
        given = torch.from_numpy(np.ascontiguousarray(patch))[:, None].to(self.device)
        found: Float = self(given).sigmoid().cpu().numpy()
        return found

    def configure_optimizers(self) -> Any:
        """Give AdamW without decay on norms and biases, warmed up and then lowered along half a cosine."""
        settings = self.recipe.optimisation
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)
        total = settings.epochs * (settings.patches // settings.batch_size)
        warmup = max(1, round(settings.warmup_fraction * total))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": LambdaLR(optimiser, factor), "interval": "step"}}


def patch_loss(logits: Tensor, cover: Tensor) -> Tensor:
    """Add cross-entropy and 1 minus the soft Dice over the batch; a slice without the atrium has no Dice of its own."""
    entropy = functional.binary_cross_entropy_with_logits(logits, cover)
    found = logits.sigmoid()
    overlap, total = (found * cover).sum(), found.sum() + cover.sum()
    return entropy + 1 - (2 * overlap + 1) / (total + 1)


def train(recipe: VolumeRecipe, data: Path, out: Path, *, weights: str = initial.RANDOM, resume: bool = False) -> Path:
    """Train `recipe` and give the path of its last checkpoint, which is the one that is exported.

    Parameters
    ----------
    data : folder of the data sets (DATA.md).
    out : folder of this run: resolved recipe, metrics, checkpoint.
    weights : initial weights of the 2-D encoder, see training/initial.py.
    resume : go on after the last whole epoch of a run in `out` that was stopped, to the same result.
    """
    out.mkdir(parents=True, exist_ok=True)
    config.write(recipe, out / "recipe.yaml")
    lightning.seed_everything(recipe.seed)
    volumes = [cases.prepared(case, recipe) for case in cases.read(data, cases.ids_of(recipe.trained_on))]
    scored: list[Prepared] = []
    if "val" not in recipe.trained_on:
        scored = [cases.prepared(case, recipe) for case in cases.read(data, cases.ids_of(("val",)))]
    task = VolumeTask(recipe, scored)
    initial.fill(task.net, weights)
    settings = recipe.optimisation
    last = out / "checkpoints" / LAST
    trainer = lightning.Trainer(
        max_epochs=settings.epochs,
        precision=settings.precision,
        callbacks=[
            SeededEpochs(recipe.seed),
            *_averaging(recipe),
            ModelCheckpoint(
                out / "checkpoints",
                filename="last",
                save_top_k=1,
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            ),
        ],
        logger=CSVLogger(out, name="metrics"),
        log_every_n_steps=10,
        check_val_every_n_epoch=settings.validate_every,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        gradient_clip_val=5.0,
    )
    validation = DataLoader(TensorDataset(torch.arange(len(scored)))) if scored else None
    with expected_warnings():
        trainer.fit(
            task,
            patches.loader(volumes, recipe),
            validation,
            ckpt_path=last if resume and last.exists() else None,
            weights_only=True,
        )
    return last


def _averaging(recipe: VolumeRecipe) -> list[Callback]:
    """Average the weights and the norms' statistics, if the recipe says so."""
    decay = recipe.optimisation.averaging
    return [EMAWeightAveraging(decay=decay, use_buffers=True)] if decay else []
