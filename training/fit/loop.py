"""The training loop of every recipe: Lightning's trainer with the best and the last checkpoint, and resuming.

Mixed precision, gradient accumulation and several GPUs are Lightning's work; one seed and the number of the epoch
decide every draw, so that a run that was killed goes on to the same weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.weight_averaging import EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn
from torch.utils.data import DataLoader

from models.errors import ModelsError
from training.config import RecipeSection, Run, read_as, write
from training.fit import initial, origin

Module = TypeVar("Module", bound=lightning.LightningModule)
SCORE = "val_score"
BEST, LAST = "best", "last"
CHECKPOINTS = "checkpoints"
EXPECTED = (
    ".*LeafSpec.*",  # Lightning 2.x with the newest torch
    ".*treespec.*",
    ".*does not have many workers.*",  # the arrays are in memory maps: reading them is not what takes the time
    ".*GPU available but not used.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*smaller than the logging interval.*",
    ".*but have no `val_dataloader`.*",  # a final run trains on all that may be trained on
)


class Interrupted(ModelsError):
    """The training was told to end before its last epoch; the message says how to go on."""


class Loop(Protocol):
    """What a recipe says of its loop."""

    @property
    def epochs(self) -> int:
        """Most epochs."""

    @property
    def precision(self) -> Literal["32-true", "bf16-mixed"]:
        """Lightning's precision."""

    @property
    def averaging(self) -> float:
        """Decay of the moving average of the weights; 0 is none."""

    @property
    def accumulation(self) -> int:
        """Batches a step of the optimiser."""


class SeededEpochs(Callback):
    """Seeds every epoch by its number: a run that was killed and resumed draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Seed torch, which augmentation and dropout draw from."""
        torch.manual_seed(self.seed * 1000 + trainer.current_epoch)


def train(
    make: Callable[[], lightning.LightningModule],
    loaders: Callable[[], tuple[DataLoader, DataLoader | None]],
    run: Run,
    *,
    recipe: RecipeSection,
    seed: int,
    settings: Loop,
    patience: int | None,
    validate_every: int = 1,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Train a recipe and return the path of the checkpoint that is exported; parameters and errors as below.

    Parameters
    ----------
    make
        Gives the module, whose network is `net`. It draws its random weights after `seed`.
    loaders
        Gives the batches to train on, and to validate on (None: no validation); they are read afterwards.
    """
    module = begin(make, recipe, run, seed=seed)
    training, validation = loaders()
    return fit(
        module,
        training,
        validation,
        run.out,
        seed=seed,
        settings=settings,
        patience=patience,
        validate_every=validate_every,
        resume=run.resume,
        callbacks=callbacks,
    )


def begin(make: Callable[[], Module], recipe: RecipeSection, run: Run, *, seed: int) -> Module:
    """Open the folder of a run with its resolved recipe, and make its network with initial weights.

    Raises
    ------
    ValueError
        The folder holds another run. Where a run is resumed, only its number of epochs may have changed.
    """
    _check_free(recipe, run)
    run.out.mkdir(parents=True, exist_ok=True)
    write(recipe, run.recipe)
    lightning.seed_everything(seed)
    module = make()
    origin.note(run.out, (run.weights, None if run.earlier is None else str(run.earlier)))
    if run.weights is not None:
        initial.fill(cast(nn.Module, module.net), run.weights)
    if run.earlier is not None:
        module.load_state_dict(checkpoint(run.earlier, BEST)["state_dict"])
    return module


def checkpoint(run: Path, name: str) -> dict[str, Any]:
    """Read the checkpoint `BEST` or `LAST` of a run; only tensors and plain values are read from it."""
    held: dict[str, Any] = torch.load(run / CHECKPOINTS / f"{name}.ckpt", map_location="cpu", weights_only=True)
    return held


def fit(
    module: lightning.LightningModule,
    training: DataLoader,
    validation: DataLoader | None,
    out: Path,
    *,
    seed: int,
    settings: Loop,
    patience: int | None,
    validate_every: int = 1,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Train and return the path of the checkpoint that is exported: the best by `SCORE`, or the last.

    Parameters
    ----------
    out
        Folder of this run: metrics and checkpoints.
    seed
        Every epoch is seeded by it and its number.
    patience
        Epochs without a better score before stopping; None trains to the end and keeps the last weights.
    resume
        Go on after the last whole epoch of a run in `out` that was stopped, to the same result.

    Raises
    ------
    Interrupted
        The process was told to end (SIGTERM) before the last epoch.
    """
    folder = out / CHECKPOINTS
    # `save_last` of the best one would be written only in epochs that are the best so far.
    last = ModelCheckpoint(folder, filename=LAST, enable_version_counter=False, save_on_train_epoch_end=True)
    best = ModelCheckpoint(folder, monitor=SCORE, mode="max", filename=BEST, enable_version_counter=False)
    choosing: list[Callback] = []
    if patience is not None:
        choosing = [best, EarlyStopping(SCORE, mode="max", patience=patience)]
    stopped = folder / f"{LAST}.ckpt"
    trainer = lightning.Trainer(
        max_epochs=settings.epochs,
        precision=settings.precision,
        accumulate_grad_batches=settings.accumulation,
        callbacks=[SeededEpochs(seed), *_averaging(settings), *callbacks, last, *choosing],
        logger=CSVLogger(out, name="metrics"),
        log_every_n_steps=10,
        check_val_every_n_epoch=validate_every,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        gradient_clip_val=5.0,
        # The orders of training/fit/order.py share themselves out; validation is whole in every process.
        use_distributed_sampler=False,
    )
    start = stopped if resume and stopped.exists() else None
    try:
        with expected_warnings():
            trainer.fit(module, training, validation, ckpt_path=start, weights_only=True)
    except SIGTERMException as stopped_by:
        epoch = trainer.current_epoch + 1
        raise Interrupted(f"told to end in epoch {epoch} of {settings.epochs}; --resume goes on") from stopped_by
    return stopped if patience is None else Path(best.best_model_path)


def _check_free(recipe: RecipeSection, run: Run) -> None:
    """Refuse a folder whose run would be lost, or be mixed with another."""
    if not run.recipe.exists():
        return
    if not run.resume:
        raise ValueError(f"{run.out} holds a run already; --resume goes on with it, or choose another folder")
    held, wanted = (one.model_dump(mode="json") for one in (read_as(type(recipe), run.recipe), recipe))
    for one in (held, wanted):
        one["optimisation"].pop("epochs")
    differing = sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))
    if differing:
        raise ValueError(
            f"{run.out} holds a run of another recipe: {', '.join(differing)} differ; choose another folder"
        )


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence the warnings of a training that nobody can act on; every other one is shown."""
    with warnings.catch_warnings():
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message)
        yield


def _averaging(settings: Loop) -> list[Callback]:
    """Average the weights and the norms' statistics, if the recipe says so."""
    return [EMAWeightAveraging(decay=settings.averaging, use_buffers=True)] if settings.averaging else []
