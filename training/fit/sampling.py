"""Orders in which groups of images have a stated part: lesions are rare, and an epoch should hold enough of them.

As in training/fit/order.py the order is a function of seed and epoch, so that a resumed run goes on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from training.fit.order import share, shared


class GroupedOrder(Sampler[int]):
    """Draws a stated number of images from each group; none comes again before the whole group was drawn.

    Parameters
    ----------
    groups
        Image numbers of each group.
    counts
        Gives how many an epoch draws from each group; their sum is the same in every epoch.
    """

    def __init__(self, groups: Sequence[Sequence[int]], counts: Callable[[int], Sequence[int]], *, seed: int) -> None:
        self.groups = [torch.as_tensor(group, dtype=torch.long) for group in groups]
        self.counts, self.seed = counts, seed
        self.epoch = 0
        empty = [number for number, group in enumerate(self.groups) if not len(group)]
        if empty:
            raise ValueError(f"group {empty[0]} of {len(self.groups)} to draw from is empty")

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of images an epoch."""
        return shared(sum(self.counts(self.epoch)))

    def __iter__(self) -> Iterator[int]:
        """Yield image numbers."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        pairs = zip(self.groups, self.counts(self.epoch), strict=True)
        drawn = torch.cat([_draw(group, count, generator) for group, count in pairs])
        yield from share(drawn[torch.randperm(len(drawn), generator=generator)].tolist())


def positive_aware(
    positive: Sequence[bool],
    *,
    part: float,
    count: int | None = None,
    last_part: float | None = None,
    epochs: int = 1,
    seed: int,
) -> GroupedOrder:
    """Draw `part` of each epoch from the positive images.

    Parameters
    ----------
    positive
        Whether each image is.
    count
        Images an epoch; None: as many as there are.
    last_part
        Part in the last epoch; between the first and the last it changes linearly. None: `part` throughout. A part that
        falls to the prevalence on which thresholds are chosen finds the lesions first and learns to be silent later.
    epochs
        Of the whole training.

    Raises
    ------
    ValueError
        A part is not within 0 and 1, or there are no positives or no negatives.
    """
    end = part if last_part is None else last_part
    if not (0 <= part <= 1 and 0 <= end <= 1):
        raise ValueError(f"parts {part} and {end} of positive images: values from 0 to 1 were expected")
    total = len(positive) if count is None else count

    def counts(epoch: int) -> tuple[int, int]:
        gone = min(1.0, epoch / (epochs - 1)) if epochs > 1 else 0.0
        positives = round(total * (part + gone * (end - part)))
        return total - positives, positives

    return GroupedOrder(_groups(positive, (False, True)), counts, seed=seed)


def _groups(classes: Sequence[int], names: Sequence[int]) -> list[list[int]]:
    """Return the image numbers of each class."""
    return [[number for number, one in enumerate(classes) if bool(one == name)] for name in names]


def _draw(group: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw from shuffled copies of a group, one after the other."""
    rounds = -(-count // len(group))
    drawn = [group[torch.randperm(len(group), generator=generator)] for _ in range(rounds)]
    return torch.cat(drawn)[:count] if drawn else group[:0]
