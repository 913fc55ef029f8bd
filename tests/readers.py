"""Masks of a Segmentation as programs of others read them, by Segment Number, bool (rows, columns)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from highdicom.seg import segread
from numpy.typing import NDArray

Masks = dict[int, NDArray[np.bool_]]


def highdicom_masks(path: Path) -> Masks:
    """Return the masks as highdicom reads them."""
    seg = segread(path)
    (image,) = {frame[2] for frame in seg.get_source_image_uids()}
    numbers = list(seg.segment_numbers)
    planes: NDArray[Any] = seg.get_pixels_by_source_instance([image], segment_numbers=numbers)
    return {number: planes[0, ..., index].astype(bool) for index, number in enumerate(numbers)}
