"""Architectures by name. A bundle names one of these; its weights fill it strictly."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torchvision
from torch import Tensor, nn

from models.networks.classifiers import Classifier, LocatingClassifier
from models.networks.output import Output
from models.networks.segmenters import Segmenter

Architecture = Literal["unet-mobilenet_v2", "unet-resnet18", "mobilenet_v2", "efficientnet_b0", "locating-mobilenet_v2"]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)


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
        case "locating-mobilenet_v2":
            return LocatingClassifier(labels)
    raise ValueError(f"architecture {architecture!r} is none of {', '.join(ARCHITECTURES)}")


def three_channels(image: Tensor, *, scale: float, offset: float) -> Tensor:
    """Normalise (batch, 1, size, size) in [0, 1] to the network's (batch, 3, size, size), channels last."""
    return (image * scale + offset).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


__all__ = ["ARCHITECTURES", "Architecture", "Output", "build", "three_channels"]
