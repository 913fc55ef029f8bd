"""Datasets over the cache: what one training or validation item is."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from training import cache, findings, negatives, splits
from training.augment import Augment
from training.cache import Cache
from training.config import Recipe
from training.losses import FULL, NEGATIVE, PARTIAL
from training.order import SeededOrder
from training.sampling import GroupedOrder, positive_aware


class MaskItem(TypedDict):
    """An image (1, size, size) with masks and their weights (3, size, size), all in [0, 1], and the kind of target."""

    image: Tensor
    masks: Tensor
    weights: Tensor
    kind: int


class LabelItem(TypedDict):
    """An image (1, size, size) in [0, 1] with its labels (labels,); NaN is unknown."""

    image: Tensor
    labels: Tensor


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
    """NIH images with their labels and the places of those that have any."""

    def __init__(
        self, source: Cache, data: Path, ids: tuple[str, ...], names: tuple[str, ...], augment: Augment | None
    ) -> None:
        self.source, self.rows, self.augment = source, source.rows(ids), augment
        self.labels = torch.from_numpy(findings.labels(data, ids, names))
        self.known = torch.from_numpy(findings.place_known(data, ids, tuple(findings.LOCATED)))
        self.patients = torch.from_numpy(findings.patients(data, ids))

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> FindingItem:
        """Read and vary one image."""
        if self.source.masks is None:
            raise ValueError("this cache holds no masks")
        image = as_image(self.source.images[self.rows[index]])
        masks = torch.from_numpy(self.source.masks[self.rows[index]] / np.float32(255))
        if self.augment is not None:
            image, varied = self.augment(image, masks)
            masks = masks if varied is None else varied
        labels, known, patient = self.labels[index], self.known[index], self.patients[index]
        return {"image": image, "labels": labels, "masks": masks, "known": known, "patient": patient}


class MaskDataset(Dataset[MaskItem]):
    """Images of a cache with their masks."""

    def __init__(self, source: Cache, rows: list[int], kind: int, augment: Augment | None) -> None:
        self.source, self.rows, self.kind, self.augment = source, rows, kind, augment

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> MaskItem:
        """Read and vary one image."""
        row = self.rows[index]
        if self.source.masks is None:
            raise ValueError("this cache holds no masks")
        image, masks = as_image(self.source.images[row]), torch.from_numpy(self.source.masks[row] / np.float32(255))
        if self.augment is not None:
            image, varied = self.augment(image, masks)
            masks = masks if varied is None else varied
        weights = (masks[3:] > 0.99).float() if len(masks) > 3 else torch.ones(3, *image.shape[-2:])
        return {"image": image, "masks": masks[:3], "weights": weights, "kind": self.kind}


class NegativeDataset(Dataset[MaskItem]):
    """Pictures to be answered with empty masks: made from chests, or real ones of another kind (MR slices)."""

    def __init__(self, source: Cache, rows: list[int], augment: Augment, *, transform: bool) -> None:
        self.source, self.rows, self.augment, self.transform = source, rows, augment, transform

    def __len__(self) -> int:
        """Give the number of images to draw from."""
        return len(self.rows)

    def __getitem__(self, index: int) -> MaskItem:
        """Read, transform and vary one image."""
        image = as_image(self.source.images[self.rows[index]])
        if self.transform:
            image = negatives.draw(image)
        image, _ = self.augment(image)
        shape = (3, *image.shape[-2:])
        return {"image": image, "masks": torch.zeros(shape), "weights": torch.ones(shape), "kind": NEGATIVE}


class LabelDataset(Dataset[LabelItem]):
    """Images of a cache with labels."""

    def __init__(self, source: Cache, rows: list[int], labels: Tensor, augment: Augment | None) -> None:
        self.source, self.rows, self.labels, self.augment = source, rows, labels, augment

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> LabelItem:
        """Read and vary one image."""
        image = as_image(self.source.images[self.rows[index]])
        if self.augment is not None:
            image, _ = self.augment(image)
        return {"image": image, "labels": self.labels[index]}


def as_image(stored: np.ndarray) -> Tensor:
    """Give a cached uint8 image (size, size) as float32 (1, size, size) in [0, 1]."""
    return torch.from_numpy(stored / np.float32(255))[None]


def of_site(ids: tuple[str, ...], site: str) -> tuple[str, ...]:
    """Keep the ids of one hospital; they begin with its first letter."""
    return ids if site == "both" else tuple(one for one in ids if one[0] == site[0])


def segmentation_loaders(recipe: Recipe, data: Path, folder: Path) -> tuple[DataLoader, DataLoader]:
    """Give the training mixture and the validation split of the lungs-heart recipe."""
    sets = {name: cache.build(data, name, recipe.input, folder) for name in ("ctr", "kermany", "atrium")}
    site = recipe.mixture.site
    rows = {
        "ctr": sets["ctr"].rows(sets["ctr"].present(of_site(splits.read("ctr", "train"), site))),
        "kermany": sets["kermany"].rows(sets["kermany"].present(splits.read("kermany", "train"))),
    }
    children = sets["kermany"].masks
    if children is None:
        raise ValueError("the cache of kermany holds no masks")
    rows["kermany"] = [row for row in rows["kermany"] if children[row, 5].any()]
    slices = [i for i, name in enumerate(sets["atrium"].ids) if name.split("-")[0] in splits.read("atrium", "train")]
    vary = Augment(recipe.augmentation)
    parts: list[tuple[Dataset[MaskItem], int, float]] = [
        (MaskDataset(sets["ctr"], rows["ctr"], FULL, vary), len(rows["ctr"]), recipe.mixture.ctr),
        (MaskDataset(sets["kermany"], rows["kermany"], PARTIAL, vary), len(rows["kermany"]), recipe.mixture.kermany),
        (
            NegativeDataset(sets["ctr"], rows["ctr"], vary, transform=True),
            len(rows["ctr"]),
            0.6 * recipe.mixture.negatives,
        ),
        (
            NegativeDataset(sets["kermany"], rows["kermany"], vary, transform=True),
            len(rows["kermany"]),
            0.25 * recipe.mixture.negatives,
        ),
        (NegativeDataset(sets["atrium"], slices, vary, transform=False), len(slices), 0.15 * recipe.mixture.negatives),
    ]
    weights = torch.cat([torch.full((count,), drawn / count) for _, count, drawn in parts])
    total = recipe.mixture.ctr + recipe.mixture.kermany + recipe.mixture.negatives
    order = SeededOrder(len(weights), seed=recipe.seed, weights=weights, count=total)
    batch = recipe.optimisation.batch_size
    train = _loader(ConcatDataset([part for part, _, _ in parts]), batch, order)
    val_rows = sets["ctr"].rows(sets["ctr"].present(of_site(splits.read("ctr", "val"), site)))
    val: DataLoader = DataLoader(MaskDataset(sets["ctr"], val_rows, FULL, None), batch)
    return train, val


def pneumonia_labels(data: Path, ids: tuple[str, ...]) -> Tensor:
    """Give the label of each id (images, 1)."""
    label = {row["id"]: float(row["pneumonia"]) for row in splits.read_table(data, "kermany")}
    return torch.tensor([[label[name]] for name in ids])


def classification_loaders(recipe: Recipe, data: Path, folder: Path) -> tuple[DataLoader, DataLoader]:
    """Give the training and the validation split of the paediatric recipe."""
    source = cache.build(data, "kermany", recipe.input, folder)
    loaders: list[DataLoader] = []
    for split in ("train", "val"):
        ids = source.present(splits.read("kermany", split))
        training = split == "train"
        augment = Augment(recipe.augmentation) if training else None
        items = LabelDataset(source, source.rows(ids), pneumonia_labels(data, ids), augment)
        order = SeededOrder(len(items), seed=recipe.seed) if training else None
        loaders.append(_loader(items, recipe.optimisation.batch_size, order))
    return loaders[0], loaders[1]


def finding_loaders(recipe: Recipe, data: Path, folder: Path) -> tuple[DataLoader, DataLoader]:
    """Give the training and the validation split of nih."""
    source = cache.build(data, "nih", recipe.input, folder)
    batch = recipe.optimisation.batch_size
    train = FindingDataset(
        source, data, labelled_ids(data, source, "train", recipe.labels), recipe.labels, Augment(recipe.augmentation)
    )
    val = FindingDataset(source, data, labelled_ids(data, source, "val", recipe.labels), recipe.labels, None)
    return _loader(train, batch, SeededOrder(len(train), seed=recipe.seed)), _loader(val, batch, None)


def labelled_ids(data: Path, source: Cache, split: splits.Split, names: tuple[str, ...]) -> tuple[str, ...]:
    """Give the images of which at least one label is known."""
    ids = source.present(splits.read("nih", split))
    unknown = np.isnan(findings.labels(data, ids, names))
    return tuple(one for one, row in zip(ids, unknown, strict=True) if not row.all())


def lesion_ids(data: Path, source: Cache, split: splits.Split, name: str) -> tuple[str, ...]:
    """Give the images whose mask of a finding is known, absence included."""
    ids = source.present(splits.read("nih", split))
    known = findings.place_known(data, ids, [name])[:, 0] > 0
    return tuple(one for one, is_known in zip(ids, known, strict=True) if is_known)


def lesion_loaders(recipe: Recipe, data: Path, folder: Path) -> tuple[DataLoader, DataLoader]:
    """Give nih's images with known masks; a stated part of each epoch has a lesion."""
    if recipe.lesions is None:
        raise ValueError(f"recipe {recipe.name} has no section `lesions`")
    source = cache.build(data, "nih", recipe.input, folder)
    parts, batch = recipe.lesions, recipe.optimisation.batch_size
    ids = lesion_ids(data, source, "train", recipe.labels[0])
    train = FindingDataset(source, data, ids, recipe.labels, Augment(recipe.augmentation))
    val = FindingDataset(source, data, lesion_ids(data, source, "val", recipe.labels[0]), recipe.labels, None)
    order = positive_aware(
        (train.labels[:, 0] > 0).tolist(),
        part=parts.positive_part,
        last_part=parts.last_positive_part,
        count=parts.images,
        epochs=recipe.optimisation.epochs,
        seed=recipe.seed,
    )
    return _loader(train, batch, order), _loader(val, batch, None)


def _loader(items: Dataset, batch: int, order: SeededOrder | GroupedOrder | None) -> DataLoader:
    """Give batches, in a seeded order and whole ones only for training.

    The loader has a generator of its own, so that making it leaves the one that augmentation draws from alone.
    """
    return DataLoader(items, batch, sampler=order, drop_last=order is not None, generator=torch.Generator())
