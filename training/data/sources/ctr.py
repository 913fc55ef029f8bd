"""Frontal radiographs with lung and heart masks: JSRT (Shiraishi 2000) with SCR (van Ginneken 2006), and the like.

Owner's layout: images `JPCLN001.IMG` (raw, 2048 x 2048, 12 bits, big-endian, white is 0) or pictures of the same
stem anywhere in the folder, and masks in folders `heart`, `left lung` and `right lung` below `fold1/masks` and
`fold2/masks` of SCR, by the same stems. Any set in this form is read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import Undecodable
from models.image import pixels
from models.image.pixels import Radiograph
from training.data import terms
from training.data.sources import files
from training.data.sources.record import DataSet, Kind, Problems, Record, SourceRefused, finished

NAME = "ctr"
TERMS = (
    "; ".join(f"{name}: {terms.LICENCE[name][0]}" for name in ("wingspan", "jsrt")),
    "; ".join(terms.LICENCE[name][1] for name in ("wingspan", "jsrt")),
)
STRUCTURES = ("right lung", "left lung", "heart")
MASK_NAMES = ("right-lung", "left-lung", "heart")
# Of DATA.md's table.
COLUMNS = ("id", "site", "patient", "ctr_from_masks", "ctr_given", "heart_x0", "heart_y0", "heart_x1", "heart_y1")
RAW_SHAPE = (2048, 2048)
RAW_MAXIMUM = 4095
PICTURES = ("*.png", "*.jpg", "*.jpeg", "*.gif", "*.bmp")
NOTES = (
    "the lung masks of JSRT leave out what lies behind heart and diaphragm",
    "JSRT images have black corner blocks and burnt-in letters; Wingspan images are squashed to a square",
)


def read(folder: Path) -> DataSet:
    """Read JSRT with SCR, or table.csv.

    Raises
    ------
    SourceRefused
        Neither is there, or nothing could be found.
    """
    problems = Problems()
    place = files.table_of(folder, NAME)
    records = _from_table(place, problems) if place else _from_masks(folder, problems)
    return finished(NAME, TERMS, records, problems, notes=NOTES)


def _from_masks(folder: Path, problems: Problems) -> list[Record]:
    """Read images and masks by their stems."""
    masks = {name: _masks_in(folder, name) for name in STRUCTURES}
    absent = [name for name, found in masks.items() if not found]
    if absent:
        raise SourceRefused(
            f"{folder} holds neither table.csv nor masks in folders named {', '.join(absent)}; "
            "unpack the SCR database beside the images of JSRT"
        )
    found = files.found(folder, ("*.IMG", "*.img", *PICTURES), without=("masks", *STRUCTURES))
    images = {path.stem: path for path in found.values()}
    records = []
    for stem, path in images.items():
        paths = tuple(masks[name].get(stem) for name in STRUCTURES)
        for name, mask in zip(STRUCTURES, paths, strict=True):
            if mask is None:
                problems.add(Kind.MISSING, f"{name}/{stem}", f"there is an image {path.name} without this mask")
        if _readable(path, problems):
            known = tuple(mask for mask in paths if mask is not None and files.sized(mask, None, problems))
            records.append(_record(path, known if len(known) == len(STRUCTURES) else ()))
    for stem in sorted({stem for found in masks.values() for stem in found} - images.keys()):
        problems.add(Kind.MISSING, stem, "there are masks without an image of this name")
    return records


def _masks_in(folder: Path, structure: str) -> dict[str, Path]:
    """Return the mask files of one structure by stem."""
    found: dict[str, Path] = {}
    for place in sorted(one for one in folder.rglob(structure) if one.is_dir()):
        found |= {path.stem: path for path in files.found(place, PICTURES).values()}
    return found


def _readable(path: Path, problems: Problems) -> bool:
    """Return whether an image has the size of a raw one, or the header of a picture."""
    if path.suffix.lower() != ".img":
        return files.sized(path, None, problems)
    expected = 2 * RAW_SHAPE[0] * RAW_SHAPE[1]
    if path.stat().st_size == expected:
        return True
    problems.add(Kind.SIZE, path, f"{path.stat().st_size} bytes, a raw image of JSRT has {expected}; fetch it again")
    return False


def _record(path: Path, masks: tuple[Path, ...]) -> Record:
    """Make the record of one image; without masks when one is missing."""
    raw = path.suffix.lower() == ".img"
    image = functools.partial(_raw, path) if raw else files.picture(path)
    return Record(
        id=path.stem,
        patient=path.stem,
        path=path,
        image=image,
        labels=_nodule(path.stem),
        mask=functools.partial(_stacked, masks, image) if masks else None,
        mask_names=MASK_NAMES if masks else (),
        view="PA" if path.stem.startswith("JPC") else None,
        site="jsrt" if path.stem.startswith("JPC") else None,
    )


def _nodule(stem: str) -> Mapping[str, float]:
    """Read from JSRT's names whether there is a nodule: JPCLN has one, JPCNN none."""
    return {"nodule": float(stem.startswith("JPCLN"))} if stem.startswith(("JPCLN", "JPCNN")) else {}


def _raw(path: Path) -> Radiograph:
    """Read a raw image of JSRT, which has white at 0."""
    stored = np.fromfile(path, ">u2")
    if stored.size != RAW_SHAPE[0] * RAW_SHAPE[1]:
        raise Undecodable(f"{path.name}: {stored.size} pixels, {RAW_SHAPE[0] * RAW_SHAPE[1]} were expected")
    grey = RAW_MAXIMUM - np.minimum(stored, RAW_MAXIMUM)
    return pixels.from_array(grey.astype(np.uint16).reshape(RAW_SHAPE))


def _stacked(masks: tuple[Path, ...], image: Callable[[], Radiograph]) -> NDArray[np.uint8]:
    """Read the masks (3, rows, columns) on the grid of the image; SCR's have half its size.

    The lung on the picture's left is the patient's right one; files that say otherwise are exchanged.
    """
    rows, columns = image().shape
    right, left, heart = (
        cv2.resize(
            np.where(files.gray(path) > 127, 255, 0).astype(np.uint8),
            (columns, rows),
            interpolation=cv2.INTER_NEAREST,
        )
        for path in masks
    )
    if _column(right) > _column(left):
        right, left = left, right
    return np.stack([right, left, heart])


def _column(mask: NDArray[Any]) -> float:
    """Return the mean column of what is inside; 0 when nothing is."""
    inside = np.nonzero(mask)[1]
    return float(inside.mean()) if len(inside) else 0.0


def _from_table(folder: Path, problems: Problems) -> list[Record]:
    """Read the layout of DATA.md: one PNG of bit fields an image."""
    records = []
    for row in files.rows(folder / "table.csv", COLUMNS):
        path, mask = folder / "images" / f"{row['id']}.jpg", folder / "masks" / f"{row['id']}.png"
        absent = [one for one in (path, mask) if not one.is_file()]
        for one in absent:
            problems.add(Kind.MISSING, one, "table.csv names this image")
        shape = None if absent else files.size(path, problems)
        if shape is not None and files.sized(mask, shape, problems):
            reader = functools.partial(_bit_fields, mask)
            records.append(
                Record(
                    id=row["id"],
                    patient=row["patient"],
                    path=path,
                    image=files.picture(path),
                    mask=reader,
                    mask_names=MASK_NAMES,
                    site=row["site"] or None,
                    reference=_measured(row),
                )
            )
    return records


def _measured(row: Mapping[str, str]) -> dict[str, float]:
    """Return the cardiothoracic ratio of the masks, that of readers, and the edges of the heart."""
    columns = {"ratio": "ctr_from_masks", "ratio by readers": "ctr_given"}
    columns |= {one: one for one in ("heart_x0", "heart_y0", "heart_x1", "heart_y1")}
    return {name: float(row[column] or "nan") for name, column in columns.items()}


def _bit_fields(path: Path) -> NDArray[np.uint8]:
    """Read right lung, left lung and heart (3, rows, columns)."""
    fields = files.bits(path)
    return np.stack([np.where(fields & bit, 255, 0).astype(np.uint8) for bit in (1, 2, 4)])
