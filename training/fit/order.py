"""The order of training images: random, but a function of seed and epoch, so that a resumed run goes on unchanged.

Lightning calls `set_epoch` on a sampler that has it. Of several processes (GPUs) each takes its share of one order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.utils.data import Sampler

T = TypeVar("T")


def shared(count: int) -> int:
    """Return how many of `count` images this process takes; what does not divide is left out, so all take as many."""
    return count // distributed.get_world_size() if distributed.is_initialized() else count


def share(order: Sequence[T]) -> Sequence[T]:
    """Return this process's part of an order that all processes know."""
    if not distributed.is_initialized():
        return order
    world = distributed.get_world_size()
    return order[distributed.get_rank() : shared(len(order)) * world : world]


class SeededOrder(Sampler[int]):
    """Every image once, shuffled; or, with weights, `count` images drawn with replacement."""

    def __init__(self, images: int, *, seed: int, weights: Tensor | None = None, count: int | None = None) -> None:
        self.images, self.seed, self.weights = images, seed, weights
        self.count = images if count is None else count
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of images an epoch."""
        return shared(self.count)

    def __iter__(self) -> Iterator[int]:
        """Yield image numbers."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        if self.weights is None:
            order = torch.randperm(self.images, generator=generator)[: self.count]
        else:
            order = torch.multinomial(self.weights, self.count, replacement=True, generator=generator)
        yield from share(order.tolist())
