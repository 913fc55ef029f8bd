"""Patches as training items: which volume, which place and which variation follow from seed, epoch and number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from training.fit.order import share, shared
from training.tasks.atrium.augment import Patches
from training.tasks.atrium.data import Prepared
from training.tasks.atrium.recipe import VolumeRecipe

_ON_THE_ATRIUM = 0.7
"""Part of the patches whose centre is drawn within the mask; the others anywhere in the volume."""


class PatchItem(TypedDict):
    """A patch (1, *input_shape) with the mask of its window (1, *window)."""

    image: Tensor
    mask: Tensor


class PatchOrder(Sampler[tuple[int, int]]):
    """Epoch and number of each patch; Lightning calls `set_epoch`."""

    def __init__(self, patches: int) -> None:
        self.patches, self.epoch = patches, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of patches an epoch."""
        return shared(self.patches)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield epoch and number."""
        yield from share([(self.epoch, number) for number in range(self.patches)])


class PatchDataset(Dataset[PatchItem]):
    """Patches of volumes on the model grid, volume after volume."""

    def __init__(self, volumes: list[Prepared], recipe: VolumeRecipe) -> None:
        self.recipe = recipe
        self.pairs = [torch.stack([torch.from_numpy(v.image), torch.from_numpy(v.cover)]) for v in volumes]
        self.inside = [torch.nonzero(pair[1] > 0.5) for pair in self.pairs]
        self.cut = Patches(recipe.augmentation, recipe.volume.spacing_mm, recipe.volume.input_shape)

    def __getitem__(self, key: tuple[int, int]) -> PatchItem:
        """Cut one patch."""
        epoch, number = key
        generator = torch.Generator().manual_seed(_seed(self.recipe.seed, epoch, number))
        which = (number + epoch) % len(self.pairs)
        image, mask = self.cut(self.pairs[which], self._centre(which, generator), generator)
        context = self.recipe.volume.context
        return {"image": image, "mask": mask[:, context : mask.shape[1] - context]}

    def _centre(self, which: int, generator: torch.Generator) -> Tensor:
        """Draw the centre of a patch."""
        shape = torch.tensor(self.pairs[which].shape[1:])
        if float(torch.rand((), generator=generator)) < _ON_THE_ATRIUM and len(self.inside[which]):
            row = int(torch.randint(len(self.inside[which]), (), generator=generator))
            centre = self.inside[which][row].float()
        else:
            centre = torch.rand(3, generator=generator) * (shape - 1)
        window = torch.tensor(self.recipe.volume.window)
        middle, reach = (shape - 1) / 2, ((shape - window) / 2).clamp(min=0) + 4
        drawn = centre + (torch.rand(3, generator=generator) * 2 - 1) * window * self.recipe.augmentation.shift
        # A window of one slice is drawn where its slice is; others are drawn so that most of them lies in the volume.
        kept = torch.minimum(torch.maximum(drawn, middle - reach), middle + reach)
        return torch.where(window > 1, kept, centre)


def _seed(*parts: int) -> int:
    """Mix numbers into one seed."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def loader(volumes: list[Prepared], recipe: VolumeRecipe) -> DataLoader:
    """Return the training patches of an epoch."""
    order = PatchOrder(recipe.optimisation.patches)
    return DataLoader(PatchDataset(volumes, recipe), recipe.optimisation.batch_size, sampler=order, drop_last=True)
