"""What a network learns of places: the masks of a record on the grid of its image, uint8, 255 for inside.

Each function is a kind of target: of a record and the rows and columns of its image it gives masks (channels, rows,
columns), empty where the record has none. Which of these mean "none" and which "unknown" is told apart by `known`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from training.data import partial
from training.data.collection import Collection
from training.data.sources import Record
from training.data.splits import Split

Array = NDArray[np.uint8]
Shape = tuple[int, int]
Masks = Callable[[Record, Shape], Array]
INSIDE = np.uint8(255)
# Labels with a place that networks learn, and the channel of `lesions` that holds it.
LOCATED: Mapping[str, int] = {"pneumothorax": 0, "lung-opacity": 1}
ANATOMY = ("right-lung", "left-lung", "heart")


def anatomy(record: Record, shape: Shape) -> Array:
    """Return right lung, left lung and heart (3, rows, columns); an image without one of them has an empty mask."""
    return _named(record, shape, ANATOMY)


def lung_fields(record: Record, shape: Shape) -> Array:
    """Return targets and weights (6, rows, columns) of children's lung fields (training/data/partial.py); 0: none."""
    if record.mask is None:
        return np.zeros((6, *shape), np.uint8)
    return partial.targets(record.mask()[0])


def lesions(record: Record, shape: Shape) -> Array:
    """Return a channel for each of `LOCATED`: its mask, or else its boxes filled."""
    masks = _named(record, shape, tuple(LOCATED))
    for name, channel in LOCATED.items():
        if name not in record.mask_names:
            for box in record.boxes or ():
                if box.label == name:
                    x0, y0, x1, y1 = (round(edge) for edge in (box.x0, box.y0, box.x1, box.y1))
                    masks[channel, y0:y1, x0:x1] = INSIDE
    return masks


def known(record: Record, label: str) -> bool:
    """Return whether the place of a label is all known: it is absent, or is outlined or boxed."""
    value = record.labels.get(label, np.nan)
    outlined = label in record.mask_names or any(box.label == label for box in record.boxes or ())
    return value == 0 or (value == 1 and outlined)


def located_ids(images: Collection, split: Split, label: str) -> tuple[str, ...]:
    """Return the images of a split of which the place of a label is known, those without it included."""
    return tuple(one for one in images.ids(split) if known(images.records[one], label))


def _named(record: Record, shape: Shape, names: tuple[str, ...]) -> Array:
    """Return one mask for each name, empty where the record has none."""
    masks = np.zeros((len(names), *shape), np.uint8)
    if record.mask is not None:
        for name, mask in zip(record.mask_names, record.mask(), strict=True):
            if name in names:
                masks[names.index(name)] = mask
    return masks
