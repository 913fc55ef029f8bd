"""Detection of any number of boxes."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork

from models.networks.output import Output

WIDTH = 96
# Of strides 16 and 32, in pixels of a grid of 320: opacities of the training set are 45 to 90 wide, 45 to 160 high.
ANCHOR_SIZES = ((44, 64), (90, 128))
ASPECT_RATIOS = (1.0, 1.5, 2.2)
MOST = 8


class Pyramid(nn.Module):
    """MobileNetV2 and a feature pyramid of strides 16 and 32: no opacity is small enough for finer ones."""

    FINE, FINE_CHANNELS, COARSE_CHANNELS = 14, 96, 1280

    def __init__(self) -> None:
        super().__init__()
        self.body = torchvision.models.mobilenet_v2()
        self.body.classifier = nn.Identity()
        self.pyramid = FeaturePyramidNetwork([self.FINE_CHANNELS, self.COARSE_CHANNELS], WIDTH)
        self.out_channels = WIDTH

    def forward(self, image: Tensor) -> OrderedDict[str, Tensor]:
        """Return the two levels of (batch, 3, size, size)."""
        fine = self.body.features[: self.FINE](image)
        coarse = self.body.features[self.FINE :](fine)
        levels: OrderedDict[str, Tensor] = self.pyramid(OrderedDict([("fine", fine), ("coarse", coarse)]))
        return levels


class Detector(nn.Module):
    """RetinaNet (Lin 2017) over `Pyramid`, with narrow heads."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        anchors = AnchorGenerator(ANCHOR_SIZES, (ASPECT_RATIOS,) * len(ANCHOR_SIZES))
        per_place = anchors.num_anchors_per_location()[0]
        self.net = RetinaNet(
            Pyramid(),
            num_classes=labels,
            anchor_generator=anchors,
            head=RetinaNetHead(WIDTH, per_place, labels, norm_layer=partial(nn.GroupNorm, 16)),
            image_mean=[0.0] * 3,
            image_std=[1.0] * 3,
            score_thresh=0.02,
            nms_thresh=0.2,
            detections_per_img=MOST,
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.4,
            _skip_resize=True,
        )

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        body: nn.Module = self.net.backbone.body
        return body

    def losses(self, image: Tensor, boxes: list[Tensor], labels: list[Tensor]) -> dict[str, Tensor]:
        """Return the focal loss and the L1 loss of the boxes; only in training mode.

        Parameters
        ----------
        image
            (batch, 3, size, size), normalised.
        boxes
            Of each image (n, 4), x0, y0, x1, y1 in pixels of the model grid, each with an area; n may be 0.
        labels
            Of each image (n,), int64.
        """
        targets = [{"boxes": b, "labels": n} for b, n in zip(boxes, labels, strict=True)]
        found: dict[str, Tensor] = self.net(list(image), targets)
        return found

    def forward(self, image: Tensor) -> Output:
        """Return detections (batch, MOST, 6) of (batch, 3, size, size); only in evaluation mode.

        Columns are x0, y0, x1, y1 in pixels of the model grid, score in [0, 1] and label, best first; rows without a
        detection are 0, so their score is 0. These are no logits.
        """
        rows = torch.zeros(len(image), MOST, 6, device=image.device)
        for place, one in enumerate(self.net(list(image))):
            values = torch.cat([one["boxes"], one["scores"][:, None], one["labels"][:, None].float()], dim=1)
            rows[place, : len(values)] = values
        return Output(rows)
