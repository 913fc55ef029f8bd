"""The order of training images: random, but a function of seed and epoch, so that a resumed run goes on unchanged.

Lightning calls `set_epoch` on a sampler that has it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler


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
        """Give the number of images an epoch."""
        return self.count

    def __iter__(self) -> Iterator[int]:
        """Yield image numbers."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        if self.weights is None:
            order = torch.randperm(self.images, generator=generator)[: self.count]
        else:
            order = torch.multinomial(self.weights, self.count, replacement=True, generator=generator)
        yield from order.tolist()
