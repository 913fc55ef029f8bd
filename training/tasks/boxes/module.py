"""What box regression and detection share: the optimiser, and the way from a run to a bundle's tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from models.inference.runner import NETWORK
from training.config import Optimisation
from training.fit import schedules
from training.fit.loop import BEST, CHECKPOINTS
from training.tasks.chest.export import stored


class BoxModule(lightning.LightningModule):
    """A network with its optimiser; subclasses add the loss and the validation score."""

    def __init__(self, net: nn.Module, optimisation: Optimisation) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.optimisation = optimisation

    def configure_optimizers(self) -> Any:
        """Give AdamW without decay on norms and biases, with a warm-up followed by half a cosine."""
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        optimiser = schedules.adamw(self.net, self.optimisation)
        return schedules.warmed_up(optimiser, self.optimisation.warmup_fraction, steps=steps)


def fill(task: BoxModule, run: Path) -> None:
    """Fill a task with the weights of a run's best checkpoint, rounded as they are stored; evaluation mode."""
    state = torch.load(run / CHECKPOINTS / f"{BEST}.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    task.load_state_dict({key: stored(value).to(value.dtype) for key, value in state.items()})
    task.eval().requires_grad_(False)


def tensors(task: BoxModule) -> dict[str, Tensor]:
    """Give the network's tensors as they are stored."""
    return {NETWORK + key: stored(value) for key, value in task.net.state_dict().items()}
