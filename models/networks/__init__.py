"""Architectures by name. A bundle names one of these; its weights fill it strictly.

May import, of `models`: `image` and what stands below.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

import timm
import torch
import torchvision
from torch import Tensor, nn

from models.networks.boxes import BoxRegressor
from models.networks.classifiers import Baseline, Classifier, LocatingClassifier, SingleChannel
from models.networks.detectors import Detector
from models.networks.double import DoubleSegmenter
from models.networks.ensemble import Ensemble
from models.networks.nested import NestedSegmenter
from models.networks.output import Output
from models.networks.patient import WithPatient, headless
from models.networks.segmenters import Segmenter
from models.networks.volumes import VOLUME_ARCHITECTURES, build_volume

Architecture = Literal[
    "unet-mobilenet_v2",
    "unet-resnet18",
    "unet-tu-efficientnet_lite0",
    "unetpp-mobilenet_v2",
    "unetpp-resnet18",
    "unetpp-densenet121",
    "unetpp-efficientnet_b0",
    "double-unet-vgg19",
    "double-unet-vgg19-compact",
    "baseline-cnn",
    "mobilenet_v2",
    "resnet18-1ch",
    "densenet121",
    "efficientnet_b0",
    "tf_efficientnet_lite0",
    "mobilenet_v2-ensemble3",
    "mobilenet_v2-ensemble5",
    "efficientnet_b0-ensemble3",
    "efficientnet_b0-ensemble5",
    "mobilenet_v2-patient",
    "densenet121-patient",
    "efficientnet_b0-patient",
    "locating-mobilenet_v2",
    "box-mobilenet_v2",
    "retinanet-mobilenet_v2",
]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)
ENSEMBLE = "-ensemble"


def build(architecture: str, labels: int) -> nn.Module:  # noqa: PLR0912 - one case for each architecture
    """Make the network `architecture` for `labels` outputs, with random weights.

    Raises
    ------
    ValueError
        The name is neither one of `ARCHITECTURES` nor of `VOLUME_ARCHITECTURES`.
    """
    if architecture in VOLUME_ARCHITECTURES:
        return build_volume(architecture, labels)
    member, ensemble, members = architecture.partition(ENSEMBLE)
    if ensemble and architecture in ARCHITECTURES:
        return Ensemble(lambda: build(member, labels), int(members))
    match architecture:
        case "unet-mobilenet_v2" | "unet-resnet18":
            return Segmenter(architecture.removeprefix("unet-"), labels)
        case "unet-tu-efficientnet_lite0":
            return Segmenter("tu-tf_efficientnet_lite0", labels)  # the same weights fill tf_efficientnet_lite0
        case "unetpp-mobilenet_v2" | "unetpp-resnet18" | "unetpp-densenet121":
            return NestedSegmenter(architecture.removeprefix("unetpp-"), labels)
        case "unetpp-efficientnet_b0":
            return NestedSegmenter("tu-efficientnet_b0", labels)
        case "double-unet-vgg19":
            return DoubleSegmenter(labels)
        case "double-unet-vgg19-compact":
            return DoubleSegmenter(labels, width=0.25)
        case "baseline-cnn":
            return Baseline(labels)
        case "mobilenet_v2" | "densenet121" | "efficientnet_b0":
            return Classifier(getattr(torchvision.models, architecture), labels)
        case "tf_efficientnet_lite0":
            return Classifier(partial(timm.create_model, architecture), labels)
        case "resnet18-1ch":
            return SingleChannel(labels)
        case "mobilenet_v2-patient" | "densenet121-patient" | "efficientnet_b0-patient":
            made = getattr(torchvision.models, architecture.removesuffix("-patient"))()
            return WithPatient(*headless(made), labels)
        case "locating-mobilenet_v2":
            return LocatingClassifier(labels)
        case "box-mobilenet_v2":
            return BoxRegressor(labels)
        case "retinanet-mobilenet_v2":
            return Detector(labels)
    raise ValueError(f"architecture {architecture!r} is none of {', '.join((*ARCHITECTURES, *VOLUME_ARCHITECTURES))}")


def three_channels(image: Tensor, *, scale: float, offset: float) -> Tensor:
    """Normalise (batch, 1, size, size) in [0, 1] to the network's (batch, 3, size, size), channels last."""
    return (image * scale + offset).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


__all__ = ["ARCHITECTURES", "Architecture", "Output", "build", "three_channels"]
