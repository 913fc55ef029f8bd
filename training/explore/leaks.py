"""What stands in two parts of a split: patients, and images that are one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from training.data.duplicates import Near
from training.explore.survey import Sight


@dataclass(frozen=True)
class Twins:
    """Two records, by id, that show one image; `similarity` 1 is the same pixels."""

    first: str
    second: str
    similarity: float
    same_patient: bool
    same_labels: bool


@dataclass(frozen=True)
class Leaks:
    """What crosses the parts of a split.

    Attributes
    ----------
    patients
        Patient to the parts in which there are images of theirs.
    images
        Exact and near duplicates in two parts.
    unassigned
        Ids of records that are in no part.
    absent
        Ids that the split names and the data set lacks.
    """

    patients: Mapping[str, tuple[str, ...]]
    images: tuple[Twins, ...]
    unassigned: tuple[str, ...]
    absent: tuple[str, ...]


def twins(sights: Sequence[Sight], exact: Iterable[tuple[int, ...]], near: Near) -> tuple[Twins, ...]:
    """Name the pairs: of each exact group the first with every other, then the near ones."""
    pairs = [(group[0], other, 1.0) for group in exact for other in group[1:]]
    pairs += [(pair.first, pair.second, pair.similarity) for pair in near.pairs]
    return tuple(_twins(sights[first], sights[second], similarity) for first, second, similarity in pairs)


def _twins(first: Sight, second: Sight, similarity: float) -> Twins:
    """Compare what is said of two records."""
    one, other = first.record, second.record
    shared = one.labels.keys() & other.labels.keys()
    known = [(one.labels[name], other.labels[name]) for name in shared]
    agree = all(a == b for a, b in known if a in (0, 1) and b in (0, 1))
    return Twins(one.id, other.id, similarity, one.patient == other.patient, agree)


def leaks(patient_of: Mapping[str, str], split_of: Mapping[str, str], pairs: Iterable[Twins]) -> Leaks:
    """Find what crosses the parts.

    Parameters
    ----------
    patient_of
        The patient of each record of the data set, by id; the data set is believed, not the split's own list.
    split_of
        The part of each id.
    """
    parts: dict[str, set[str]] = defaultdict(set)
    for name, patient in patient_of.items():
        if name in split_of:
            parts[patient].add(split_of[name])
    return Leaks(
        patients={patient: tuple(sorted(given)) for patient, given in sorted(parts.items()) if len(given) > 1},
        images=tuple(
            pair
            for pair in pairs
            if pair.first in split_of and pair.second in split_of and split_of[pair.first] != split_of[pair.second]
        ),
        unassigned=tuple(name for name in patient_of if name not in split_of),
        absent=tuple(name for name in split_of if name not in patient_of),
    )
