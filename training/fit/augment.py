"""Variation of training images with torchvision.transforms.v2, geometry jointly on image and masks.

Mirroring is off unless a recipe asks for it: a mirrored chest has its heart, stomach and aortic arch on the wrong side,
which is a rare disease (situs inversus) and no variation, and a network that tells right from left cannot learn both.
Recipes allow it only for findings that occur on either side and are reported without a side. Never upside down, nor by
quarter turns: a chest radiograph in such a position is for the gate to refuse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from training.config import Augmentation


class Augment:
    """Vary an image and its masks; draws from torch's generator, which the trainer seeds."""

    def __init__(self, settings: Augmentation) -> None:
        self.settings = settings
        steps: list[torch.nn.Module] = [
            v2.RandomAffine(
                degrees=settings.rotation_degrees,
                translate=(settings.translation, settings.translation),
                scale=settings.scale,
                shear=[-settings.shear_degrees, settings.shear_degrees] * 2,
                interpolation=v2.InterpolationMode.BILINEAR,
            )
        ]
        if settings.horizontal_flip:
            steps.append(v2.RandomHorizontalFlip())
        self.geometry = v2.Compose(steps)
        self.blur = v2.RandomApply([v2.GaussianBlur(5, sigma=(0.3, 1.2))], p=settings.blur_probability)

    def __call__(self, image: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Vary `image` (1, size, size) and `masks` (channels, size, size), both in [0, 1].

        Image and masks go through the geometry as one stack: masks are covered parts and are interpolated alike.
        """
        stack = image if masks is None else torch.cat([image, masks])
        if self.settings.stretch != (1.0, 1.0):
            stack = stretched(stack, _uniform_log(self.settings.stretch))
        moved = self.geometry(tv_tensors.Image(stack)).as_subclass(Tensor)
        return self._grey(moved[:1]), None if masks is None else moved[1:]

    def _grey(self, image: Tensor) -> Tensor:
        """Vary the grey values."""
        gamma = _uniform(self.settings.gamma)
        contrast = _uniform(self.settings.contrast)
        shift = _uniform((-self.settings.brightness, self.settings.brightness))
        if float(torch.rand(())) < self.settings.opacity_probability:
            image = with_opacities(image)
        varied = (image.clamp(0, 1) ** gamma - 0.5) * contrast + 0.5 + shift
        varied = self.blur(varied)
        noise = torch.randn_like(varied) * _uniform((0.0, self.settings.noise))
        return (varied + noise).clamp(0, 1)


def stretched(stack: Tensor, factor: float) -> Tensor:
    """Make (channels, size, size) narrower or lower about its middle: width over height times `factor`."""
    size = stack.shape[-1]
    wide, high = (size, max(1, round(size / factor))) if factor >= 1 else (max(1, round(size * factor)), size)
    small = v2.functional.resize(stack, [high, wide], antialias=True)
    top, left = (size - high) // 2, (size - wide) // 2
    return v2.functional.pad(small, [left, top, size - wide - left, size - high - top])


def with_opacities(image: Tensor) -> Tensor:
    """Lay one to three soft bright ellipses over (1, size, size), up to half of the way to white."""
    grid = torch.linspace(-1, 1, image.shape[-1])
    for _ in range(int(torch.randint(1, 4, ()))):
        row, column = _uniform((-0.6, 0.7)), _uniform((-0.8, 0.8))
        high, wide = _uniform((0.1, 0.5)), _uniform((0.1, 0.4))
        distance = ((grid[:, None] - row) / high) ** 2 + ((grid[None, :] - column) / wide) ** 2
        image = image + _uniform((0.1, 0.5)) * torch.sigmoid((1 - distance) * 4) * (1 - image)
    return image


def _uniform_log(limits: tuple[float, float]) -> float:
    """Draw between two limits so that a factor and its inverse are equally likely."""
    return math.exp(_uniform((math.log(limits[0]), math.log(limits[1]))))


def _uniform(limits: tuple[float, float]) -> float:
    """Draw uniformly between two limits."""
    return float(torch.empty(()).uniform_(*limits))
