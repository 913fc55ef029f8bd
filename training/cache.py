"""Decode each data set once, through the preprocessing of serving, into uint8 arrays on the model grid.

A cache folder holds `ids.json` and `images.npy` (images, size, size), contrast already stretched, and where the set
has masks `masks.npy` (images, channels, size, size): the covered part of each pixel, 255 for all of it. Three
channels are right lung, left lung and heart; six are these and where each of them is known; two (nih) are
pneumothorax and the boxes of lung opacity. Where the input is the lung region, the shipped lungs-heart bundle finds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import bundle, pixels
from models.chest import ChestAnalyser
from models.findings import Box
from models.inputs import InputSpec, ModelInput, prepare, rows_and_columns
from training import partial
from training.splits import read_table

Array = NDArray[np.uint8]
# Part of the folder names: raised when a set is decoded in another way.
REVISION = 2
# Finds the lungs for inputs whose region is "lungs"; part of the folder names, too.
SEGMENTER = "lungs-heart"


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

    def present(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        """Keep the ids that this cache has: a committed split may name more than the data at hand."""
        here = set(self.ids)
        return tuple(one for one in ids if one in here)

    def rows(self, ids: tuple[str, ...]) -> list[int]:
        """Give the positions of `ids`."""
        place = {name: index for index, name in enumerate(self.ids)}
        return [place[name] for name in ids]


def folder_of(cache: Path, name: str, spec: InputSpec) -> Path:
    """Give the folder of the set `name` for one input geometry."""
    low, high = spec.contrast_percentiles
    region = f"-lungs{spec.margin:g}-{_segmenter().digest[:8]}" if spec.region == "lungs" else ""
    return cache / f"{name}-{spec.size}-p{low:g}-{high:g}-r{REVISION}{region}"


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
    find_lungs = lung_finder() if spec.region == "lungs" else _no_lungs
    for sample in samples:
        given = prepare(sample.radiograph, spec, find_lungs(sample.radiograph))
        ids.append(sample.id)
        images.append(_to_uint8(given.image))
        if sample.masks is not None:
            masks.append(np.stack([_mask_on_grid(mask, given) for mask in sample.masks]))
    np.save(folder / "images.npy", np.stack(images))
    if masks:
        np.save(folder / "masks.npy", np.stack(masks))
    (folder / "ids.json").write_text(json.dumps(ids))


def lung_finder() -> Callable[[pixels.Radiograph], Box | None]:
    """Give the function that finds the box of both lungs, as serving does."""
    analyser = ChestAnalyser.load([_segmenter()])
    return lambda radiograph: analyser.lungs_of(analyser.segment(radiograph), radiograph)


def _segmenter() -> bundle.Bundle:
    """Load the newest shipped lungs-heart bundle."""
    return [one for one in bundle.find(bundle.shipped()) if one.manifest.name == SEGMENTER][-1]


def _no_lungs(radiograph: pixels.Radiograph) -> None:
    """Leave the whole picture."""


def _mask_on_grid(mask: Array, given: ModelInput) -> Array:
    """Give the covered part of each model pixel."""
    part = mask[rows_and_columns(given.region)]
    return _to_uint8(given.letterbox.forward(part.astype(np.float32) / np.float32(255)))


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
    """Frontal radiographs of adults and children: pneumothorax masks, boxes of lung opacity (0: none or unknown)."""
    for row in read_table(data, "nih"):
        image = _gray(data / "nih" / "images" / f"{row['id']}.jpg")
        path = data / "nih" / "pneumothorax" / f"{row['id']}.png"
        lesion = np.where(_gray_bits(path) > 0, 255, 0).astype(np.uint8) if path.exists() else np.zeros_like(image)
        boxes = _filled(row["rsna_boxes_xywh_1024"], image.shape)
        yield Sample(row["id"], pixels.from_array(image), np.stack([lesion, boxes]))


def _filled(boxes: str, shape: tuple[int, ...]) -> Array:
    """Fill the boxes "x,y,width,height|..." given in pixels of a picture of 1024 x 1024."""
    picture = np.zeros(shape, np.uint8)
    factor = shape[0] / 1024
    for box in filter(None, boxes.replace(";", "|").split("|")):
        x, y, width, height = (round(float(part) * factor) for part in box.split(","))
        picture[y : y + height, x : x + width] = 255
    return picture


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
