"""Fine-tuning in two phases: first the head alone over a frozen backbone, then the upper layers at a smaller rate.

The backbone is the network's encoder without its ImageNet head. While it is frozen its norms stand still too (they
neither learn nor follow the batch), and they go on standing still when their layers are unfrozen: small batches of
another kind of picture would spoil statistics of a million images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from training.fit.initial import HEADS, encoder_of

# Modules that only hold a network's stages in order.
CONTAINERS = ("features", "blocks", "model")
UPPER = "upper"


class TwoPhases(Callback):
    """Freezes the backbone, and unfreezes its last stages after some epochs.

    What is frozen is a function of the epoch, so that a resumed run goes on unchanged. The optimiser's groups come from
    `groups`.

    Parameters
    ----------
    frozen_epochs
        Of the first phase.
    upper_stages
        How many of the backbone's last stages (see `stages`) learn in the second phase; 0: none ever.
    upper_rate
        Their learning rate from then on.
    """

    def __init__(self, *, frozen_epochs: int, upper_stages: int, upper_rate: float) -> None:
        self.frozen_epochs, self.upper_stages, self.upper_rate = frozen_epochs, upper_stages, upper_rate

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Freeze what is frozen in this epoch, and set the rate when the upper stages begin to learn."""
        encoder = encoder_of(pl_module.net)  # type: ignore[arg-type]
        learning = self.upper_stages if trainer.current_epoch >= self.frozen_epochs else 0
        freeze(encoder, learning=learning)
        if trainer.current_epoch == self.frozen_epochs:
            for optimiser in trainer.optimizers:
                set_rate(optimiser, UPPER, self.upper_rate)


def freeze(encoder: nn.Module, *, learning: int) -> None:
    """Let the last `learning` stages of a backbone learn and no others; every norm of it stands still."""
    for module in _parts(encoder):
        module.eval()
        module.requires_grad_(False)
    for stage in stages(encoder)[-learning:] if learning else []:
        stage.train()
        stage.requires_grad_(True)
        for module in stage.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
                module.requires_grad_(False)


def stages(encoder: nn.Module) -> list[nn.Module]:
    """Return the stages of a backbone in order, without the ImageNet head: 9 in EfficientNet-B0, 19 in MobileNetV2.

    A stage has weights besides those of a norm.
    """
    return [part for part in _parts(encoder) if any(weight.ndim > 1 for weight in part.parameters())]


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """Return what lies directly in a backbone, and what lies in that of it which only holds stages."""
    for name, child in module.named_children():
        if f"{name}.".startswith(HEADS):
            continue
        if name in CONTAINERS:
            yield from _parts(child)
        else:
            yield child


def groups(net: nn.Module, *, weight_decay: float, upper_stages: int, upper_rate: float) -> list[dict[str, Any]]:
    """Return an optimiser's groups: the head, and the upper stages at their own rate; norms and biases do not decay.

    What never learns is in none of them.
    """
    encoder = encoder_of(net)
    upper_layers = stages(encoder)[-upper_stages:] if upper_stages else []
    backbone = {id(weight) for part in _parts(encoder) for weight in part.parameters()}
    still = {id(weight) for module in net.modules() if isinstance(module, _BatchNorm) for weight in module.parameters()}
    upper = [weight for stage in upper_layers for weight in stage.parameters() if id(weight) not in still]
    head = [weight for weight in net.parameters() if id(weight) not in backbone]
    made: list[dict[str, Any]] = []
    for part, weights, rate in (("head", head, {}), (UPPER, upper, {"lr": upper_rate})):
        for decays in (True, False):
            chosen = [weight for weight in weights if (weight.ndim > 1) == decays]
            if chosen:
                decay = weight_decay if decays else 0.0
                made.append({"params": chosen, "weight_decay": decay, "part": part, **rate})
    return made


def set_rate(optimiser: Optimizer, part: str, rate: float) -> None:
    """Set the learning rate of a part of an optimiser's groups."""
    for group in optimiser.param_groups:
        if group.get("part") == part:
            group["lr"] = rate
