"""Pictures that are no upright frontal chest radiograph, made from the training images and from noise.

The segmentation network learns to answer them with empty masks. Samples of other body parts in DICOM are never used
here: they are test objects.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.image import pixels
from training.data import collection
from training.data.collection import Collection
from training.data.sources import Record, Volume

# Of the MR volumes one slice in so many, from this one on.
EVERY, FIRST = 8, 4


def quarter_turn(image: Tensor) -> Tensor:
    """Turn (1, size, size) by 90 or 270 degrees."""
    return torch.rot90(image, int(torch.randint(0, 2, ())) * 2 + 1, (-2, -1))


def upside_down(image: Tensor) -> Tensor:
    """Turn by 180 degrees, or flip head to foot."""
    return torch.rot90(image, 2, (-2, -1)) if torch.rand(()) < 0.5 else image.flip(-2)


def inverted(image: Tensor) -> Tensor:
    """Exchange black and white: a polarity that the header got wrong must not be measured."""
    return 1 - image


def cut_out(image: Tensor) -> Tensor:
    """Enlarge a small part, between 18 and 30 percent of the edge: tissue without anatomy."""
    size = image.shape[-1]
    edge = int(size * (0.18 + 0.12 * float(torch.rand(()))))
    top, left = (int(torch.randint(0, size - edge, ())) for _ in range(2))
    return _enlarge(image[:, top : top + edge, left : left + edge], size)


def shuffled(image: Tensor) -> Tensor:
    """Exchange the four quarters: the right texture, the wrong body."""
    order = torch.randperm(4)
    half = image.shape[-1] // 2
    quarters = [image[:, r : r + half, c : c + half] for r in (0, half) for c in (0, half)]
    a, b, c, d = (quarters[int(i)] for i in order)
    if torch.equal(order, torch.arange(4)):
        a, d = d, a
    return torch.cat([torch.cat([a, b], -1), torch.cat([c, d], -1)], -2)


def noise(image: Tensor) -> Tensor:
    """Draw noise of a random grain, or nothing but one grey value."""
    grain = int(2 ** torch.randint(0, 8, ()))
    rough = torch.rand(1, *(max(1, edge // grain) for edge in image.shape[-2:]))
    return _enlarge(rough, image.shape[-1])


def gradient(image: Tensor) -> Tensor:
    """Draw a ramp of grey in a random direction."""
    size = image.shape[-1]
    angle = float(torch.rand(())) * 6.2832
    axis = torch.linspace(-1, 1, size)
    ramp = torch.cos(torch.tensor(angle)) * axis[None, :] + torch.sin(torch.tensor(angle)) * axis[:, None]
    return ((ramp - ramp.min()) / (ramp.max() - ramp.min()))[None]


def shapes(image: Tensor) -> Tensor:
    """Draw soft bright and dark ellipses on grey, the outlines of limbs and other body parts."""
    size = image.shape[-1]
    grid = torch.linspace(-1, 1, size)
    picture = torch.full((size, size), float(torch.rand(())) * 0.5)
    for _ in range(int(torch.randint(1, 6, ()))):
        row, column = (torch.rand(2) * 2 - 1).tolist()
        high, wide = (torch.rand(2) * 0.7 + 0.1).tolist()
        distance = ((grid[:, None] - row) / high) ** 2 + ((grid[None, :] - column) / wide) ** 2
        picture = picture + (float(torch.rand(())) * 1.2 - 0.4) * torch.sigmoid((1 - distance) * 6)
    return picture.clamp(0, 1)[None] * 0.95 + 0.05 * torch.rand(1, size, size)


MAKERS: tuple[Callable[[Tensor], Tensor], ...] = (
    quarter_turn,
    quarter_turn,
    upside_down,
    upside_down,
    inverted,
    cut_out,
    shuffled,
    noise,
    gradient,
    shapes,
)


def draw(image: Tensor) -> Tensor:
    """Make one picture of a kind drawn at random; `image` (1, size, size) in [0, 1] gives texture to some kinds."""
    return MAKERS[int(torch.randint(0, len(MAKERS), ()))](image)


def _enlarge(image: Tensor, size: int) -> Tensor:
    """Interpolate (1, rows, columns) to (1, size, size)."""
    return functional.interpolate(image[None], (size, size), mode="bilinear", align_corners=False)[0]


def mr_slices(data: Path) -> Collection:
    """Return some slices of the MR volumes, named volume-slice, in the split of their volume."""
    volumes = collection.read(data, collection.SHIPPED["atrium"])
    records: dict[str, Record] = {}
    part_of: dict[str, str] = {}
    for one in volumes.records.values():
        if one.volume is not None:
            for index in range(FIRST, len(one.volume().image), EVERY):
                name = f"{one.id}-{index:02d}"
                picture = functools.partial(_slice, one.volume, index)
                records[name] = replace(one, id=name, image=picture, volume=None)
                part_of[name] = volumes.part_of[one.id]
    return replace(volumes, name="atrium-slices", records=records, part_of=part_of)


def _slice(volume: Callable[[], Volume], index: int) -> pixels.Radiograph:
    """Show one slice."""
    return pixels.from_array(np.ascontiguousarray(volume().image[index], np.uint8))
