"""Double U-Net (Jha et al. 2020, arXiv 2006.04868): a second U-Net looks again at what the first one points out.

Network 1 is a VGG-19 encoder without its last pooling, atrous spatial pyramid pooling (ASPP) and a decoder. Its mask
multiplies the image, which goes into network 2: an encoder of its own, ASPP, and a decoder that takes the skips of both
encoders. Blocks are two 3 x 3 convolutions with batch norm and ReLU, then squeeze-and-excitation (ratio 8); upsampling
is bilinear. Widths are those of the paper: encoder 2 has 32 to 256 channels, both decoders 256 to 32, ASPP 64.

Where this differs from the paper: the mask that multiplies is the largest of all labels' where there are several; the
images are in [-1, 1], so that "nothing" after the multiplication is the middle grey; the ASPP is torchvision's
(DeepLabV3), with a dropout of 0.5; squeeze-and-excitation has SiLU between its layers, because four units behind a
ReLU are all dead in some blocks from the start. The compact form has `width` of all channels, and batch norm in its
VGG, which cannot be filled from ImageNet weights and hardly learns from random ones without.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation.deeplabv3 import ASPP
from torchvision.ops import SqueezeExcitation

from models.networks.output import Output

# Convolutions and channels of the five stages of VGG-19 (Simonyan 2015, table 1, column E).
VGG19_STAGES = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
ENCODER_CHANNELS = (32, 64, 128, 256)
DECODER_CHANNELS = (256, 128, 64, 32)
ASPP_CHANNELS, ASPP_RATES = 64, (6, 12, 18)
EXCITATION_RATIO = 8
LEAST_EXCITED = 4


class DoubleSegmenter(nn.Module):
    """Double U-Net; the logits are the second network's, `Output.maps` the first one's at the same size.

    The first logits are for deep supervision (training/fit/losses.py) and for comparison; a bundle decides by the
    second.
    """

    def __init__(self, labels: int, *, width: float = 1.0) -> None:
        super().__init__()
        down, up = _scaled(ENCODER_CHANNELS, width), _scaled(DECODER_CHANNELS, width)
        middle = _scaled((ASPP_CHANNELS,), width)[0]
        self.first_encoder = Vgg19(width=width, norm=width != 1.0)
        first = self.first_encoder.channels
        self.first_middle = ASPP(first[-1], ASPP_RATES, middle)
        self.first_decoder = Decoder(middle, first[-2::-1], up)
        self.first_head = nn.Conv2d(up[-1], labels, 1)
        self.second_encoder = Encoder(down)
        self.second_middle = ASPP(down[-1], ASPP_RATES, middle)
        both = tuple(one + other for one, other in zip(first[-2::-1], down[::-1], strict=True))
        self.second_decoder = Decoder(middle, both, up)
        self.second_head = nn.Conv2d(up[-1], labels, 1)

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill: VGG-19 in torchvision's layout, in the full width."""
        return self.first_encoder

    def forward(self, image: Tensor) -> Output:
        """Return logits (batch, labels, size, size), pooled features, and the first logits as maps.

        `image` is (batch, 3, size, size), `size` a multiple of 16; to train, the batch holds two images at least.
        """
        *skips, deepest = self.first_encoder(image)
        first = self.first_head(self.first_decoder(self.first_middle(deepest), skips[::-1]))
        mask = first.sigmoid().amax(dim=1, keepdim=True)  # (batch, 1, size, size)
        again, second_skips = self.second_encoder(image * mask)
        both = [torch.cat(pair, dim=1) for pair in zip(skips[::-1], second_skips[::-1], strict=True)]
        logits = self.second_head(self.second_decoder(self.second_middle(again), both))
        return Output(logits, features=deepest.float().mean(dim=(2, 3)), maps=first)


class Vgg19(nn.Module):
    """The convolutions of VGG-19 up to its last pooling; gives what every stage ends with, at strides 1 to 16."""

    def __init__(self, *, width: float, norm: bool) -> None:
        super().__init__()
        self.channels = _scaled(tuple(channels for _, channels in VGG19_STAGES), width)
        layers: list[nn.Module] = []
        before = 3
        for (depth, _), channels in zip(VGG19_STAGES, self.channels, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers.append(_convolution(before, channels))
                layers.extend([nn.BatchNorm2d(channels)] if norm else [])
                layers.append(nn.ReLU())
                before = channels
        self.features = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return five tensors (batch, channels, size / stride, size / stride)."""
        stages: list[Tensor] = []
        held = image
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                stages.append(held)
            held = layer(held)
        return [*stages, held]


class Encoder(nn.Module):
    """Encoder of network 2: blocks with pooling after each."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        before = (3, *channels[:-1])
        self.blocks = nn.ModuleList(_block(one, other) for one, other in zip(before, channels, strict=True))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the end (batch, channels, size / 16, size / 16) and the skips, the finest first."""
        skips: list[Tensor] = []
        held = image
        for block in self.blocks:
            skips.append(block(held))
            held = functional.max_pool2d(skips[-1], 2)
        return held, skips


class Decoder(nn.Module):
    """Four times: double the size, take the skip, run a block."""

    def __init__(self, start: int, skips: tuple[int, ...], channels: tuple[int, ...]) -> None:
        super().__init__()
        before = (start, *channels[:-1])
        self.blocks = nn.ModuleList(
            _block(one + skip, other) for one, skip, other in zip(before, skips, channels, strict=True)
        )

    def forward(self, deepest: Tensor, skips: list[Tensor]) -> Tensor:
        """Return (batch, channels, size, size); the skips come the coarsest first."""
        held = deepest
        for block, skip in zip(self.blocks, skips, strict=True):
            raised = functional.interpolate(held, skip.shape[-2:], mode="bilinear", align_corners=False)
            held = block(torch.cat([raised, skip], dim=1))
        return held


def _block(before: int, channels: int) -> nn.Sequential:
    """Return two convolutions and squeeze-and-excitation."""
    return nn.Sequential(
        *(nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()),
        *(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()),
        SqueezeExcitation(channels, max(LEAST_EXCITED, channels // EXCITATION_RATIO), activation=nn.SiLU),
    )


def _convolution(before: int, channels: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution that keeps the variance through ReLU (He 2015); the default lets VGG's signal die."""
    made = nn.Conv2d(before, channels, 3, padding=1)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    if made.bias is not None:
        nn.init.zeros_(made.bias)
    return made


def _scaled(channels: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Return a part of each number of channels."""
    return tuple(max(1, round(width * one)) for one in channels)
