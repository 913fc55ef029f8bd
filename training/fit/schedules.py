"""The optimiser and how its rate changes: warm-up and half a cosine, steps on a plateau, or no change."""

from __future__ import annotations

import math
from typing import Any, Protocol

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from training.config import Optimisation, Tuning
from training.fit import freezing


def configured(net: nn.Module, settings: Optimisation, tuning: Tuning | None, *, steps: int) -> Any:
    """Return what Lightning's `configure_optimizers` returns; a plateau is the work of `Plateau`.

    Parameters
    ----------
    tuning
        two-phase fine-tuning, with a rate of its own for the backbone's upper stages; None: one rate for all.
    steps
        Of the whole training.
    """
    optimiser = adamw(net, settings) if tuning is None else _two_phased(net, settings, tuning)
    return warmed_up(optimiser, settings.warmup_fraction, steps=steps) if settings.schedule == "cosine" else optimiser


class Rates(Protocol):
    """What a recipe says of its optimiser."""

    @property
    def learning_rate(self) -> float:
        """The highest rate."""

    @property
    def weight_decay(self) -> float:
        """Decoupled weight decay."""


def adamw(net: nn.Module, settings: Rates) -> Optimizer:
    """Return AdamW over what learns; norms and biases do not decay."""
    learning = [weight for weight in net.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in learning if weight.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [weight for weight in learning if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def warmed_up(optimiser: Optimizer, warmup_fraction: float, *, steps: int) -> Any:
    """Return what Lightning's `configure_optimizers` returns for `cosine`, stepped after every batch."""
    schedule = {"scheduler": cosine(optimiser, warmup_fraction, steps=steps), "interval": "step"}
    return {"optimizer": optimiser, "lr_scheduler": schedule}


def cosine(optimiser: Optimizer, warmup_fraction: float, *, steps: int) -> LambdaLR:
    """Rise linearly for a part of all steps, then fall to 0 by half a cosine."""
    warmup = max(1, round(warmup_fraction * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return LambdaLR(optimiser, factor)


class Plateau(Callback):
    """Lowers every rate when the score has not risen for some epochs, not below the least of its group.

    Torch's `ReduceLROnPlateau`, stepped after each validation. Lightning would step it after the checkpoint of the
    epoch was written, so that a resumed run would miss one step.
    """

    def __init__(self, settings: Optimisation, tuning: Tuning | None, *, score: str) -> None:
        self.settings, self.tuning, self.score = settings, tuning, score
        self.scheduler: ReduceLROnPlateau | None = None
        self.restored: dict[str, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take over the optimiser."""
        self.scheduler = plateau(trainer.optimizers[0], self.settings, self.tuning)
        self.scheduler.load_state_dict(self.restored)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look at the score."""
        if self.scheduler is not None and not trainer.sanity_checking:
            self.scheduler.step(float(trainer.callback_metrics[self.score]))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep it until the optimiser is there."""
        self.restored = state_dict


def plateau(optimiser: Optimizer, settings: Optimisation, tuning: Tuning | None) -> ReduceLROnPlateau:
    """Make torch's scheduler with the least rate of each group."""
    parts = [group.get("part") for group in optimiser.param_groups]
    least = [tuning.upper_least_rate if tuning and part == freezing.UPPER else settings.least_rate for part in parts]
    return ReduceLROnPlateau(
        optimiser,
        mode="max",
        factor=settings.plateau_factor,
        patience=settings.plateau_patience,
        # Of a negative score, as a negated loss is, a relative threshold would take a little worse for better.
        threshold=1e-4,
        threshold_mode="abs",
        min_lr=least,
    )


def _two_phased(net: nn.Module, settings: Optimisation, tuning: Tuning) -> Optimizer:
    """Return AdamW with a group for the backbone's upper stages."""
    groups = freezing.groups(
        net, weight_decay=settings.weight_decay, upper_stages=tuning.upper_stages, upper_rate=tuning.upper_rate
    )
    return torch.optim.AdamW(groups, lr=settings.learning_rate)
