"""Images with boxes on the model grid, decoded through the preprocessing of serving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.chest.anatomy import bounding_box
from models.image.geometry import Letterbox
from models.image.inputs import InputSpec, prepare
from training.config import Run
from training.data import collection
from training.data.collection import Collection
from training.data.masks import located_ids
from training.data.sources import Record
from training.data.splits import Split
from training.fit.order import SeededOrder
from training.tasks.boxes.augment import BoxAugment
from training.tasks.boxes.recipe import BoxRecipe

Boxes = NDArray[np.float32]
HEART = "heart"


@dataclass(frozen=True)
class BoxedImage:
    """One image.

    Attributes
    ----------
    image
        uint8 (size, size) on the model grid.
    boxes
        float32 (n, 4), x0, y0, x1, y1 on the grid of the image, maximum edges exclusive.
    letterbox
        From the image to the model grid.
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
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> BoxItem:
        """Read and vary one image."""
        one = self.images[index]
        image = torch.from_numpy(one.image / np.float32(255))[None]
        boxes = torch.from_numpy(to_model(one.boxes, one.letterbox))
        if self.augment is not None:
            image, boxes = self.augment(image, boxes)
        return {"image": image, "boxes": boxes}


def loaders(recipe: BoxRecipe, run: Run) -> tuple[DataLoader, DataLoader]:
    """Return the hearts to train on, varied and in a seeded order, and those to validate on."""
    images, batch = collection.read(run.data, recipe.data), recipe.optimisation.batch_size
    items = BoxDataset(hearts(images, "train", recipe.input), BoxAugment(recipe.augmentation))
    training: DataLoader = DataLoader(
        items, batch, sampler=SeededOrder(len(items), seed=recipe.seed), drop_last=True, generator=torch.Generator()
    )
    return training, DataLoader(BoxDataset(hearts(images, "val", recipe.input), None), batch)


def decode(record: Record, boxes: Boxes, spec: InputSpec) -> BoxedImage:
    """Read one image and bring it to the model grid."""
    model_input = prepare(record.image(), spec)
    return BoxedImage(record.id, np.rint(model_input.image * 255).astype(np.uint8), boxes, model_input.letterbox)


def to_model(boxes: Boxes, letterbox: Letterbox) -> Boxes:
    """Bring boxes (n, 4) from the image to the model grid."""
    return _mapped(boxes, letterbox.point_to_model)


def to_image(boxes: Boxes, letterbox: Letterbox) -> Boxes:
    """Bring boxes (n, 4) from the model grid to the image."""
    return _mapped(boxes, letterbox.point_to_image)


def hearts(images: Collection, split: Split, spec: InputSpec) -> list[BoxedImage]:
    """Read one split of a collection with heart masks, with the box of each heart."""
    found: list[BoxedImage] = []
    for record in (images.records[one] for one in images.ids(split)):
        if record.mask is not None and HEART in record.mask_names:
            box = bounding_box(record.mask()[record.mask_names.index(HEART)] > 0)
            if box is not None:
                edges = np.array([[box.x0, box.y0, box.x1, box.y1]], np.float32)
                found.append(decode(record, edges, spec))
    return found


def labelled(images: Collection, split: Split, spec: InputSpec, label: str) -> list[BoxedImage]:
    """Read the images of one split whose boxes of a label are known (0 of a negative)."""
    found: list[BoxedImage] = []
    for record in (images.records[one] for one in located_ids(images, split, label)):
        boxes = [(one.x0, one.y0, one.x1, one.y1) for one in record.boxes or () if one.label == label]
        found.append(decode(record, np.array(boxes, np.float32).reshape(-1, 4), spec))
    return found


def _mapped(boxes: Boxes, point: Callable[[float, float], tuple[float, float]]) -> Boxes:
    """Move both corners; letterbox points are (row, column), boxes are (x, y)."""
    moved = np.empty_like(boxes)
    for place, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        (top, left), (bottom, right) = point(y0, x0), point(y1, x1)
        moved[place] = left, top, right, bottom
    return moved
