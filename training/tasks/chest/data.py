"""Datasets over the cache: what one training or validation item is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from training.config import Run
from training.data import cache, collection, masks, negatives, splits
from training.data.cache import Cache
from training.data.collection import Collection
from training.data.masks import Masks
from training.fit.augment import Augment
from training.fit.losses import FULL, NEGATIVE, PARTIAL
from training.fit.order import SeededOrder
from training.fit.sampling import GroupedOrder, positive_aware
from training.progress import ProgressFactory
from training.tasks.chest.recipe import ChestRecipe


class MaskItem(TypedDict):
    """An image (1, size, size) with masks and their weights (3, size, size), all in [0, 1], and the kind of target."""

    image: Tensor
    masks: Tensor
    weights: Tensor
    kind: int


class LabelItem(TypedDict):
    """An image (1, size, size) in [0, 1] with its labels (labels,), NaN unknown, and `patient` as below."""

    image: Tensor
    labels: Tensor
    patient: Tensor


class FindingItem(TypedDict):
    """An image (1, size, size) with labels (labels,), NaN unknown; masks (places, size, size) and which are known.

    `patient` (2,) is age and sex as models/networks/patient.py takes them.
    """

    image: Tensor
    labels: Tensor
    masks: Tensor
    known: Tensor
    patient: Tensor


class FindingDataset(Dataset[FindingItem]):
    """Images with their labels, and the places of those that have any."""

    def __init__(
        self, source: Cache, images: Collection, ids: tuple[str, ...], names: tuple[str, ...], augment: Augment | None
    ) -> None:
        self.source, self.rows, self.augment = source, source.rows(ids), augment
        self.labels = torch.from_numpy(images.labels(ids, names))
        known = [[masks.known(images.records[one], label) for label in masks.LOCATED] for one in ids]
        self.known = torch.tensor(known, dtype=torch.float32).reshape(len(ids), -1)
        self.patients = torch.from_numpy(images.patient_features(ids))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> FindingItem:
        """Read and vary one image."""
        if self.source.masks is None:
            raise ValueError("this cache holds no masks")
        image = cache.as_image(self.source.images[self.rows[index]])
        places = torch.from_numpy(self.source.masks[self.rows[index]] / np.float32(255))
        if self.augment is not None:
            image, varied = self.augment(image, places)
            places = places if varied is None else varied
        labels, known, patient = self.labels[index], self.known[index], self.patients[index]
        return {"image": image, "labels": labels, "masks": places, "known": known, "patient": patient}


class MaskDataset(Dataset[MaskItem]):
    """Images of a cache with their masks."""

    def __init__(self, source: Cache, rows: list[int], kind: int, augment: Augment | None) -> None:
        self.source, self.rows, self.kind, self.augment = source, rows, kind, augment

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> MaskItem:
        """Read and vary one image."""
        row = self.rows[index]
        if self.source.masks is None:
            raise ValueError("this cache holds no masks")
        image = cache.as_image(self.source.images[row])
        covered = torch.from_numpy(self.source.masks[row] / np.float32(255))
        if self.augment is not None:
            image, varied = self.augment(image, covered)
            covered = covered if varied is None else varied
        weights = (covered[3:] > 0.99).float() if len(covered) > 3 else torch.ones(3, *image.shape[-2:])
        return {"image": image, "masks": covered[:3], "weights": weights, "kind": self.kind}


class NegativeDataset(Dataset[MaskItem]):
    """Pictures to be answered with empty masks: made from chests, or real ones of another kind (MR slices)."""

    def __init__(self, source: Cache, rows: list[int], augment: Augment, *, transform: bool) -> None:
        self.source, self.rows, self.augment, self.transform = source, rows, augment, transform

    def __len__(self) -> int:
        """Return the number of images to draw from."""
        return len(self.rows)

    def __getitem__(self, index: int) -> MaskItem:
        """Read, transform and vary one image."""
        image = cache.as_image(self.source.images[self.rows[index]])
        if self.transform:
            image = negatives.draw(image)
        image, _ = self.augment(image)
        shape = (3, *image.shape[-2:])
        return {"image": image, "masks": torch.zeros(shape), "weights": torch.ones(shape), "kind": NEGATIVE}


class LabelDataset(Dataset[LabelItem]):
    """Images of a cache with labels."""

    def __init__(
        self, source: Cache, rows: list[int], labels: Tensor, patients: Tensor, augment: Augment | None
    ) -> None:
        self.source, self.rows, self.labels, self.patients, self.augment = source, rows, labels, patients, augment

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> LabelItem:
        """Read and vary one image."""
        image = cache.as_image(self.source.images[self.rows[index]])
        if self.augment is not None:
            image, _ = self.augment(image)
        return {"image": image, "labels": self.labels[index], "patient": self.patients[index]}


# The masks that are kept beside the images of each task.
TARGETS: Mapping[str, Masks | None] = {
    "segmentation": masks.anatomy,
    "classification": None,
    "findings": masks.lesions,
    "lesion-segmentation": masks.lesions,
}


def loaders(recipe: ChestRecipe, run: Run) -> tuple[DataLoader, DataLoader]:
    """Return the images to train on and those to validate on, as the task of the recipe takes them."""
    return LOADERS[recipe.task](recipe, run.data, run.cache)


def segmentation_loaders(recipe: ChestRecipe, data: Path, folder: Path) -> tuple[DataLoader, DataLoader]:
    """Return the training mixture and the validation split of the lungs-heart recipe."""
    mixture, batch = recipe.mixture, recipe.optimisation.batch_size
    adults = collection.read(data, recipe.data)
    children = collection.read(data, collection.SHIPPED["kermany"])
    slices = negatives.mr_slices(data)
    adult = cache.build(adults, recipe.input, folder, targets=masks.anatomy)
    child = cache.build(children, recipe.input, folder, targets=masks.lung_fields)
    other = cache.build(slices, recipe.input, folder)
    if child.masks is None:
        raise ValueError("the cache of the children's lung fields holds no masks")
    rows = adult.rows(collection.of_site(adults, adults.ids("train"), mixture.site))
    fields = [row for row in child.rows(children.ids("train")) if child.masks[row, 5].any()]
    turned = other.rows(slices.ids("train"))
    vary = Augment(recipe.augmentation)
    parts: list[tuple[Dataset[MaskItem], int, float]] = [
        (MaskDataset(adult, rows, FULL, vary), len(rows), mixture.ctr),
        (MaskDataset(child, fields, PARTIAL, vary), len(fields), mixture.kermany),
        (NegativeDataset(adult, rows, vary, transform=True), len(rows), 0.6 * mixture.negatives),
        (NegativeDataset(child, fields, vary, transform=True), len(fields), 0.25 * mixture.negatives),
        (NegativeDataset(other, turned, vary, transform=False), len(turned), 0.15 * mixture.negatives),
    ]
    weights = torch.cat([torch.full((count,), drawn / count) for _, count, drawn in parts])
    total = mixture.ctr + mixture.kermany + mixture.negatives
    order = SeededOrder(len(weights), seed=recipe.seed, weights=weights, count=total)
    train = _loader(ConcatDataset([part for part, _, _ in parts]), batch, order)
    seen = adult.rows(collection.of_site(adults, adults.ids("val"), mixture.site))
    val: DataLoader = DataLoader(MaskDataset(adult, seen, FULL, None), batch)
    return train, val


def prepared(recipe: ChestRecipe, data: Path, folder: Path, progress: ProgressFactory) -> Iterator[tuple[str, Cache]]:
    """Decode every collection that a recipe reads, and yield each with its name."""
    read: list[tuple[Collection, Masks | None]] = [(collection.read(data, recipe.data), TARGETS[recipe.task])]
    if recipe.task == "segmentation":
        read.append((collection.read(data, collection.SHIPPED["kermany"]), masks.lung_fields))
        read.append((negatives.mr_slices(data), None))
    for given, kind in read:
        yield given.name, cache.build(given, recipe.input, folder, targets=kind, progress=progress)


def classification_loaders(recipe: ChestRecipe, data: Path, folder: Path) -> tuple[DataLoader, DataLoader]:
    """Return the training and the validation images whose labels are known."""
    images = collection.read(data, recipe.data)
    source = cache.build(images, recipe.input, folder)
    loaders: list[DataLoader] = []
    for split in splits.TUNED_ON:
        ids = collection.labelled_ids(images, split, recipe.labels)
        training = split == "train"
        augment = Augment(recipe.augmentation) if training else None
        labels, patients = (
            torch.from_numpy(one) for one in (images.labels(ids, recipe.labels), images.patient_features(ids))
        )
        items = LabelDataset(source, source.rows(ids), labels, patients, augment)
        order = SeededOrder(len(items), seed=recipe.seed) if training else None
        loaders.append(_loader(items, recipe.optimisation.batch_size, order))
    return loaders[0], loaders[1]


def finding_loaders(recipe: ChestRecipe, data: Path, folder: Path) -> tuple[DataLoader, DataLoader]:
    """Return the training and the validation images of many findings."""
    images = collection.read(data, recipe.data)
    source = cache.build(images, recipe.input, folder, targets=masks.lesions)
    batch, vary = recipe.optimisation.batch_size, Augment(recipe.augmentation)
    train = FindingDataset(source, images, collection.labelled_ids(images, "train", recipe.labels), recipe.labels, vary)
    val = FindingDataset(source, images, collection.labelled_ids(images, "val", recipe.labels), recipe.labels, None)
    return _loader(train, batch, SeededOrder(len(train), seed=recipe.seed)), _loader(val, batch, None)


def lesion_loaders(recipe: ChestRecipe, data: Path, folder: Path) -> tuple[DataLoader, DataLoader]:
    """Return the images with known masks; a stated part of each epoch has a lesion."""
    if recipe.lesions is None:
        raise ValueError(f"recipe {recipe.name} has no section `lesions`")
    images = collection.read(data, recipe.data)
    source = cache.build(images, recipe.input, folder, targets=masks.lesions)
    parts, batch, name = recipe.lesions, recipe.optimisation.batch_size, recipe.labels[0]
    train = FindingDataset(
        source, images, masks.located_ids(images, "train", name), recipe.labels, Augment(recipe.augmentation)
    )
    val = FindingDataset(source, images, masks.located_ids(images, "val", name), recipe.labels, None)
    order = positive_aware(
        (train.labels[:, 0] > 0).tolist(),
        part=parts.positive_part,
        last_part=parts.last_positive_part,
        count=parts.images,
        epochs=recipe.optimisation.epochs,
        seed=recipe.seed,
    )
    return _loader(train, batch, order), _loader(val, batch, None)


LOADERS = {
    "segmentation": segmentation_loaders,
    "classification": classification_loaders,
    "findings": finding_loaders,
    "lesion-segmentation": lesion_loaders,
}


def _loader(items: Dataset, batch: int, order: SeededOrder | GroupedOrder | None) -> DataLoader:
    """Return batches, in a seeded order and whole ones only for training.

    The loader has a generator of its own, so that making it leaves the one that augmentation draws from alone.
    """
    return DataLoader(items, batch, sampler=order, drop_last=order is not None, generator=torch.Generator())
