"""The training loop of boxes and detections: AdamW, half a cosine, the best and the last checkpoint, resuming."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.weight_averaging import EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from models.runtime import NETWORK
from training.config import Optimisation
from training.export import stored
from training.fit import SeededEpochs
from training.quiet import expected_warnings

SCORE = "val_score"
BEST, LAST = "best", "last"


class Loop(lightning.LightningModule):
    """A network with its optimiser; subclasses add the loss and the validation score."""

    def __init__(self, net: nn.Module, optimisation: Optimisation) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.optimisation = optimisation

    def configure_optimizers(self) -> Any:
        """Give AdamW without decay on norms and biases, with a warm-up followed by half a cosine."""
        settings = self.optimisation
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = max(1, round(settings.warmup_fraction * total))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": LambdaLR(optimiser, factor), "interval": "step"}}


def fit(
    module: Loop, training: DataLoader, validation: DataLoader, out: Path, *, seed: int, resume: bool = False
) -> Path:
    """Train and give the path of the best checkpoint by the validation score.

    Parameters
    ----------
    out : folder of this run: metrics and checkpoints.
    seed : every epoch is seeded by it and its number.
    resume : go on after the last whole epoch of a run in `out` that was stopped, to the same result.
    """
    best = ModelCheckpoint(out / "checkpoints", monitor=SCORE, mode="max", filename=BEST, enable_version_counter=False)
    # A checkpoint of its own: `save_last` of the other would be written only in epochs that are the best so far.
    last = ModelCheckpoint(out / "checkpoints", filename=LAST, enable_version_counter=False)
    path = out / "checkpoints" / f"{LAST}.ckpt"
    going_on = resume and path.exists()
    trainer = lightning.Trainer(
        max_epochs=module.optimisation.epochs,
        precision=module.optimisation.precision,
        callbacks=[
            SeededEpochs(seed),
            *_averaging(module.optimisation),
            EarlyStopping(SCORE, mode="max", patience=module.optimisation.patience),
            best,
            last,
        ],
        logger=CSVLogger(out, name="metrics"),
        log_every_n_steps=10,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        gradient_clip_val=5.0,
    )
    with expected_warnings():
        trainer.fit(module, training, validation, ckpt_path=path if going_on else None, weights_only=True)
    return Path(best.best_model_path)


def fill(task: Loop, run: Path) -> None:
    """Fill a task with the weights of a run's best checkpoint, rounded as they are stored; evaluation mode."""
    state = torch.load(run / "checkpoints" / f"{BEST}.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    task.load_state_dict({key: stored(value).to(value.dtype) for key, value in state.items()})
    task.eval().requires_grad_(False)


def tensors(task: Loop) -> dict[str, Tensor]:
    """Give the network's tensors as they are stored."""
    return {NETWORK + key: stored(value) for key, value in task.net.state_dict().items()}


def _averaging(settings: Optimisation) -> list[Callback]:
    """Average the weights and the norms' statistics, if the recipe says so."""
    return [EMAWeightAveraging(decay=settings.averaging, use_buffers=True)] if settings.averaging else []
