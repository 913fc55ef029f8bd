"""Paediatric chest radiographs of Guangzhou (Kermany 2018): folders by class, patient and subtype in the file name.

Owner's layout: `chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg`, as Kaggle and Mendeley distribute it. The
published parts are pooled and ignored: `val` holds 16 images, and patients of `train` come back in the others.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data import terms
from training.data.sources import files
from training.data.sources.record import DataSet, Kind, Problems, Record, SourceRefused, finished

NAME = "kermany"
TERMS = terms.LICENCE["kermany"]
PUBLISHED_IMAGES = 5856
PARTS = ("train", "val", "test")
CLASSES = {"NORMAL": 0.0, "PNEUMONIA": 1.0}
COLUMNS = ("id", "patient", "pneumonia", "subtype", "lung_mask", "original_width", "original_height")
NOTES = (
    "children of one hospital, 1 to 5 years, AP; never pool them with adults as opposite classes",
    "the published train, val and test are ignored: they share patients",
)

SQUASHED = (
    "images were squashed to 224 x 224; where the table says that this was the original size too (70 % of them), the "
    "true one is unknown: of pairs with the same pixels one says so and the other gives the real size",
    "the true sizes differ by class (width over height in the median 1.21 of normal, 1.49 of bacterial, 1.51 of viral "
    "images), which a network can learn from the border of a letterbox; so all are read with one and the same aspect, "
    "the median of those that are known, and recipes have to vary it (augmentation: stretch)",
)
# Row spacing over column spacing of a squashed image whose original was as wide as is usual.
TYPICAL_ASPECT = 1 / 1.41

# Kaggle: person12_bacteria_46, IM-0115-0001, IM-0523-0001-0002, NORMAL2-IM-0383-0001;
# Mendeley version 3: BACTERIA-1008087-0001, VIRUS-..., NORMAL-...
_FORMS = (
    (re.compile(r"person(?P<patient>\d+)_(?P<subtype>bacteria|virus)_\d+$"), "P"),
    (re.compile(r"NORMAL2-IM-(?P<patient>\d+)-\d+(-\d+)?$"), "N2-"),
    (re.compile(r"IM-(?P<patient>\d+)-\d+(-\d+)?$"), "N-"),
    (re.compile(r"(?P<subtype>BACTERIA|VIRUS|NORMAL)-(?P<patient>\d+)-\d+$"), "M"),
)


def read(folder: Path) -> DataSet:
    """Read the class folders, or table.csv.

    Raises
    ------
    SourceRefused
        Neither is there, or nothing could be found.
    """
    problems = Problems()
    place = files.table_of(folder, NAME)
    records = _from_table(place, problems) if place else _from_classes(folder, problems)
    notes = NOTES + SQUASHED if place else NOTES + files.published(len(records), PUBLISHED_IMAGES, "images")
    return finished(NAME, TERMS, records, problems, notes=notes)


def named(stem: str) -> tuple[str, str] | None:
    """Return patient and subtype ("bacteria", "virus" or "normal") of a file name; None when it is of no known form."""
    for form, prefix in _FORMS:
        match = form.match(stem)
        if match:
            return f"{prefix}{match['patient']}", match.groupdict().get("subtype", "normal").lower()
    return None


def _from_classes(folder: Path, problems: Problems) -> list[Record]:
    """Read the owner's layout."""
    root = next((one for one in (folder, folder / "chest_xray", folder / NAME) if (one / "train").is_dir()), None)
    if root is None:
        raise SourceRefused(
            f"{folder} holds neither table.csv nor train/NORMAL and train/PNEUMONIA; "
            "give the folder chest_xray of the unpacked archive"
        )
    records: dict[str, Record] = {}
    for part in PARTS:
        for name, positive in CLASSES.items():
            if not (root / part / name).is_dir():
                problems.add(Kind.MISSING, root / part / name, "this folder of the published set is not there")
                continue
            for path in files.found(root / part / name, ("*.jpeg", "*.jpg", "*.png")).values():
                _add(records, path, positive, problems)
    return list(records.values())


def _add(records: dict[str, Record], path: Path, positive: float, problems: Problems) -> None:
    """Add one file unless its name, its header or a file of the same name stands against it."""
    identity = named(path.stem)
    if identity is None:
        problems.add(Kind.LABEL, path, "the name tells no patient (person12_bacteria_3, IM-0115-0001); left out")
        return
    patient, subtype = identity
    if (subtype != "normal") != (positive == 1):
        problems.add(Kind.LABEL, path, f"named {subtype}, but lies in {path.parent.name}; left out")
        return
    if path.stem in records:
        same = records[path.stem].path.read_bytes() == path.read_bytes()
        told_why = "the same file again" if same else "another file of the same name"
        problems.add(Kind.UNLISTED, path, f"{told_why} as {records[path.stem].path}; left out")
        return
    if files.sized(path, None, problems):
        records[path.stem] = _record(path, path.stem, patient, subtype)


def _record(path: Path, name: str, patient: str, subtype: str, aspect: float = 1.0) -> Record:
    """Make a record without mask."""
    positive = float(subtype != "normal")
    labels = {"pneumonia": positive, "bacterial": float(subtype == "bacteria"), "viral": float(subtype == "virus")}
    groups = {"subtype": subtype}
    return Record(name, patient, path, files.picture(path, aspect), labels, view="AP", site="guangzhou", groups=groups)


def _from_table(folder: Path, problems: Problems) -> list[Record]:
    """Read the layout of DATA.md: squashed images with their original size, some with lung masks."""
    records = []
    for row in files.rows(folder / "table.csv", COLUMNS):
        path = folder / "images" / f"{row['id']}.jpg"
        if not path.is_file():
            problems.add(Kind.MISSING, path, "table.csv names this image")
            continue
        if row["subtype"] not in ("normal", "bacteria", "virus") or (row["subtype"] != "normal") != (
            row["pneumonia"] == "1"
        ):
            problems.add(Kind.LABEL, row["id"], f"pneumonia {row['pneumonia']!r} with subtype {row['subtype']!r}")
            continue
        if not files.sized(path, None, problems):
            continue
        record = _record(path, row["id"], row["patient"], row["subtype"], TYPICAL_ASPECT)
        records.append(_with_lungs(record, folder / "lungs" / f"{row['id']}.png", row["lung_mask"] == "1", problems))
    return records


def _with_lungs(record: Record, path: Path, stated: bool, problems: Problems) -> Record:
    """Add the lung mask (0, 255, and 127 for "ignore") where the table states one."""
    if path.is_file() != stated:
        problems.add(Kind.MISSING if stated else Kind.UNLISTED, path, "table.csv says otherwise (lung_mask)")
    if not (path.is_file() and stated):
        return record
    return replace(record, mask=functools.partial(_lungs, path), mask_names=("lungs",))


def _lungs(path: Path) -> NDArray[np.uint8]:
    """Read a lung mask (1, rows, columns)."""
    return files.gray(path)[None]
