"""Train a recipe: data, network, loss, optimiser, loop. The rest of the way is `evaluate` and `export`."""

from __future__ import annotations

from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.weight_averaging import EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import load_file
from torch import nn

from training import config
from training.config import Recipe
from training.datasets import classification_loaders, finding_loaders, segmentation_loaders
from training.tasks import ClassificationTask, FindingsTask, SegmentationTask, Task


def task_of(recipe: Recipe) -> Task:
    """Make the Lightning module of a recipe."""
    match recipe.task:
        case "segmentation":
            return SegmentationTask(recipe)
        case "classification":
            return ClassificationTask(recipe)
        case "findings":
            return FindingsTask(recipe)
    raise ValueError(f"no training for the task {recipe.task}")


LOADERS = {
    "segmentation": segmentation_loaders,
    "classification": classification_loaders,
    "findings": finding_loaders,
}


class SeededEpochs(Callback):
    """Seeds every epoch by its number: a run that was killed and resumed draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Seed torch, which augmentation and dropout draw from."""
        torch.manual_seed(self.seed * 1000 + trainer.current_epoch)


def start_from(net: nn.Module, weights: Path) -> int:
    """Fill the encoder from a torchvision safetensors file, all but the ImageNet head; give how many tensors fitted.

    Raises
    ------
    ValueError
        A tensor of the encoder is missing in the file or has another shape.
    """
    encoder = net.encoder
    if not isinstance(encoder, nn.Module):
        raise ValueError("the network has no encoder")
    own = encoder.state_dict()
    given = {key: value.float() for key, value in load_file(weights).items() if not key.startswith("classifier")}
    wanted = {key for key in own if not key.startswith("classifier")}
    wrong = sorted(key for key in wanted if key not in given or given[key].shape != own[key].shape)
    if wrong:
        raise ValueError(f"{weights.name} does not fit the encoder: {len(wrong)} tensors, the first {wrong[0]}")
    with torch.no_grad():
        for key in wanted:
            own[key].copy_(given[key])
    return len(wanted)


def train(
    recipe: Recipe,
    data: Path,
    cache: Path,
    out: Path,
    *,
    weights: Path | None = None,
    earlier: Path | None = None,
    resume: bool = False,
) -> Path:
    """Train `recipe` and give the path of the best checkpoint by the validation score.

    Parameters
    ----------
    data : folder of the data sets (DATA.md).
    cache : folder of decoded arrays, filled where it is not.
    out : folder of this run: resolved recipe, metrics, checkpoints.
    weights : ImageNet weights of the encoder; None starts at random.
    earlier : run whose best weights this one starts from, with a schedule of its own.
    resume : go on after the last whole epoch of a run in `out` that was stopped, to the same result.
    """
    out.mkdir(parents=True, exist_ok=True)
    config.write(recipe, out / "recipe.yaml")
    lightning.seed_everything(recipe.seed)
    task = task_of(recipe)
    if weights is not None:
        start_from(task.net, weights)
    if earlier is not None:
        state = torch.load(earlier / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
        task.load_state_dict(state["state_dict"])
    training, validation = LOADERS[recipe.task](recipe, data, cache)
    best = ModelCheckpoint(
        out / "checkpoints",
        monitor=Task.score,
        mode="max",
        filename="best",
        enable_version_counter=False,
        save_last=True,
    )
    last = out / "checkpoints" / "last.ckpt"
    trainer = lightning.Trainer(
        max_epochs=recipe.optimisation.epochs,
        precision=recipe.optimisation.precision,
        callbacks=[
            SeededEpochs(recipe.seed),
            *_averaging(recipe),
            best,
            EarlyStopping(Task.score, mode="max", patience=recipe.optimisation.patience),
        ],
        logger=CSVLogger(out, name="", version=""),
        log_every_n_steps=10,
        enable_model_summary=False,
        gradient_clip_val=5.0,
    )
    trainer.fit(task, training, validation, ckpt_path=last if resume and last.exists() else None, weights_only=True)
    return Path(best.best_model_path)


def _averaging(recipe: Recipe) -> list[Callback]:
    """Average the weights and the norms' statistics, if the recipe says so."""
    decay = recipe.optimisation.averaging
    return [EMAWeightAveraging(decay=decay, use_buffers=True)] if decay else []
