"""Splits by patient: made once with an explicit seed, committed as id lists, read ever after.

`test` is for `evaluate` alone; `train` may be fitted on; `val` chooses checkpoints, thresholds and temperatures.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
FOLDER = Path(__file__).parent / "splits"
SEED = 20261121
# Parts of the patients of each stratum for val and test; the rest is train.
PARTS: Mapping[str, tuple[float, float]] = {
    "ctr": (0.15, 0.20),
    "kermany": (0.10, 0.20),
    "nih": (0.15, 0.20),
    "atrium": (0.30, 0.30),
}


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


def make(rows: list[dict[str, str]], name: str) -> dict[str, Split]:
    """Assign patients to splits within the stratum of their first image; give the split of each image id."""
    strata: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for row in rows:
        patient = row.get("patient", row["id"])
        if patient not in seen:
            seen.add(patient)
            strata[stratum(name, row)].append(patient)
    rng = np.random.default_rng(SEED)
    val, test = PARTS[name]
    split_of: dict[str, Split] = {}
    for key in sorted(strata):
        patients = sorted(strata[key])
        rng.shuffle(patients)
        n_val, n_test = round(val * len(patients)), round(test * len(patients))
        for index, patient in enumerate(patients):
            split_of[patient] = "val" if index < n_val else "test" if index < n_val + n_test else "train"
    return {row["id"]: split_of[row.get("patient", row["id"])] for row in rows}


def write(data: Path, name: str, folder: Path = FOLDER) -> None:
    """Make the split of the set `name` and write it; an existing file is never changed."""
    rows = read_table(data, name)
    split_of = make(rows, name)
    with (folder / f"{name}.csv").open("x", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "patient", "split"])
        writer.writerows([row["id"], row.get("patient", row["id"]), split_of[row["id"]]] for row in rows)


def read(name: str, split: Split, folder: Path = FOLDER) -> tuple[str, ...]:
    """Give the image ids of one split, in the order of the committed file."""
    with (folder / f"{name}.csv").open(newline="") as file:
        return tuple(row["id"] for row in csv.DictReader(file) if row["split"] == split)


def patients(name: str, folder: Path = FOLDER) -> dict[str, str]:
    """Give the patient of each image id."""
    with (folder / f"{name}.csv").open(newline="") as file:
        return {row["id"]: row["patient"] for row in csv.DictReader(file)}
