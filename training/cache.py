"""Decode each data set once, through the preprocessing of serving, into uint8 arrays on the model grid.

A cache folder holds `ids.json` and `images.npy` (images, size, size), contrast already stretched, and where the set
has masks `masks.npy` (images, channels, size, size): the covered part of each pixel, 255 for all of it. Three
channels are right lung, left lung and heart; six are these and where each of them is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import pixels
from models.geometry import Letterbox
from models.inputs import InputSpec, prepare
from training import partial
from training.splits import read_table

Array = NDArray[np.uint8]
# Part of the folder names: raised when a set is decoded in another way.
REVISION = 2


@dataclass(frozen=True)
class Sample:
    """One decoded image with the masks (channels, rows, columns; values 0 to 255) that its set has."""

    id: str
    radiograph: pixels.Radiograph
    masks: Array | None = None


@dataclass(frozen=True)
class Cache:
    """A set on the model grid; arrays are memory-mapped and only read."""

    ids: tuple[str, ...]
    images: Array
    masks: Array | None

    @classmethod
    def open(cls, folder: Path) -> Cache:
        """Open what `build` wrote."""
        masks = folder / "masks.npy"
        return cls(
            tuple(json.loads((folder / "ids.json").read_text())),
            np.load(folder / "images.npy", mmap_mode="r"),
            np.load(masks, mmap_mode="r") if masks.exists() else None,
        )

    def rows(self, ids: tuple[str, ...]) -> list[int]:
        """Give the positions of `ids`."""
        place = {name: index for index, name in enumerate(self.ids)}
        return [place[name] for name in ids]


def folder_of(cache: Path, name: str, spec: InputSpec) -> Path:
    """Give the folder of the set `name` for one input geometry."""
    low, high = spec.contrast_percentiles
    return cache / f"{name}-{spec.size}-p{low:g}-{high:g}-r{REVISION}"


def build(data: Path, name: str, spec: InputSpec, cache: Path) -> Cache:
    """Decode the set `name` unless that was done before, and open it."""
    folder = folder_of(cache, name, spec)
    if not (folder / "ids.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(READERS[name](data), spec, folder)
    return Cache.open(folder)


def _write(samples: Iterator[Sample], spec: InputSpec, folder: Path) -> None:
    """Write the arrays, and the ids last: they say that the rest is whole."""
    ids: list[str] = []
    images: list[Array] = []
    masks: list[Array] = []
    for sample in samples:
        given = prepare(sample.radiograph, spec)
        ids.append(sample.id)
        images.append(_to_uint8(given.image))
        if sample.masks is not None:
            masks.append(np.stack([_mask_on_grid(mask, given.letterbox) for mask in sample.masks]))
    np.save(folder / "images.npy", np.stack(images))
    if masks:
        np.save(folder / "masks.npy", np.stack(masks))
    (folder / "ids.json").write_text(json.dumps(ids))


def _mask_on_grid(mask: Array, letterbox: Letterbox) -> Array:
    """Give the covered part of each model pixel."""
    return _to_uint8(letterbox.forward(mask.astype(np.float32) / np.float32(255)))


def _to_uint8(values: NDArray[np.float32]) -> Array:
    """Quantise [0, 1]."""
    return np.rint(values * 255).astype(np.uint8)


def _gray(path: Path) -> Array:
    """Read an image file as one 8-bit channel."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def _ctr(data: Path) -> Iterator[Sample]:
    """Adults: right lung, left lung, heart."""
    for row in read_table(data, "ctr"):
        bits = _gray_bits(data / "ctr" / "masks" / f"{row['id']}.png")
        masks = np.stack([np.where(bits & bit, 255, 0).astype(np.uint8) for bit in (1, 2, 4)])
        image = _gray(data / "ctr" / "images" / f"{row['id']}.jpg")
        yield Sample(row["id"], pixels.from_array(image), masks)


def _gray_bits(path: Path) -> Array:
    """Read a PNG whose grey values are bit fields."""
    with Image.open(path) as image:
        return np.asarray(image)


def _kermany(data: Path) -> Iterator[Sample]:
    """Children: three targets and three weights, see training/partial.py (all 0: no mask)."""
    for row in read_table(data, "kermany"):
        image = _gray(data / "kermany" / "images" / f"{row['id']}.jpg")
        # The files are squashed to a square; the original had square pixels.
        aspect = float(row["original_height"]) / float(row["original_width"])
        path = data / "kermany" / "lungs" / f"{row['id']}.png"
        masks = partial.targets(_gray(path)) if path.exists() else np.zeros((6, *image.shape), np.uint8)
        yield Sample(row["id"], pixels.from_array(image, aspect=aspect), masks)


def _nih(data: Path) -> Iterator[Sample]:
    """Frontal radiographs of adults and children without masks, for the gate."""
    for row in read_table(data, "nih"):
        yield Sample(row["id"], pixels.from_array(_gray(data / "nih" / "images" / f"{row['id']}.jpg")))


def _atrium(data: Path) -> Iterator[Sample]:
    """Every eighth MR slice, named volume-slice: pictures that are no radiographs."""
    for row in read_table(data, "atrium"):
        with np.load(data / "atrium" / f"{row['id']}.npz") as volume:
            image = volume["image"]
        planes = image if image.shape[0] == int(row["slices"]) else np.moveaxis(image, -1, 0)
        for index in range(4, len(planes), 8):
            yield Sample(f"{row['id']}-{index:02d}", pixels.from_array(np.ascontiguousarray(planes[index])))


READERS: dict[str, Callable[[Path], Iterator[Sample]]] = {
    "ctr": _ctr,
    "kermany": _kermany,
    "nih": _nih,
    "atrium": _atrium,
}
