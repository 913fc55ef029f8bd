"""Volumes with their masks as the data set gives them.

Everything is (slice, row, column), that is (head, back, left), as training/data/sources/atrium.py gives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import VolumeSpec
from models.volume.grid import Mask
from training.data.collection import Collection


@dataclass(frozen=True)
class OutlinedVolume:
    """One volume: image and mask, both (slices, rows, columns) on the source grid, with its spacing in mm."""

    id: str
    patient: str
    image: NDArray[np.generic]
    mask: Mask
    spacing_mm: tuple[float, float, float]


def read(images: Collection, ids: Iterable[str], spec: VolumeSpec) -> list[OutlinedVolume]:
    """Read the volumes that are outlined; where a file carries no spacing it is the one that `spec` assumes.

    Raises
    ------
    ValueError
        None of them is outlined.
    """
    found: list[OutlinedVolume] = []
    for record in (images.records[one] for one in ids):
        volume = None if record.volume is None else record.volume()
        if volume is not None and volume.mask is not None:
            spacing = volume.spacing_mm or spec.source_spacing_mm
            found.append(OutlinedVolume(record.id, record.patient, volume.image, volume.mask, spacing))
    if not found:
        raise ValueError(f"none of the volumes of {images.name} that were asked for has an outline")
    return found
