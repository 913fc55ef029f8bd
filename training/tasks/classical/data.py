"""The features of one split as a table, computed once and kept as arrays (no pickle)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.collection import Collection, labelled_ids
from training.data.splits import Split
from training.tasks.classical import features, lungs

PERSON = "person."


@dataclass(frozen=True)
class FeatureTable:
    """One split.

    Attributes
    ----------
    ids, patients
        Of each image.
    names
        Of each feature.
    values
        float32 (images, features), NaN where unknown.
    truth
        bool (images,), whether the label is among the findings.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    truth: NDArray[np.bool_]

    def without_patient(self) -> FeatureTable:
        """Leave out age, sex and view."""
        kept = [index for index, name in enumerate(self.names) if not name.startswith(PERSON)]
        names = tuple(self.names[index] for index in kept)
        return FeatureTable(self.ids, self.patients, names, self.values[:, kept], self.truth)

    def only_patient(self) -> FeatureTable:
        """Keep age, sex and view alone."""
        kept = [index for index, name in enumerate(self.names) if name.startswith(PERSON)]
        names = tuple(self.names[index] for index in kept)
        return FeatureTable(self.ids, self.patients, names, self.values[:, kept], self.truth)


def build(images: Collection, split: Split, label: str, cache: Path) -> FeatureTable:
    """Compute the features of one split, unless that was done before, and join what is known of the patients."""
    ids = labelled_ids(images, split, (label,))
    names, values = _image_features(images, split, ids, cache)
    patients = [features.of_patient(images.records[one]) for one in ids]
    person = tuple(patients[0])
    joined = np.hstack([values, np.array([[one[name] for name in person] for one in patients], np.float32)])
    return FeatureTable(
        ids,
        tuple(images.records[one].patient for one in ids),
        (*names, *person),
        joined,
        images.labels(ids, (label,))[:, 0] > 0.5,
    )


def _image_features(
    images: Collection, split: Split, ids: tuple[str, ...], cache: Path
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return names and values (images, features) of what is measured on the pixels."""
    masks = lungs.build(images, ids, cache)
    path = masks.with_name(f"{masks.name}-features-r{features.REVISION}-{split}.npz")
    if path.exists():
        with np.load(path, allow_pickle=False) as kept:
            if tuple(kept["ids"].tolist()) == ids:
                return tuple(kept["names"].tolist()), kept["values"]
    found = [
        features.of_image(lungs.gray(images.records[one].image()), lungs.read(lungs.path_of(masks, one))) for one in ids
    ]
    names = tuple(found[0])
    values = np.array([[one[name] for name in names] for one in found], np.float32)
    aside = path.with_suffix(".part.npz")
    np.savez_compressed(aside, ids=np.array(ids), names=np.array(names), values=values)
    aside.replace(path)
    return names, values
