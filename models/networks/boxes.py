"""Regression of one box for each label."""

from __future__ import annotations

import torchvision
from torch import Tensor, nn

from models.networks.output import Output


class BoxRegressor(nn.Module):
    """MobileNetV2 with a head that sees where its features lie.

    The features of stride 32 are pooled to a fixed grid and flattened, not averaged: an average over the picture
    forgets the place, which is all that a box is.
    """

    CHANNELS, WIDTH, GRID = 1280, 64, 8

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.backbone = torchvision.models.mobilenet_v2()
        self.backbone.classifier = nn.Identity()
        self.narrow = nn.Sequential(
            nn.Conv2d(self.CHANNELS, self.WIDTH, 1, bias=False), nn.BatchNorm2d(self.WIDTH), nn.ReLU()
        )
        self.pool = nn.AdaptiveAvgPool2d(self.GRID)
        self.regress = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(self.WIDTH * self.GRID**2, 128),
            nn.ReLU(),
            nn.Linear(128, 4 * labels),
        )

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        module: nn.Module = self.backbone
        return module

    def forward(self, image: Tensor) -> Output:
        """Return boxes (batch, labels, 4) of (batch, 3, size, size).

        Edges are xmin, ymin, xmax, ymax as parts of the model grid's edge, in [0, 1]; xmax and ymax are exclusive.
        """
        features = self.narrow(self.backbone.features(image))
        edges: Tensor = self.regress(self.pool(features).flatten(1)).float().sigmoid()
        return Output(edges.reshape(len(edges), -1, 4))
