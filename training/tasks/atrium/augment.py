"""Cutting and varying patches: geometry jointly on image and mask, through one interpolation, then grey values."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from models.volume.grid import Triple
from training.tasks.atrium.recipe import VolumeAugmentation

Spacing = tuple[float, float, float]


class Patches:
    """Cuts patches out of volumes; everything is drawn from the generator that is given."""

    def __init__(self, settings: VolumeAugmentation, spacing_mm: Spacing, input_shape: Triple) -> None:
        self.settings, self.input_shape = settings, input_shape
        self.spacing = torch.tensor(spacing_mm)
        steps = [torch.arange(n) - (n - 1) / 2 for n in input_shape]
        self.offsets_mm = torch.stack(torch.meshgrid(*steps, indexing="ij"), dim=-1) * self.spacing  # z y x 3

    def __call__(self, pair: Tensor, centre: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Cut and vary one patch.

        Parameters
        ----------
        pair
            (2, slices, rows, columns), image in [0, 1] and the part of each voxel that the mask covers.
        centre
            (3,), the voxel about which the patch is cut.

        Returns
        -------
        Image and mask, each (1, *input_shape); outside the volume both are 0.
        """
        if _uniform((0, 1), generator) < self.settings.unchanged:
            moved = _sampled(pair, self.offsets_mm / self.spacing + centre)
            return moved[:1], moved[1:]
        matrix = _matrix(self.settings, generator)
        displaced = self.offsets_mm @ matrix.T + self._elastic(generator)
        moved = _sampled(pair, displaced / self.spacing + centre)
        return self._grey(moved[:1], generator), moved[1:]

    def _elastic(self, generator: Generator) -> Tensor:
        """Draw a smooth field of shifts in millimetres, (z, y, x, 3)."""
        knots = torch.randn((1, 3, *self.settings.elastic_knots), generator=generator)
        strength = _uniform((0, self.settings.elastic_mm), generator)
        return _smooth(knots * strength, self.input_shape)[0].permute(1, 2, 3, 0)

    def _grey(self, image: Tensor, generator: Generator) -> Tensor:
        """Vary the grey values of (1, z, y, x)."""
        settings = self.settings
        low, high = (math.log(edge) for edge in settings.gamma)
        image = image.clamp(0, 1) ** math.exp(_uniform((low, high), generator))
        knots = torch.randn((1, 1, 3, 3, 3), generator=generator) * _uniform((0, settings.bias), generator)
        image = image * _smooth(knots, self.input_shape)[0].exp()
        mean = image.mean()
        image = (image - mean) * _uniform(settings.contrast, generator) + mean
        image = image + _uniform((-settings.brightness, settings.brightness), generator)
        if _uniform((0, 1), generator) < settings.blur_probability:
            image = _averaged(image, generator)
        noise = torch.randn(image.shape, generator=generator) * _uniform((0, settings.noise), generator)
        return (image + noise).clamp(-0.25, 1.5)


def _matrix(settings: VolumeAugmentation, generator: Generator) -> Tensor:
    """Draw turns about the three axes, zoom and shear, as a matrix on (z, y, x) in millimetres."""
    matrix = torch.eye(3)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        angle = math.radians(_uniform((-settings.rotation_degrees, settings.rotation_degrees), generator))
        turn = torch.eye(3)
        turn[one, one] = turn[other, other] = math.cos(angle)
        turn[one, other], turn[other, one] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    zoom = _uniform(settings.scale, generator)
    axes = torch.tensor([zoom * _uniform((0.9, 1.1), generator) for _ in range(3)])
    shear = torch.eye(3) + torch.triu(torch.rand((3, 3), generator=generator) * 2 - 1, diagonal=1) * settings.shear
    return matrix @ shear @ torch.diag(1 / axes)


def _sampled(pair: Tensor, places: Tensor) -> Tensor:
    """Interpolate (2, z, y, x) linearly at voxel coordinates (z, y, x, 3)."""
    last = torch.tensor(pair.shape[1:]) - 1
    grid = (2 * places / last - 1).flip(-1)  # grid_sample takes x, y, z
    return functional.grid_sample(pair[None], grid[None], align_corners=True)[0]


def _smooth(knots: Tensor, shape: Triple) -> Tensor:
    """Widen (1, channels, *knots) to a shape: linear twice, which has no edges at the knots."""
    middle = [min(n, 4 * k) for n, k in zip(shape, knots.shape[2:], strict=True)]
    wide = functional.interpolate(knots, middle, mode="trilinear", align_corners=True)
    wide = functional.avg_pool3d(functional.pad(wide, (1, 1, 1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return functional.interpolate(wide, shape, mode="trilinear", align_corners=True)


def _averaged(image: Tensor, generator: Generator) -> Tensor:
    """Average over three voxels along some axes."""
    size = [3 if _uniform((0, 1), generator) < 0.5 else 1 for _ in range(3)]
    pad = [n // 2 for n in size]
    return functional.avg_pool3d(image[None], size, stride=1, padding=pad, count_include_pad=False)[0]


def _uniform(limits: tuple[float, float], generator: Generator) -> float:
    """Draw uniformly between two limits."""
    low, high = limits
    return low + (high - low) * float(torch.rand((), generator=generator))
