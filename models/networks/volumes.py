"""Networks for volumes: a compact 3-D U-Net, and the 2-D U-Net that looks at a slice with its neighbours."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.output import Output
from models.networks.segmenters import Segmenter

VolumeArchitecture = Literal["unet3d-16", "unet3d-tiny", "unet2d-mobilenet_v2"]
VOLUME_ARCHITECTURES: tuple[str, ...] = get_args(VolumeArchitecture)
CHANNELS: dict[str, tuple[int, ...]] = {
    "unet3d-16": (16, 32, 64, 128),
    "unet3d-tiny": (4, 8),
}
"""Channels from the finest level to the coarsest; each level halves every edge. "tiny" is for tests."""
_GROUPS = 4
_SLOPE = 0.01


def build_volume(architecture: str, labels: int) -> nn.Module:
    """Make the network `architecture` for `labels` outputs, with random weights.

    Raises
    ------
    ValueError
        The name is not one of `VOLUME_ARCHITECTURES`.
    """
    if architecture in CHANNELS:
        # Group norm on channels-last volumes takes a third of the step; contiguous ones are faster as a whole.
        return VolumeUnet(CHANNELS[architecture], labels)
    if architecture == "unet2d-mobilenet_v2":
        return SliceUnet("mobilenet_v2", labels).to(memory_format=torch.channels_last)
    raise ValueError(f"architecture {architecture!r} is none of {', '.join(VOLUME_ARCHITECTURES)}")


class VolumeUnet(nn.Module):
    """A 3-D U-Net: two convolutions a level, halving by the largest of eight, doubling by transposition.

    Group norm does not depend on the batch, which holds two patches only. The finest level has one convolution on
    either side: 0.35 instead of 0.52 s a step of two patches of 48 x 40 x 56 voxels (one core, bf16).
    """

    def __init__(self, channels: tuple[int, ...], labels: int) -> None:
        super().__init__()
        inputs = (1, *channels[:-1])
        self.down = nn.ModuleList(
            _convolved(i, o, 1 if level == 0 else 2) for level, (i, o) in enumerate(zip(inputs, channels, strict=True))
        )
        pairs = list(zip(channels[1:], channels[:-1], strict=True))
        self.raise_ = nn.ModuleList(nn.ConvTranspose3d(deep, fine, 2, stride=2) for deep, fine in pairs)
        self.up = nn.ModuleList(
            _convolved(2 * fine, fine, 1 if level == 0 else 2) for level, (_, fine) in enumerate(pairs)
        )
        self.head = nn.Conv3d(channels[0], labels, 1)

    def forward(self, patch: Tensor) -> Output:
        """Return logits (batch, labels, slices, rows, columns) of (batch, 1, slices, rows, columns)."""
        found: list[Tensor] = []
        x = patch
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else functional.max_pool3d(x, 2))
            found.append(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([self.raise_[level](x), found[level]], dim=1))
        return Output(self.head(x))


class SliceUnet(Segmenter):
    """The 2-D U-Net on stacks of three slices: the neighbours are the other two channels of the ImageNet encoder."""

    def forward(self, patch: Tensor) -> Output:
        """Return logits (batch, labels, 1, rows, columns) for the middle slice of (batch, 1, 3, rows, columns)."""
        out: Output = super().forward(patch[:, 0].contiguous(memory_format=torch.channels_last))
        return Output(out.logits[:, :, None], features=out.features)


def _convolved(inputs: int, outputs: int, times: int) -> nn.Sequential:
    """Make convolutions, each with its norm and activation."""
    steps: list[nn.Module] = []
    for channels in (inputs, outputs)[:times]:
        steps += [
            nn.Conv3d(channels, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(_GROUPS, outputs),
            nn.LeakyReLU(_SLOPE, inplace=True),
        ]
    return nn.Sequential(*steps)
