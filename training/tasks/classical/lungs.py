"""Masks of lungs and heart of a whole data set, found once by the shipped lungs-heart bundle and kept as bit fields.

One PNG an image on its own grid: bit 0 right lung, bit 1 left lung, bit 2 heart, as in the ctr set. The folder carries
the bundle's digest, so masks of another bundle are never mixed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.bundle import store
from models.bundle.store import Bundle
from models.chest.analyser import ChestAnalyser
from models.chest.anatomy import Anatomy
from models.image.pixels import Radiograph
from training.data.cache import SEGMENTER
from training.data.collection import Collection

Array = NDArray[np.uint8]
RIGHT_BIT, LEFT_BIT, HEART_BIT = 1, 2, 4


def folder_of(cache: Path, name: str, bundle: Bundle) -> Path:
    """Return the folder of the masks of a collection."""
    return cache / f"{name}-anatomy-{bundle.digest[:12]}"


def build(images: Collection, ids: Iterable[str], cache: Path) -> Path:
    """Segment the images that have no mask yet, and return the folder of the masks."""
    bundle = store.named(store.shipped(), SEGMENTER)
    folder = folder_of(cache, f"{images.name}-{images.digest()}", bundle)
    missing = [one for one in ids if not path_of(folder, one).exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        analyser = ChestAnalyser.load([bundle])
        for one in missing:
            _write(_bits(analyser, images.records[one].image()), path_of(folder, one))
    return folder


def path_of(folder: Path, name: str) -> Path:
    """Return the file of an image's masks; ids may hold characters that a file name must not."""
    return folder / f"{quote(name, safe='')}.png"


def gray(image: Radiograph) -> Array:
    """Return a radiograph as one 8-bit channel."""
    return np.rint(image.pixels * 255).astype(np.uint8)


def read(path: Path) -> Anatomy:
    """Read the masks of one image; None: not found."""
    with Image.open(path) as image:
        bits = np.asarray(image)
    right, left, heart = (None if not (part := (bits & bit) > 0).any() else part for bit in (1, 2, 4))
    return Anatomy(right, left, heart)


def _bits(analyser: ChestAnalyser, radiograph: Radiograph) -> Array:
    """Segment one image into its bit field."""
    shape = analyser.anatomy_of(analyser.segment(radiograph), radiograph)
    bits = np.zeros(radiograph.shape, np.uint8)
    for mask, bit in ((shape.right_lung, RIGHT_BIT), (shape.left_lung, LEFT_BIT), (shape.heart, HEART_BIT)):
        if mask is not None:
            bits[mask] |= bit
    return bits


def _write(bits: Array, path: Path) -> None:
    """Write beside the path, then rename: a mask that is there is whole."""
    aside = path.with_suffix(".part")
    Image.fromarray(bits).save(aside, format="PNG")
    aside.replace(path)
