"""SIIM-ACR pneumothorax challenge: DICOM in nested folders, masks as run-length strings.

Owner's layout: `dicom-images-train/STUDY/SERIES/INSTANCE.dcm` and `train-rle.csv` (stage 2: `stage_2_train.csv`) with
the columns ImageId (SOP Instance UID) and EncodedPixels; several rows of one image are its regions. Both dialects of
the strings are read, see models/image/rle.py.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.image import pixels, rle
from models.image.geometry import Orientation
from models.image.rle import Dialect, MalformedRle
from training.data import terms
from training.data.sources import files, nih
from training.data.sources.record import DataSet, Kind, Problems, Record, SourceRefused, finished

NAME = "siim"
TERMS = terms.LICENCE["siim"]
TABLES = ("train-rle.csv", "stage_2_train.csv")
IMAGES = "dicom-images-train"
LABEL = "pneumothorax"
NOTES = (
    "experts' truth; an image without a row is unknown, one with -1 has no pneumothorax",
    "the images are those of NIH ChestX-ray14: split by NIH's patients when both sets are used",
    "many of the patients already have a chest tube",
)


def read(folder: Path, dialect: Dialect | None = None) -> DataSet:
    """Read the owner's layout, or the part of DATA.md's nih/ that has experts' truth.

    `dialect` of the strings; None finds it by reading all of them.

    Raises
    ------
    SourceRefused
        Neither is there, or nothing could be found.
    """
    problems = Problems()
    place = files.table_of(folder, "nih")
    if place:
        return finished(NAME, TERMS, _from_table(place, problems), problems, notes=NOTES)
    table = next((folder / one for one in TABLES if (folder / one).is_file()), None)
    if table is None:
        raise SourceRefused(f"{folder} holds neither table.csv nor {' nor '.join(TABLES)}; fetch one from the owner")
    texts = _texts(table)
    chosen, note = (dialect, f"strings read as {dialect}") if dialect else found_dialect(texts.values())
    images = files.found(folder / IMAGES if (folder / IMAGES).is_dir() else folder, ("*.dcm",))
    records = []
    for name, parts in texts.items():
        path = images.get(f"{name}.dcm")
        if path is None:
            problems.add(Kind.MISSING, name, f"{table.name} names this image, but there is no {name}.dcm")
            continue
        record = _record(name, path, parts, chosen, problems)
        if record is not None:
            records.append(record)
    files.unlisted(images, {f"{name}.dcm" for name in texts}, problems)
    return finished(NAME, TERMS, records, problems, notes=(*NOTES, note))


def found_dialect(texts: Iterable[tuple[str, ...]]) -> tuple[Dialect, str]:
    """Return the dialect in which most strings are well formed (in doubt: relative), and how sure that is."""
    each = [text for parts in texts for text in parts]
    able = rle.possible(each)
    if len(able) == 1:
        return able[0], f"strings read as {able[0]}, the only dialect in which all are well formed"
    if able:
        return able[0], f"strings read as {able[0]}; they would be well formed as {', '.join(able[1:])} too"
    fitting = {one: sum(one in rle.possible([text]) for text in each) for one in Dialect}
    best = max(fitting, key=lambda one: fitting[one])
    return best, f"strings read as {best}: {fitting[best]} of {len(each)} are well formed in it, all in none"


def _texts(table: Path) -> dict[str, tuple[str, ...]]:
    """Return the strings of each image."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for row in files.rows(table, ("ImageId", "EncodedPixels")):
        grouped[row["ImageId"]].append(row["EncodedPixels"])
    return {name: tuple(parts) for name, parts in grouped.items()}


def _record(name: str, path: Path, texts: tuple[str, ...], dialect: Dialect, problems: Problems) -> Record | None:
    """Make the record of one image; None when its file or its strings cannot be read."""
    ds = files.header(path, problems)
    if ds is None:
        return None
    try:
        positive = bool(rle.union(texts, dialect=dialect).any())
    except MalformedRle as error:
        problems.add(Kind.LABEL, name, f"run-length string: {error}; left out")
        return None
    if positive and any(text in (rle.EMPTY, "") for text in texts):
        problems.add(Kind.LABEL, name, "one row says no pneumothorax, another outlines one; the outline is taken")
    record = Record(
        id=name,
        patient=files.text(ds, "PatientID") or name,
        path=path,
        image=files.dicom(path),
        labels={LABEL: float(positive)},
        view=files.view(files.text(ds, "ViewPosition"), name, problems),
        sex=files.sex(files.text(ds, "PatientSex"), name, problems),
        age_years=files.age(files.text(ds, "PatientAge"), name, problems),
        site="nih",
    )
    shape = (int(ds.get("Rows") or 0), int(ds.get("Columns") or 0))
    if shape != rle.CHALLENGE_SHAPE:
        problems.add(Kind.SIZE, path, f"{shape[0]} x {shape[1]}, the strings are of 1024 x 1024; its mask is left out")
        return record
    orientation, _ = pixels.orientation_of(ds)
    return replace(record, mask=functools.partial(_decoded, texts, dialect, orientation), mask_names=(LABEL,))


def _decoded(texts: tuple[str, ...], dialect: Dialect, orientation: Orientation) -> NDArray[np.uint8]:
    """Decode the mask (1, rows, columns) onto the canonical grid."""
    mask = orientation.to_canonical(rle.union(texts, dialect=dialect))
    return np.ascontiguousarray(mask, np.uint8)[None] * np.uint8(255)


def _from_table(folder: Path, problems: Problems) -> list[Record]:
    """Read the layout of DATA.md: `siim_positive` 1, 0 or nothing, masks in pneumothorax/."""
    records = []
    for row, path, shape in nih.listed_images(folder, problems):
        if row["siim_positive"] not in ("0", "1", ""):
            problems.add(Kind.LABEL, row["id"], f"siim_positive {row['siim_positive']!r}, 0, 1 or nothing was expected")
        elif row["siim_positive"]:
            record = nih.tabled(row, path, {LABEL: float(row["siim_positive"])}, None, problems)
            mask = _png_mask(folder / "pneumothorax" / f"{row['id']}.png", row, shape, problems)
            records.append(record if mask is None else replace(record, mask=mask, mask_names=(LABEL,)))
    return records


def _png_mask(
    path: Path, row: Mapping[str, str], shape: tuple[int, int], problems: Problems
) -> functools.partial[NDArray[np.uint8]] | None:
    """Return the reader of a mask; a negative one is empty, one without a file is unknown."""
    if row["siim_positive"] == "0":
        return functools.partial(np.zeros, (1, *shape), np.uint8)
    if row["pneumothorax_mask"] != "1":
        return None
    if not path.is_file():
        problems.add(Kind.MISSING, path, "table.csv states this mask")
        return None
    return functools.partial(_bit_mask, path) if files.sized(path, shape, problems) else None


def _bit_mask(path: Path) -> NDArray[np.uint8]:
    """Read a PNG mask (1, rows, columns)."""
    return np.where(files.bits(path) != 0, 255, 0).astype(np.uint8)[None]
