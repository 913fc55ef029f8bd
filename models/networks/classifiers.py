"""Classifiers: torchvision's and timm's, a small one, one for a single channel, and one that also says where."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from models.networks.output import Output


class Classifier(nn.Module):
    """A classifier of torchvision or timm: logits (batch, labels) of (batch, 3, size, size)."""

    def __init__(self, build: Callable[..., nn.Module], labels: int) -> None:
        super().__init__()
        self.net = build(num_classes=labels)

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        return self.net

    def forward(self, image: Tensor) -> Output:
        """Return one logit for each label."""
        return Output(self.net(image))


class SingleChannel(nn.Module):
    """ResNet-18 whose first convolution takes one channel.

    Serving and training give every network three equal channels; this one looks at the first. ImageNet weights of the
    first convolution are summed over its channels (training/fit/initial.py), which gives the same for equal channels.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.net = torchvision.models.resnet18(num_classes=labels)
        self.net.conv1 = nn.Conv2d(1, self.net.conv1.out_channels, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.net.conv1.weight, mode="fan_out", nonlinearity="relu")

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        module: nn.Module = self.net
        return module

    def forward(self, image: Tensor) -> Output:
        """Return one logit for each label of (batch, 1 or 3 equal channels, size, size)."""
        return Output(self.net(image[:, :1]))


class Baseline(nn.Module):
    """A plain CNN to compare with: five times convolution, norm, ReLU and pooling, then the average of the picture."""

    CHANNELS = (16, 32, 64, 128, 256)

    def __init__(self, labels: int) -> None:
        super().__init__()
        before = (3, *self.CHANNELS[:-1])
        self.features = nn.Sequential(*(_stage(one, other) for one, other in zip(before, self.CHANNELS, strict=True)))
        self.dropout = nn.Dropout(0.3)
        self.classify = nn.Linear(self.CHANNELS[-1], labels)

    @property
    def encoder(self) -> nn.Module:
        """The part that another run's weights may fill; there are no ImageNet weights of it."""
        module: nn.Module = self.features
        return module

    def forward(self, image: Tensor) -> Output:
        """Return one logit for each label, and the pooled features, of (batch, 3, size, size)."""
        pooled = self.features(image).float().mean(dim=(2, 3))
        return Output(self.classify(self.dropout(pooled)), features=pooled)


class LocatingClassifier(nn.Module):
    """MobileNetV2 that gathers evidence for each label at stride 16 beside the global average.

    The logit of a label is a linear function of the averaged features plus a learnt share of the soft maximum
    (log-mean-exp) of its map. Where masks or boxes are known, the map is trained on them; it is the heat map of the
    label. A small lesion, which an average over the picture dilutes, reaches the logit through the maximum.
    """

    FINE, FINE_CHANNELS, COARSE_CHANNELS, WIDTH = 14, 96, 1280, 96

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.backbone = torchvision.models.mobilenet_v2()
        self.backbone.classifier = nn.Identity()
        self.from_fine = nn.Conv2d(self.FINE_CHANNELS, self.WIDTH, 1)
        self.from_coarse = nn.Conv2d(self.COARSE_CHANNELS, self.WIDTH, 1)
        self.mix = nn.Sequential(
            nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(self.WIDTH), nn.ReLU()
        )
        self.locate = nn.Conv2d(self.WIDTH, labels, 1)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(self.COARSE_CHANNELS, labels)
        self.share = nn.Parameter(torch.full((labels,), 0.5))

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        module: nn.Module = self.backbone
        return module

    def forward(self, image: Tensor) -> Output:
        """Return logits (batch, labels) and maps (batch, labels, size / 16, size / 16) of (batch, 3, size, size)."""
        fine = self.backbone.features[: self.FINE](image)
        coarse = self.backbone.features[self.FINE :](fine)
        raised = functional.interpolate(self.from_coarse(coarse), fine.shape[-2:], mode="bilinear", align_corners=False)
        maps = self.locate(self.mix(self.from_fine(fine) + raised)).float()
        pooled = coarse.float().mean(dim=(2, 3))
        strongest = soft_maximum(maps)
        return Output(self.classify(self.dropout(pooled)) + self.share * strongest, maps=maps)


def _stage(before: int, channels: int) -> nn.Sequential:
    """Return one stage of the plain CNN."""
    convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2))


def soft_maximum(maps: Tensor, sharpness: float = 4.0) -> Tensor:
    """Return the log-mean-exp of (batch, labels, rows, columns) over places: between mean and maximum."""
    flat = maps.flatten(2) * sharpness
    places = torch.tensor(float(flat.shape[-1]), device=flat.device)
    return (flat.logsumexp(dim=-1) - places.log()) / sharpness
