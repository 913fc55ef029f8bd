"""The training loop: told to end, small batches, several processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import lightning
import pytest
import torch
from torch import distributed
from torch.utils.data import DataLoader, TensorDataset

from training.config import Optimisation
from training.fit import loop
from training.fit.order import SeededOrder
from training.fit.sampling import positive_aware

IMAGES = 16


class Line(lightning.LightningModule):
    """Fits a line; is told to end where a test asks for it."""

    def __init__(self, end_in_epoch: int | None = None) -> None:
        super().__init__()
        self.line, self.end_in_epoch = torch.nn.Linear(1, 1), end_in_epoch

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        if self.current_epoch == self.end_in_epoch:
            os.kill(os.getpid(), signal.SIGTERM)
        return ((self.line(batch[0]) - 2 * batch[0]) ** 2).mean()

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log(loop.SCORE, -((self.line(batch[0]) - 2 * batch[0]) ** 2).mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Path, module: Line, *, accumulation: int = 1, resume: bool = False) -> Path:
    data = TensorDataset(torch.linspace(-1, 1, IMAGES)[:, None])
    training = DataLoader(data, 4, sampler=SeededOrder(IMAGES, seed=1))
    settings = Optimisation(epochs=3, precision="32-true", accumulation=accumulation)
    return loop.fit(module, training, DataLoader(data, 4), folder, seed=1, settings=settings, patience=3, resume=resume)


def test_a_training_that_is_told_to_end_says_so_and_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = Line()
    fit(tmp_path / "whole", whole)
    torch.manual_seed(0)
    with pytest.raises(loop.Interrupted, match="told to end in epoch 2 of 3; --resume goes on"):
        fit(tmp_path / "stopped", Line(end_in_epoch=1))
    resumed = Line()
    fit(tmp_path / "stopped", resumed, resume=True)
    assert torch.equal(whole.line.weight, resumed.line.weight)


def test_accumulated_batches_make_fewer_steps(tmp_path: Path) -> None:
    steps = []
    for accumulation in (1, 2):
        path = fit(tmp_path / str(accumulation), Line(), accumulation=accumulation)
        steps.append(torch.load(path, weights_only=True)["global_step"])
    assert steps[0] == 2 * steps[1]


def test_two_processes_share_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process asks torch who it is. They are played one after the other: a real group needs sockets."""
    for order in (SeededOrder(7, seed=3), positive_aware([n % 2 == 0 for n in range(9)], part=0.5, seed=3)):
        order.set_epoch(2)
        whole = list(order)
        with monkeypatch.context() as group:
            group.setattr(distributed, "is_initialized", lambda: True)
            group.setattr(distributed, "get_world_size", lambda: 2)
            shares = []
            for rank in range(2):
                group.setattr(distributed, "get_rank", lambda rank=rank: rank)
                shares.append(list(order))
                assert len(order) == len(shares[-1]) == len(whole) // 2
        even = whole[: len(whole) // 2 * 2]
        assert shares == [even[::2], even[1::2]]
