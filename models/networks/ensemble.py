"""Several networks of one architecture that answer together, such as those of a cross-validation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.networks.output import Output


class Ensemble(nn.Module):
    """Gives the mean logits of its members, and the mean of their maps where all have them; no features.

    Parameters
    ----------
    make
        Makes one member.
    members
        How many there are.
    """

    def __init__(self, make: Callable[[], nn.Module], members: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(make() for _ in range(members))

    def forward(self, image: Tensor) -> Output:
        """Answer images (batch, channels, size, size)."""
        answers: list[Output] = [member(image) for member in self.members]
        maps = [one.maps for one in answers if one.maps is not None]
        return Output(
            torch.stack([one.logits for one in answers]).mean(dim=0),
            maps=torch.stack(maps).mean(dim=0) if len(maps) == len(answers) else None,
        )


def joined(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of an ensemble whose members have these."""
    return {f"members.{number}.{key}": tensor for number, state in enumerate(states) for key, tensor in state.items()}
