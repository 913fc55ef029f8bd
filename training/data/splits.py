"""Splits by patient: made once with an explicit seed, committed as id lists, read ever after.

`test` is for `evaluate` alone; `train` may be fitted on; `val` chooses checkpoints, thresholds and temperatures.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:  # the sources state their terms with training/data/terms.py, which counts with this module
    from training.data.sources.record import DataSet, Record

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
# In the place of a csv: every image is of the test split.
ALL = "all"
TUNED_ON: tuple[Split, ...] = ("train", "val")
FOLDER = Path(__file__).parents[1] / "splits"
SEED = 20261121
# Parts of the patients of each stratum for val and test; the rest is train.
PARTS: Mapping[str, tuple[float, float]] = {
    "ctr": (0.15, 0.20),
    "kermany": (0.10, 0.20),
    "nih": (0.15, 0.20),
    "atrium": (0.30, 0.30),
}
# What a data set may be stratified by besides its labels.
FACTS = ("view", "sex", "site")
# Patients from which a stratum of a new data set stands alone.
RARE = 10


def read_table(data: Path, name: str) -> list[dict[str, str]]:
    """Read the table of the data set `name`, one mapping an image."""
    with (data / name / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stratum(name: str, row: Mapping[str, str]) -> str:
    """Name what a split must hold in equal parts."""
    match name:
        case "ctr":
            return row["site"]
        case "kermany":
            return row["subtype"]
        case "nih":
            return f"siim={row['siim_positive']},view={row['view']}"
    return ""


@dataclass(frozen=True)
class SplitRow:
    """One image as far as a split cares: whose it is, and what each part must hold in equal parts."""

    id: str
    patient: str
    stratum: str = ""


def make(rows: list[dict[str, str]], name: str) -> dict[str, Split]:
    """Assign patients to splits within the stratum of their first image; return the split of each image id."""
    val, test = PARTS[name]
    return assign([SplitRow(row["id"], row.get("patient", row["id"]), stratum(name, row)) for row in rows], val, test)


def assign(rows: Sequence[SplitRow], val: float, test: float, seed: int = SEED) -> dict[str, Split]:
    """Assign patients to val and test, as parts of the patients of each stratum, the rest to train.

    A patient with images of several strata counts in that of the first.

    Raises
    ------
    ValueError
        The parts leave nothing to train on.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise ValueError(f"parts of {val:g} for val and {test:g} for test leave nothing to train on")
    strata = _strata(rows)
    rng = np.random.default_rng(seed)
    split_of: dict[str, Split] = {}
    for key in sorted(strata):
        patients = sorted(strata[key])
        rng.shuffle(patients)
        n_val, n_test = round(val * len(patients)), round(test * len(patients))
        for index, patient in enumerate(patients):
            split_of[patient] = "val" if index < n_val else "test" if index < n_val + n_test else "train"
    return {row.id: split_of[row.patient] for row in rows}


def folds(rows: Sequence[SplitRow], k: int, seed: int = SEED) -> dict[str, int]:
    """Deal patients to `k` folds for cross-validation; return the fold, from 0, of each image id.

    Within each stratum the patients with the most images are dealt first, each to the fold that has the fewest
    images of that stratum (of all strata, when these are equal); equals are drawn by the seed.

    Raises
    ------
    ValueError
        There are fewer than 2 folds, or fewer patients than folds.
    """
    images = Counter(row.patient for row in rows)
    if not 2 <= k <= len(images):
        raise ValueError(f"{k} folds of {len(images)} patients; from 2 to as many as there are patients is possible")
    rng = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}
    total = [0] * k
    strata = _strata(rows)
    for key in sorted(strata):
        patients = sorted(strata[key])
        rng.shuffle(patients)
        held = [0] * k
        for patient in sorted(patients, key=lambda one: -images[one]):
            chosen = min(range(k), key=lambda fold: (held[fold], total[fold], fold))
            fold_of[patient] = chosen
            held[chosen] += images[patient]
            total[chosen] += images[patient]
    return {row.id: fold_of[row.patient] for row in rows}


def named_folds(rows: Sequence[SplitRow], k: int, seed: int = SEED) -> dict[str, str]:
    """Return the folds as names for a csv file: fold-0, fold-1, ...; raises as `folds`."""
    return {name: f"fold-{fold}" for name, fold in folds(rows, k, seed).items()}


def rows_of(found: DataSet, by: Sequence[str] = ()) -> list[SplitRow]:
    """Return the rows of a data set, stratified by labels, "view", "sex" or "site".

    A label counts for a patient when any of their images has it, any other value as that of their first image. Without
    `by` the labels together are the stratum; strata of fewer than RARE patients are one, for a part of a handful
    rounds to nothing.

    Raises
    ------
    ValueError
        The data set has nothing of that name.
    """
    names = tuple(by) or found.labels()
    unknown = sorted(set(names) - {*found.labels(), *FACTS})
    if unknown:
        raise ValueError(f"{found.name} has no {', '.join(unknown)}; it has {', '.join((*found.labels(), *FACTS))}")
    of_patient: dict[str, list[Record]] = defaultdict(list)
    for record in found.records:
        of_patient[record.patient].append(record)
    stratum_of = {
        patient: ",".join(f"{name}={_value(records, name)}" for name in names)
        for patient, records in of_patient.items()
    }
    size = Counter(stratum_of.values())
    return [
        SplitRow(one.id, one.patient, stratum_of[one.patient] if size[stratum_of[one.patient]] >= RARE else "rare")
        for one in found.records
    ]


def _value(records: Sequence[Record], name: str) -> str:
    """Return what is said of a patient: of a label 1, 0 or nothing; of a fact the first image's."""
    if name in FACTS:
        return str(getattr(records[0], name) or "")
    given = {record.labels.get(name) for record in records}
    return "1" if 1 in given else "0" if 0 in given else ""


def _strata(rows: Sequence[SplitRow]) -> dict[str, list[str]]:
    """Group the patients by the stratum of their first image."""
    strata: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for row in rows:
        if row.patient not in seen:
            seen.add(row.patient)
            strata[row.stratum].append(row.patient)
    return strata


def write(data: Path, name: str, folder: Path = FOLDER) -> None:
    """Make the split of the set `name` and write it; an existing file is never changed."""
    rows = read_table(data, name)
    listed = [SplitRow(row["id"], row.get("patient", row["id"])) for row in rows]
    write_rows(listed, make(rows, name), folder / f"{name}.csv")


def write_rows(rows: Sequence[SplitRow], split_of: Mapping[str, str], path: Path) -> None:
    """Write id, patient and split of each image; an existing file is never changed (`FileExistsError`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "patient", "split"])
        writer.writerows([row.id, row.patient, split_of[row.id]] for row in rows)


def file_of(split: str) -> Path:
    """Return the csv of a committed split by its name, or that of a path."""
    return Path(split) if split.endswith(".csv") else FOLDER / f"{split}.csv"


def parts(path: Path) -> dict[str, str]:
    """Return the part of each image id of a csv file; raises `KeyError` without the columns id and split."""
    with path.open(newline="") as file:
        return {row["id"]: row["split"] for row in csv.DictReader(file)}


def read(name: str, split: Split, folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the image ids of one split, in the order of the committed file."""
    with (folder / f"{name}.csv").open(newline="") as file:
        return tuple(row["id"] for row in csv.DictReader(file) if row["split"] == split)


def patients(name: str, folder: Path = FOLDER) -> dict[str, str]:
    """Return the patient of each image id."""
    with (folder / f"{name}.csv").open(newline="") as file:
        return {row["id"]: row["patient"] for row in csv.DictReader(file)}
