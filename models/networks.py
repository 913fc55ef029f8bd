"""Architectures by name. A bundle names one of these; its weights fill it strictly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import Tensor, nn

Architecture = Literal["unet-mobilenet_v2", "unet-resnet18", "mobilenet_v2", "efficientnet_b0"]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)

# Half of the library's default decoder: on two cores 65 instead of 93 ms an image to train at 256 pixels (bf16).
DECODER_CHANNELS = (128, 64, 32, 16, 16)


class Segmenter(nn.Module):
    """A U-Net that also gives the pooled features of its encoder, which the gate compares with known chests."""

    def __init__(self, encoder: str, labels: int) -> None:
        super().__init__()
        self.unet = smp.Unet(encoder, encoder_weights=None, classes=labels, decoder_channels=DECODER_CHANNELS)

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        module: nn.Module = self.unet.encoder
        return module

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Give logits (batch, labels, size, size) and pooled features (batch, channels) of (batch, 3, size, size)."""
        features = self.unet.encoder(image)
        logits = self.unet.segmentation_head(self.unet.decoder(features))
        return logits, features[-1].float().mean(dim=(2, 3))


class Classifier(nn.Module):
    """A torchvision classifier: logits (batch, labels) of (batch, 3, size, size)."""

    def __init__(self, build: Callable[..., nn.Module], labels: int) -> None:
        super().__init__()
        self.net = build(num_classes=labels)

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        return self.net

    def forward(self, image: Tensor) -> Tensor:
        """Give one logit for each label."""
        logits: Tensor = self.net(image)
        return logits


def build(architecture: str, labels: int) -> nn.Module:
    """Make the network `architecture` for `labels` outputs, with random weights.

    Raises
    ------
    ValueError
        The name is not one of `ARCHITECTURES`.
    """
    match architecture:
        case "unet-mobilenet_v2":
            return Segmenter("mobilenet_v2", labels)
        case "unet-resnet18":
            return Segmenter("resnet18", labels)
        case "mobilenet_v2":
            return Classifier(torchvision.models.mobilenet_v2, labels)
        case "efficientnet_b0":
            return Classifier(torchvision.models.efficientnet_b0, labels)
    raise ValueError(f"architecture {architecture!r} is none of {', '.join(ARCHITECTURES)}")


def three_channels(image: Tensor, *, scale: float, offset: float) -> Tensor:
    """Normalise (batch, 1, size, size) in [0, 1] to the network's (batch, 3, size, size), channels last."""
    return (image * scale + offset).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
