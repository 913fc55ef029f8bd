"""The images of a recipe: records of one or several data sets, joined by their ids, with the split of each.

Recipes, thresholds and evaluation read nothing else, so a hospital's own folder takes the place of a public set by two
lines of YAML (`data: {sources: [dicom], split: ours.csv}`).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import DataSource
from models.values.patient import Patient
from training.config import Data
from training.data import sources, splits, terms
from training.data.sources import DataSet, Record
from training.data.splits import Split

_LOG = logging.getLogger(__name__)
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Collection:
    """Records by id, and the split of each id.

    Attributes
    ----------
    sets
        The data sets it is made of, the most trusted first.
    records
        The images of all sets that are in the split; where several sets know a label, a mask or a box, the first one
        counts.
    part_of
        Split of each id of the split's file, whether its image is here or not.
    """

    name: str
    sets: tuple[DataSet, ...]
    records: Mapping[str, Record]
    part_of: Mapping[str, str]

    def ids(self, *wanted: Split) -> tuple[str, ...]:
        """Return the ids of some splits whose images are here, in the order of the split's file."""
        return tuple(one for one, part in self.part_of.items() if part in wanted and one in self.records)

    def value(self, image_id: str, name: str) -> float:
        """Return a label of an image: 1 present, 0 absent, NaN unknown."""
        return self.records[image_id].labels.get(name, sources.UNKNOWN)

    def labels(self, ids: Sequence[str], names: Sequence[str]) -> Float:
        """Return labels (ids, names).

        Raises
        ------
        ValueError
            No image of the whole collection has such a label.
        """
        known = {name for found in self.sets for name in found.labels()}
        absent = [name for name in names if name not in known]
        if absent:
            raise ValueError(
                f"{self.name} has no label {', '.join(absent)}; it has {', '.join(sorted(known)) or 'none'}"
            )
        rows = [[self.value(one, name) for name in names] for one in ids]
        return np.array(rows, np.float32).reshape(-1, len(names))

    def patient_data(self, image_id: str) -> Patient:
        """Return what a network may be told of an image's patient."""
        return Patient(self.records[image_id].age_years, self.records[image_id].sex)

    def patient_features(self, ids: Sequence[str]) -> Float:
        """Return age in years and sex (-1 female, 1 male) of each image's patient (ids, 2); NaN is unknown."""
        rows = [self.patient_data(one).numbers() for one in ids]
        return np.array(rows, np.float32).reshape(-1, 2)

    def of_set(self, name: str) -> Mapping[str, Record]:
        """Return the records of one of the data sets by id; {} when it is none of them."""
        return {record.id: record for found in self.sets if found.name == name for record in found.records}

    def counts(self, ids: Sequence[str]) -> tuple[DataSource, ...]:
        """Say for manifests and cards how many of these images and patients each data set told something of."""
        parts: list[DataSource] = []
        for found in self.sets:
            mine = {record.id for record in found.records}
            images, patients = self.counted([one for one in ids if one in mine])
            if images:
                parts.append(terms.of_set(found.name, found.licence, found.citation, images, patients))
        return tuple(parts)

    def counted(self, ids: Sequence[str]) -> tuple[int, int]:
        """Count images and patients."""
        return len(ids), len({self.records[one].patient for one in ids})

    def digest(self) -> str:
        """Identify the files and what is known of places in them: eight hexadecimal digits."""
        hashed = hashlib.sha256()
        for record in self.records.values():
            size = record.path.stat().st_size
            hashed.update(repr((record.id, record.path.name, size, record.mask_names, record.boxes)).encode())
        return hashed.hexdigest()[:8]


# The public sets with a committed split.
SHIPPED: Mapping[str, Data] = {
    "ctr": Data(sources=("ctr",), split="ctr"),
    "kermany": Data(sources=("kermany",), split="kermany"),
    "nih": Data(sources=("siim", "rsna", "nih"), split="nih"),
    "atrium": Data(sources=("atrium",), split="atrium"),
}


def read(data: Path, chosen: Data) -> Collection:
    """Read the data sets of a recipe below `data`, and join them.

    Raises
    ------
    SourceRefused
        A data set is not there, or none of its images is in the split.
    """
    found = tuple(sources.read(name, sources.folder_of(name, data)) for name in chosen.sources)
    records: dict[str, Record] = {}
    for one in found:
        if one.problems:
            message = "%s: %d problems, the first: %s; `training explore` lists them"
            _LOG.warning(message, one.name, len(one.problems), one.problems[0].message)
        for record in one.records:
            earlier = records.get(record.id)
            records[record.id] = record if earlier is None else joined(earlier, record)
    everything = chosen.split == splits.ALL
    part_of = dict.fromkeys(records, "test") if everything else splits.parts(splits.file_of(chosen.split))
    if chosen.fold is not None:
        part_of |= held_out(records, part_of, chosen)
    split_up = {name: record for name, record in records.items() if name in part_of}
    if not split_up:
        raise sources.SourceRefused(
            f"none of the {len(records)} images of {', '.join(chosen.sources)} is in the split {chosen.split}; make "
            "your own with `training split` and name it in the recipe (data: split: FILE.csv)"
        )
    return Collection("+".join(chosen.sources) if everything else Path(chosen.split).stem, found, split_up, part_of)


def held_out(records: Mapping[str, Record], part_of: Mapping[str, str], chosen: Data) -> dict[str, str]:
    """Deal the patients of train and val into folds, stratified by labels; the chosen fold is val, the rest train.

    Raises
    ------
    ValueError
        There is no such fold.
    """
    if chosen.folds is None or chosen.fold is None or chosen.fold >= chosen.folds:
        raise ValueError(f"fold {chosen.fold} of {chosen.folds}: say `data: folds` in the recipe, and count from 0")
    tuned = [one for name, one in records.items() if part_of.get(name) in splits.TUNED_ON]
    rows = [splits.SplitRow(one.id, one.patient, repr(sorted(one.labels.items()))) for one in tuned]
    dealt = splits.folds(rows, chosen.folds)
    return {name: "val" if fold == chosen.fold else "train" for name, fold in dealt.items()}


def joined(first: Record, second: Record) -> Record:
    """Fill what the first record of an image does not know from the second."""
    known = {name: value for name, value in first.labels.items() if not np.isnan(value)}
    boxes = first.boxes if second.boxes is None else (*(first.boxes or ()), *second.boxes)
    masked = first if first.mask is not None else second
    return replace(
        first,
        labels={**first.labels, **second.labels, **known},
        boxes=boxes,
        mask=masked.mask,
        mask_names=masked.mask_names,
        view=first.view or second.view,
        sex=first.sex or second.sex,
        age_years=second.age_years if first.age_years is None else first.age_years,
        site=first.site or second.site,
        groups={**second.groups, **first.groups},
        reference={**second.reference, **first.reference},
    )


def of_site(images: Collection, ids: tuple[str, ...], site: str) -> tuple[str, ...]:
    """Keep the ids of one hospital."""
    return ids if site == "both" else tuple(one for one in ids if images.records[one].site == site)


def labelled_ids(images: Collection, split: Split, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the images of which at least one label is known."""
    ids = images.ids(split)
    unknown = np.isnan(images.labels(ids, names))
    return tuple(one for one, row in zip(ids, unknown, strict=True) if not row.all())
