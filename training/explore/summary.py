"""What a survey found, as plain values: the content of report.json, and all that the page says in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.data.sources import DataSet, Problem, Record
from training.explore.leaks import Leaks, Twins
from training.explore.survey import Sight
from training.measures.ages import age_band

MANY = 8
AGE_BANDS = (1, 6, 18, 40, 60, 80)


@dataclass(frozen=True)
class DataSetFindings:
    """All that was found in one data set.

    Attributes
    ----------
    split_of
        The part of each id; {} when there is no split.
    split_name
        Where the split came from; None: there is none.
    near_bits, compared
        How the search for near duplicates was bounded; see training/data/duplicates.py.
    """

    source: DataSet
    sights: Sequence[Sight]
    problems: tuple[Problem, ...]
    exact: tuple[tuple[str, ...], ...]
    twins: tuple[Twins, ...]
    near_bits: int
    compared: int
    split_of: Mapping[str, str]
    split_name: str | None
    leaks: Leaks | None


def summary(found: DataSetFindings) -> dict[str, Any]:
    """Return everything as values that JSON holds."""
    records = found.source.records
    return {
        "name": found.source.name,
        "licence": found.source.licence,
        "citation": found.source.citation,
        "notes": list(found.source.notes),
        "records": len(records),
        "patients": len({record.patient for record in records}),
        "readable": len(found.sights),
        "images_per_patient": _per_patient(records),
        "labels": balance(records, found.split_of),
        "sizes": _counted(f"{sight.shape[0]} x {sight.shape[1]}" for sight in found.sights),
        "views": _counted(record.view or "unknown" for record in records),
        "sexes": _counted(record.sex or "unknown" for record in records),
        "ages": _counted(
            "unknown" if record.age_years is None else age_band(record.age_years, AGE_BANDS) for record in records
        ),
        "sites": _counted(record.site or "unknown" for record in records),
        "with_mask": sum(record.mask is not None for record in records),
        "with_boxes": sum(bool(record.boxes) for record in records),
        "with_volume": sum(record.volume is not None for record in records),
        "problem_counts": _counted(str(problem.kind) for problem in found.problems),
        "problems": [asdict(problem) for problem in found.problems],
        "exact_duplicates": [list(group) for group in found.exact],
        "near_duplicates": [asdict(one) for one in found.twins if one.similarity < 1],
        "near_duplicates_searched": {"hash_bits": found.near_bits, "pairs_compared": found.compared},
        "split": found.split_name,
        "splits": _counted(found.split_of[record.id] for record in records if record.id in found.split_of),
        "leaks": None if found.leaks is None else _leaks(found.leaks),
    }


def balance(records: Sequence[Record], split_of: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Count positives, negatives and unknowns of each label, in all and by the part of the split."""
    parts = sorted(set(split_of.values()))
    counts: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(label for record in records for label in record.labels):
        counts[name] = {"all": _values(records, name)}
        for part in parts:
            counts[name][part] = _values([one for one in records if split_of.get(one.id) == part], name)
    return counts


def _values(records: Iterable[Record], name: str) -> dict[str, int]:
    """Count what is known of one label, by image, and the patients with it."""
    given = [(record.labels.get(name, math.nan), record.patient) for record in records]
    return {
        "positive": sum(value == 1 for value, _ in given),
        "negative": sum(value == 0 for value, _ in given),
        "unknown": sum(value not in (0, 1) for value, _ in given),
        "positive_patients": len({patient for value, patient in given if value == 1}),
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    """Count, the most frequent first."""
    return dict(Counter(values).most_common())


def _per_patient(records: Sequence[Record]) -> dict[str, int]:
    """Count the patients with 1, 2, ... images."""
    counts = Counter(min(number, MANY) for number in Counter(record.patient for record in records).values())
    return {f"{number} or more" if number == MANY else str(number): counts[number] for number in sorted(counts)}


def _leaks(found: Leaks) -> dict[str, Any]:
    """Return the leaks as values."""
    return {
        "patients": {patient: list(parts) for patient, parts in found.patients.items()},
        "images": [asdict(pair) for pair in found.images],
        "unassigned": list(found.unassigned),
        "absent": list(found.absent),
    }
