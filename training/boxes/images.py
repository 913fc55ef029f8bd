"""Images with boxes on the model grid, decoded through the preprocessing of serving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from models import pixels
from models.geometry import Letterbox
from models.inputs import InputSpec, prepare
from training import splits
from training.boxes.augment import BoxAugment
from training.classical.lungs import read_gray
from training.splits import Split

Boxes = NDArray[np.float32]
RSNA_EDGE = 1024


@dataclass(frozen=True)
class BoxedImage:
    """One image.

    Attributes
    ----------
    image : uint8 (size, size) on the model grid.
    boxes : float32 (n, 4), x0, y0, x1, y1 on the grid of the image file, maximum edges exclusive.
    letterbox : from the image file to the model grid.
    """

    id: str
    image: NDArray[np.uint8]
    boxes: Boxes
    letterbox: Letterbox


class BoxItem(TypedDict):
    """An image (1, size, size) in [0, 1] and its boxes (n, 4) in pixels of the model grid."""

    image: Tensor
    boxes: Tensor


class BoxDataset(Dataset[BoxItem]):
    """Images with their boxes, varied for training."""

    def __init__(self, images: Sequence[BoxedImage], augment: BoxAugment | None) -> None:
        self.images, self.augment = images, augment

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> BoxItem:
        """Read and vary one image."""
        one = self.images[index]
        image = torch.from_numpy(one.image / np.float32(255))[None]
        boxes = torch.from_numpy(to_model(one.boxes, one.letterbox))
        if self.augment is not None:
            image, boxes = self.augment(image, boxes)
        return {"image": image, "boxes": boxes}


def decode(path: Path, name: str, boxes: Boxes, spec: InputSpec) -> BoxedImage:
    """Read one image file and bring it to the model grid."""
    given = prepare(pixels.from_array(read_gray(path)), spec)
    return BoxedImage(name, np.rint(given.image * 255).astype(np.uint8), boxes, given.letterbox)


def to_model(boxes: Boxes, letterbox: Letterbox) -> Boxes:
    """Bring boxes (n, 4) from the image file to the model grid."""
    return _mapped(boxes, letterbox.point_to_model)


def to_image(boxes: Boxes, letterbox: Letterbox) -> Boxes:
    """Bring boxes (n, 4) from the model grid to the image file."""
    return _mapped(boxes, letterbox.point_to_image)


def hearts(data: Path, split: Split, spec: InputSpec) -> list[BoxedImage]:
    """Read what there is of one split of the ctr set, with the box of each heart."""
    rows = {row["id"]: row for row in splits.read_table(data, "ctr")}
    found: list[BoxedImage] = []
    for name in (one for one in splits.read("ctr", split) if one in rows):
        box = np.array([[float(rows[name][f"heart_{edge}"]) for edge in ("x0", "y0", "x1", "y1")]], np.float32)
        found.append(decode(data / "ctr" / "images" / f"{name}.jpg", name, box, spec))
    return found


def opacities(data: Path, split: Split, spec: InputSpec) -> list[BoxedImage]:
    """Read what the RSNA radiologists read of one split of nih, with the boxes of lung opacity (0 of a negative)."""
    rows = {row["id"]: row for row in splits.read_table(data, "nih") if row["rsna_class"]}
    found: list[BoxedImage] = []
    for name in (one for one in splits.read("nih", split) if one in rows):
        path = data / "nih" / "images" / f"{name}.jpg"
        boxes = rsna_boxes(rows[name]["rsna_boxes_xywh_1024"], files_edge=read_gray(path).shape[0])
        found.append(decode(path, name, boxes, spec))
    return found


def rsna_boxes(text: str, *, files_edge: int) -> Boxes:
    """Read "x,y,width,height;..." on the challenge's grid of 1024 as boxes (n, 4) on a square file of `files_edge`."""
    rows = [[float(number) for number in one.split(",")] for one in text.split(";") if one]
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes * np.float32(files_edge / RSNA_EDGE)


def _mapped(boxes: Boxes, point: Callable[[float, float], tuple[float, float]]) -> Boxes:
    """Move both corners; letterbox points are (row, column), boxes are (x, y)."""
    moved = np.empty_like(boxes)
    for place, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        (top, left), (bottom, right) = point(y0, x0), point(y1, x1)
        moved[place] = left, top, right, bottom
    return moved
