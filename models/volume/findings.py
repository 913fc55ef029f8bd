"""What the network says about one MR volume: plain frozen values, without files or tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import Label
from models.values.findings import BundleIdentity


@dataclass(frozen=True)
class VolumeFindings:
    """What was found in one volume.

    Attributes
    ----------
    mask
        bool (slices, rows, columns) on the grid of the series; all False where nothing was found.
    volume_ml
        Of the mask.
    notes
        What a reader of the result must know.
    """

    mask: NDArray[np.bool_]
    volume_ml: float
    bundle: BundleIdentity
    label: Label
    notes: tuple[str, ...]
