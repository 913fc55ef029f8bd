"""Masks of lungs and heart of a whole data set, found once by the shipped lungs-heart bundle and kept as bit fields.

One PNG an image on its own grid: bit 0 right lung, bit 1 left lung, bit 2 heart, as in the ctr set. The folder carries
the bundle's digest, so masks of another bundle are never mixed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import bundle as bundles
from models import pixels
from models.anatomy import Anatomy
from models.bundle import Bundle
from models.chest import ChestAnalyser

Array = NDArray[np.uint8]
RIGHT_BIT, LEFT_BIT, HEART_BIT = 1, 2, 4


def segmenter() -> Bundle:
    """Give the shipped lungs-heart bundle, the newest one."""
    found = [one for one in bundles.find(bundles.shipped()) if one.manifest.task == "segmentation"]
    if not found:
        raise FileNotFoundError(f"no lungs-heart bundle in {bundles.shipped()}")
    return found[-1]


def folder_of(cache: Path, name: str, bundle: Bundle) -> Path:
    """Give the folder of the masks of the set `name`."""
    return cache / f"{name}-anatomy-{bundle.digest[:12]}"


def build(data: Path, name: str, ids: Iterable[str], cache: Path) -> Path:
    """Segment the images of the set `name` that have no mask yet, and give the folder of the masks."""
    bundle = segmenter()
    folder = folder_of(cache, name, bundle)
    missing = [one for one in ids if not (folder / f"{one}.png").exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        analyser = ChestAnalyser.load([bundle])
        for one in missing:
            _write(_bits(analyser, read_gray(data / name / "images" / f"{one}.jpg")), folder / f"{one}.png")
    return folder


def read_gray(path: Path) -> Array:
    """Read an image file as one 8-bit channel."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def read(path: Path) -> Anatomy:
    """Read the masks of one image; None: not found."""
    with Image.open(path) as image:
        bits = np.asarray(image)
    right, left, heart = (None if not (part := (bits & bit) > 0).any() else part for bit in (1, 2, 4))
    return Anatomy(right, left, heart)


def _bits(analyser: ChestAnalyser, image: Array) -> Array:
    """Segment one image into its bit field."""
    radiograph = pixels.from_array(image)
    shape = analyser.anatomy_of(analyser.segment(radiograph), radiograph)
    bits = np.zeros(image.shape, np.uint8)
    for mask, bit in ((shape.right_lung, RIGHT_BIT), (shape.left_lung, LEFT_BIT), (shape.heart, HEART_BIT)):
        if mask is not None:
            bits[mask] |= bit
    return bits


def _write(bits: Array, path: Path) -> None:
    """Write beside the path, then rename: a mask that is there is whole."""
    aside = path.with_suffix(".part")
    Image.fromarray(bits).save(aside, format="PNG")
    aside.replace(path)
