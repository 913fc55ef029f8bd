"""Variation of training images with boxes: geometry jointly on the image and its boxes, then grey values.

What a box stands around is round, not square. So it is not the corners that are turned with the image, which would
make every box larger, but the ellipse within the box; the new box is the one around the turned ellipse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from training.config import Augmentation
from training.fit.augment import Augment

POINTS = 48


class BoxAugment:
    """Vary an image and its boxes; draws from torch's generator, which the trainer seeds."""

    def __init__(self, settings: Augmentation) -> None:
        self.geometry = v2.RandomAffine(
            degrees=settings.rotation_degrees,
            translate=(settings.translation, settings.translation),
            scale=settings.scale,
            shear=[-settings.shear_degrees, settings.shear_degrees] * 2,
            interpolation=v2.InterpolationMode.BILINEAR,
        )
        self.mirror = settings.horizontal_flip
        still = {"rotation_degrees": 0.0, "translation": 0.0, "scale": (1.0, 1.0), "shear_degrees": 0.0}
        self.grey = Augment(settings.model_copy(update={**still, "horizontal_flip": False}))

    def __call__(self, image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Vary `image` (1, size, size) in [0, 1] and `boxes` (n, 4), x0, y0, x1, y1 in pixels of the model grid.

        Returns
        -------
        The image, and the boxes cut at its edges: one that left the picture has no area.
        """
        size = image.shape[-1]
        points = tv_tensors.KeyPoints(ellipses(boxes), canvas_size=(size, size))
        moved, turned = self.geometry(tv_tensors.Image(image), points)
        plain, around = moved.as_subclass(Tensor), boxes_around(turned.as_subclass(Tensor)).clamp(0, size)
        if self.mirror and float(torch.rand(())) < 0.5:
            # Not v2's: it mirrors points as pixel numbers (size - 1 - x) but turns them as edges, a pixel apart.
            plain, around = (
                plain.flip(-1),
                torch.stack([size - around[:, 2], around[:, 1], size - around[:, 0], around[:, 3]], dim=1),
            )
        varied, _ = self.grey(plain)
        return varied, around


def ellipses(boxes: Tensor) -> Tensor:
    """Return points (n, POINTS, 2), x and y, on the ellipse within each box (n, 4)."""
    angle = torch.arange(POINTS) * (2 * math.pi / POINTS)
    circle = torch.stack([angle.cos(), angle.sin()], dim=-1)
    centre, half = (boxes[:, 2:] + boxes[:, :2]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return centre[:, None] + half[:, None] * circle


def boxes_around(points: Tensor) -> Tensor:
    """Return the boxes (n, 4) around points (n, POINTS, 2)."""
    return torch.cat([points.amin(dim=1), points.amax(dim=1)], dim=1)
