"""A hospital's own set: a folder of DICOM files and one csv.

The csv has one row an image. Its columns:

| column | content |
|---|---|
| id | SOP Instance UID, or the file's path below the folder |
| patient | whom the image is of; without the column, Patient ID of the file |
| view, sex, age, site | PA, AP or LATERAL; F or M; years (or DICOM's 006M); any text. Without the column, the file's |
| mask:LABEL | path of a picture below the folder, on the grid of the image, not 0 inside; one column each |
| mask | the same, where there is one label only |
| boxes | `label:x,y,width,height` in pixels of the image, several apart by `;` |
| any other | a label: 1 present, 0 absent, empty unknown |
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from models.image import pixels
from models.image.geometry import Orientation
from training.data import terms
from training.data.sources import files, nih
from training.data.sources.record import UNKNOWN, DataSet, Kind, LabelledBox, Problems, Record, SourceRefused, finished

NAME = "dicom"
TERMS = terms.LICENCE["dicom"]
RESERVED = ("id", "patient", "view", "sex", "age", "site", "boxes")
MASK, MASK_OF = "mask", "mask:"
VALUES = {"0": 0.0, "1": 1.0, "": UNKNOWN, "0.0": 0.0, "1.0": 1.0}


def read(folder: Path, table: Path | None = None) -> DataSet:
    """Read the folder and its csv; None takes the only one in it.

    Raises
    ------
    SourceRefused
        There is no csv or more than one, it lacks `id`, nothing could be found, or a column `mask` may be of several
        labels.
    """
    listed = files.rows(table or _only_table(folder), ("id",))
    problems = Problems()
    by_uid = _by_uid(folder) if any(not _path(folder, row["id"]) for row in listed) else {}
    labels, notes = _label_columns(listed)
    masks = _mask_columns(listed[0], labels)
    records: list[Record] = []
    taken: dict[Path, str] = {}
    for row in listed:
        path = _path(folder, row["id"]) or by_uid.get(row["id"])
        if path is None:
            problems.add(Kind.MISSING, row["id"], "neither a file below the folder nor a SOP Instance UID in it")
            continue
        if taken.setdefault(path, row["id"]) != row["id"]:
            problems.add(Kind.LABEL, row["id"], f"the same file as {taken[path]}; left out")
            continue
        ds = files.header(path, problems)
        if ds is not None:
            values = {label: _value(row, label, problems) for label in labels}
            record = _record(row, path, ds, values, problems)
            records.append(_with_masks(record, _masks(folder, row, masks, _shape(ds), problems), ds))
    return finished(NAME, TERMS, records, problems, notes=notes)


def _only_table(folder: Path) -> Path:
    """Find the csv."""
    tables = sorted(folder.glob("*.csv"))
    if len(tables) != 1:
        names = ", ".join(path.name for path in tables) or "none"
        raise SourceRefused(f"{folder} holds {names} as csv; exactly one with a column id was expected")
    return tables[0]


def _path(folder: Path, name: str) -> Path | None:
    """Return the file of a relative path; None when there is none, or when it leads out of the folder."""
    if not name:
        return None
    path = folder / name
    inside = path.resolve().is_relative_to(folder.resolve())
    return path if inside and path.is_file() else None


def _by_uid(folder: Path) -> dict[str, Path]:
    """Find the DICOM files below the folder by SOP Instance UID; files that are no DICOM are passed over."""
    found: dict[str, Path] = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and not one.name.startswith(".")):
        if path.suffix.lower() in {".csv", ".png", ".jpg", ".json", ".txt"}:
            continue
        ds = files.header(path, Problems())
        name = None if ds is None else files.text(ds, "SOPInstanceUID")
        if name is not None and found.setdefault(name, path) != path:
            raise SourceRefused(f"{found[name]} and {path} have one SOP Instance UID; keep one of them")
    return found


def _label_columns(listed: list[dict[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that hold labels, and a note on those that hold neither 0 nor 1 anywhere."""
    columns = [name for name in listed[0] if name and name not in (*RESERVED, MASK) and not name.startswith(MASK_OF)]
    labels = tuple(name for name in columns if any(row.get(name, "") in VALUES and row.get(name) for row in listed))
    others = [name for name in columns if name not in labels]
    return labels, (f"columns without any 0 or 1 are not labels: {', '.join(others)}",) if others else ()


def _record(
    row: Mapping[str, str], path: Path, ds: pydicom.Dataset, labels: Mapping[str, float], problems: Problems
) -> Record:
    """Make the record of one row: the csv first, then the file's header."""
    name = row["id"]
    return Record(
        id=name,
        patient=row.get("patient") or files.text(ds, "PatientID") or name,
        path=path,
        image=files.dicom(path),
        labels=labels,
        boxes=_boxes(row, ds, problems),
        view=files.view(row.get("view") or files.text(ds, "ViewPosition"), name, problems),
        sex=files.sex(row.get("sex") or files.text(ds, "PatientSex"), name, problems),
        age_years=files.age(row.get("age") or files.text(ds, "PatientAge"), name, problems),
        site=row.get("site") or files.text(ds, "InstitutionName"),
    )


def _shape(ds: pydicom.Dataset) -> tuple[int, int]:
    """Return rows and columns; (0, 0) when the header has none."""
    return int(ds.get("Rows") or 0), int(ds.get("Columns") or 0)


def _mask_columns(columns: Iterable[str], labels: tuple[str, ...]) -> dict[str, str]:
    """Return the column that holds the mask of each structure or label."""
    found = {column.removeprefix(MASK_OF): column for column in columns if column.startswith(MASK_OF)}
    if MASK in columns and len(labels) > 1:
        raise SourceRefused(f"the column {MASK} may be of {', '.join(labels)}; name it {MASK_OF}{labels[0]}")
    return {labels[0] if labels else MASK: MASK, **found} if MASK in columns else found


def _masks(
    folder: Path, row: Mapping[str, str], columns: Mapping[str, str], shape: tuple[int, int], problems: Problems
) -> dict[str, Path]:
    """Return the mask files that a row names; one of another size than the image is noted and left out."""
    found: dict[str, Path] = {}
    for name, column in columns.items():
        path = _path(folder, row[column])
        if path is not None and files.sized(path, shape, problems):
            found[name] = path
        elif path is None and row[column]:
            problems.add(Kind.MISSING, row[column], f"the mask of {row['id']} is not below the folder")
    return found


def _with_masks(record: Record, found: Mapping[str, Path], ds: pydicom.Dataset) -> Record:
    """Add masks to a record."""
    if not found:
        return record
    orientation, _ = pixels.orientation_of(ds)
    return replace(record, mask=functools.partial(_read, tuple(found.values()), orientation), mask_names=tuple(found))


def _value(row: Mapping[str, str], label: str, problems: Problems) -> float:
    """Read one label; what is neither 0, 1 nor empty is noted and unknown."""
    written = row.get(label, "")
    if written not in VALUES:
        problems.add(Kind.LABEL, row["id"], f"{label} {written!r}, 0, 1 or nothing was expected; taken for unknown")
    return VALUES.get(written, UNKNOWN)


def _boxes(row: Mapping[str, str], ds: pydicom.Dataset, problems: Problems) -> tuple[LabelledBox, ...] | None:
    """Read the boxes onto the canonical grid; None without the column or an entry."""
    if not row.get("boxes"):
        return None
    shape, (orientation, _) = _shape(ds), pixels.orientation_of(ds)
    found = []
    for part in row["boxes"].split(";"):
        label, _, numbers = part.strip().partition(":")
        parts = tuple(numbers.split(","))
        box = nih.box_of(label, parts, shape) if len(parts) == 4 else None
        if box is None:
            problems.add(Kind.LABEL, row["id"], f"box {part!r}, label:x,y,width,height within the image was expected")
        else:
            found.append(_turned(box, shape, orientation))
    return tuple(found)


def _turned(box: LabelledBox, shape: tuple[int, int], orientation: Orientation) -> LabelledBox:
    """Lay a box of an image of `shape` onto the canonical grid."""
    (rows, columns), (x0, y0, x1, y1) = shape, (box.x0, box.y0, box.x1, box.y1)
    if orientation.transpose:
        (rows, columns), (x0, y0, x1, y1) = (columns, rows), (y0, x0, y1, x1)
    if orientation.flip_rows:
        y0, y1 = rows - y1, rows - y0
    if orientation.flip_columns:
        x0, x1 = columns - x1, columns - x0
    return LabelledBox(box.label, x0, y0, x1, y1)


def _read(paths: tuple[Path, ...], orientation: Orientation) -> NDArray[np.uint8]:
    """Read masks (files, rows, columns) onto the canonical grid."""
    return np.stack([np.ascontiguousarray(orientation.to_canonical(files.inside(path))) for path in paths])
