"""Decode the images of a collection once, through the preprocessing of serving, into uint8 arrays on the model grid.

A cache folder holds `ids.json` and `images.npy` (images, size, size), contrast already stretched, and for targets with
a place `masks.npy` (images, channels, size, size), see training/data/masks.py: the covered part of each pixel, 255 for
all of it. Where the input is the lung region, the shipped lungs-heart bundle finds it. The folder's name says what it
was made of and how. A killed run goes on where it stopped (training/data/arrays.py), a finished one is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.bundle import store
from models.chest.analyser import ChestAnalyser
from models.errors import ModelsError
from models.image import pixels
from models.image.inputs import InputSpec, ModelInput, prepare, rows_and_columns
from models.values.findings import Box
from training.data import arrays
from training.data.collection import Collection
from training.data.masks import Masks
from training.data.sources import Record, SourceRefused
from training.progress import OnProgress, ProgressFactory, silent

Array = NDArray[np.uint8]
# Part of the folder names: raised when images are decoded in another way.
REVISION = 3
# Finds the lungs for inputs whose region is "lungs"; part of the folder names, too.
SEGMENTER = "lungs-heart"


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
        """Return the positions of `ids`."""
        place = {name: index for index, name in enumerate(self.ids)}
        return [place[name] for name in ids]


def folder_of(cache: Path, images: Collection, spec: InputSpec, targets: Masks | None) -> Path:
    """Return the folder of a collection for one input geometry and one kind of masks."""
    low, high = spec.contrast_percentiles
    found_by = _segmenter().manifest.files[store.WEIGHTS][:8] if spec.region == "lungs" else ""
    region = f"-lungs{spec.margin:g}-{found_by}" if found_by else ""
    kind = "" if targets is None else f"-{targets.__name__}"
    return cache / f"{images.name}-{images.digest()}-{spec.size}-p{low:g}-{high:g}-r{REVISION}{region}{kind}"


def build(
    images: Collection,
    spec: InputSpec,
    cache: Path,
    *,
    targets: Masks | None = None,
    progress: ProgressFactory = silent,
) -> Cache:
    """Decode what has not been decoded before, and open it.

    Parameters
    ----------
    targets
        Which masks to keep beside the images (training/data/masks.py); None: none.
    """
    folder = folder_of(cache, images, spec, targets)
    if not arrays.is_complete(folder):
        with arrays.exclusive_lock(folder):
            if not arrays.is_complete(folder):
                _write(list(images.records.values()), spec, targets, folder, progress(images.name))
    return Cache.open(folder)


def _write(
    records: list[Record],
    spec: InputSpec,
    targets: Masks | None,
    folder: Path,
    progress: AbstractContextManager[OnProgress],
) -> None:
    """Write the arrays."""
    find_lungs = lung_finder() if spec.region == "lungs" else _no_lungs

    def row(index: int) -> dict[str, Array]:
        radiograph = _readable(records[index])
        model_input = prepare(radiograph, spec, find_lungs(radiograph))
        made = {"images": _to_uint8(model_input.image)}
        if targets is None:
            return made
        masks = targets(records[index], radiograph.shape)
        return made | {"masks": np.stack([_mask_on_grid(mask, model_input) for mask in masks])}

    with progress as on_progress:
        arrays.fill(folder, [record.id for record in records], row, on_progress)


def _readable(record: Record) -> pixels.Radiograph:
    """Decode an image; one that cannot be is named."""
    try:
        return record.image()
    except (ModelsError, OSError, ValueError) as error:
        raise SourceRefused(
            f"{record.path} cannot be decoded: {error}. Fetch it again or take it out of the table; "
            "`training explore` lists all such files"
        ) from error


def as_image(stored: np.ndarray) -> Tensor:
    """Return a cached uint8 image (size, size) as float32 (1, size, size) in [0, 1]."""
    return torch.from_numpy(stored / np.float32(255))[None]


def lung_finder() -> Callable[[pixels.Radiograph], Box | None]:
    """Return the function that finds the box of both lungs, as serving does."""
    analyser = ChestAnalyser.load([_segmenter()])
    return lambda radiograph: analyser.lungs_of(analyser.segment(radiograph), radiograph)


def _segmenter() -> store.Bundle:
    """Load the shipped lungs-heart bundle."""
    return store.named(store.shipped(), SEGMENTER)


def _no_lungs(radiograph: pixels.Radiograph) -> None:
    """Leave the whole picture."""


def _mask_on_grid(mask: Array, model_input: ModelInput) -> Array:
    """Return the covered part of each model pixel."""
    part = mask[rows_and_columns(model_input.region)]
    return _to_uint8(model_input.letterbox.forward(part.astype(np.float32) / np.float32(255)))


def _to_uint8(values: NDArray[np.float32]) -> Array:
    """Quantise [0, 1]."""
    return np.rint(values * 255).astype(np.uint8)
