"""Decode each data set once, through the preprocessing of serving, into uint8 arrays on the model grid.

A cache folder holds `ids.json` and `images.npy` (images, size, size), contrast already stretched, and where the set
has masks `masks.npy` (images, channels, size, size): the covered part of each pixel, 255 for all of it. Three
channels are right lung, left lung and heart; six are these and where each of them is known; two (nih) are
pneumothorax and the boxes of lung opacity. Where the input is the lung region, the shipped lungs-heart bundle finds it.
A killed run goes on where it stopped (training/arrays.py), a finished one is opened.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import bundle, pixels
from models.chest import ChestAnalyser
from models.findings import Box
from models.inputs import InputSpec, ModelInput, prepare, rows_and_columns
from training import arrays, partial, sources
from training.progress import Shown, Told, silent
from training.sources import LabelledBox, Record, Volume

Array = NDArray[np.uint8]
# Part of the folder names: raised when a set is decoded in another way.
REVISION = 2
# Finds the lungs for inputs whose region is "lungs"; part of the folder names, too.
SEGMENTER = "lungs-heart"


@dataclass(frozen=True)
class Sample:
    """One image with the masks (channels, rows, columns; values 0 to 255) that its set has.

    Both are there, or are read when they are asked for; of one set all images have masks, or none.
    """

    id: str
    radiograph: pixels.Radiograph | Callable[[], pixels.Radiograph]
    masks: Array | Callable[[], Array] | None = None

    def read(self) -> tuple[pixels.Radiograph, Array | None]:
        """Give image and masks."""
        return (
            self.radiograph() if callable(self.radiograph) else self.radiograph,
            self.masks() if callable(self.masks) else self.masks,
        )


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


def build(data: Path, name: str, spec: InputSpec, cache: Path, progress: Shown = silent) -> Cache:
    """Decode what has not been decoded before of the set `name`, and open it."""
    folder = folder_of(cache, name, spec)
    if not arrays.whole(folder):
        with arrays.alone(folder):
            if not arrays.whole(folder):
                _write(list(READERS[name](data)), spec, folder, progress(name))
    return Cache.open(folder)


def _write(samples: list[Sample], spec: InputSpec, folder: Path, progress: AbstractContextManager[Told]) -> None:
    """Write the arrays."""
    find_lungs = lung_finder() if spec.region == "lungs" else _no_lungs

    def row(index: int) -> dict[str, Array]:
        radiograph, masks = samples[index].read()
        given = prepare(radiograph, spec, find_lungs(radiograph))
        made = {"images": _to_uint8(given.image)}
        return made if masks is None else made | {"masks": np.stack([_mask_on_grid(mask, given) for mask in masks])}

    with progress as told:
        arrays.fill(folder, [sample.id for sample in samples], row, told)


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


def _ctr(data: Path) -> Iterator[Sample]:
    """Adults: right lung, left lung, heart."""
    for record in sources.read("ctr", data).records:
        yield Sample(record.id, record.image, record.mask)


def _kermany(data: Path) -> Iterator[Sample]:
    """Children: three targets and three weights, see training/partial.py (all 0: no mask)."""
    for record in sources.read("kermany", data).records:
        yield Sample(record.id, record.image, functools.partial(_lung_targets, record))


def _lung_targets(record: Record) -> Array:
    """Give what is known of the lungs."""
    return np.zeros((6, *record.image().shape), np.uint8) if record.mask is None else partial.targets(record.mask()[0])


def _nih(data: Path) -> Iterator[Sample]:
    """Frontal radiographs of adults and children: pneumothorax masks, boxes of lung opacity (0: none or unknown)."""
    outlined = {record.id: record for record in sources.read("siim", data).records}
    boxed = {record.id: record.boxes or () for record in sources.read("rsna", data).records}
    for record in sources.read("nih", data).records:
        lesion = outlined.get(record.id)
        yield Sample(record.id, record.image, functools.partial(_lesions, record, lesion, boxed.get(record.id, ())))


def _lesions(record: Record, lesion: Record | None, boxes: tuple[LabelledBox, ...]) -> Array:
    """Give the outline of a pneumothorax and the filled boxes."""
    shape = record.image().shape
    filled = np.zeros(shape, np.uint8)
    for box in boxes:
        x, y, width, height = (round(one) for one in (box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0))
        filled[y : y + height, x : x + width] = 255
    outline = np.zeros(shape, np.uint8) if lesion is None or lesion.mask is None else lesion.mask()[0]
    return np.stack([outline, filled])


def _atrium(data: Path) -> Iterator[Sample]:
    """Every eighth MR slice, named volume-slice: pictures that are no radiographs."""
    for record in sources.read("atrium", data).records:
        if record.volume is not None:
            for index in range(4, len(record.volume().image), 8):
                yield Sample(f"{record.id}-{index:02d}", functools.partial(_slice, record.volume, index))


def _slice(volume: Callable[[], Volume], index: int) -> pixels.Radiograph:
    """Show one slice."""
    return pixels.from_array(np.ascontiguousarray(volume().image[index], np.uint8))


READERS: dict[str, Callable[[Path], Iterable[Sample]]] = {
    "ctr": _ctr,
    "kermany": _kermany,
    "nih": _nih,
    "atrium": _atrium,
}
