"""MR volumes with the left atrium outlined: Task02_Heart of the Medical Segmentation Decathlon, or DATA.md's .npz.

Owner's layout: `dataset.json`, `imagesTr/la_*.nii.gz`, `labelsTr/` by the same names, `imagesTs/` without labels.
Slices are given from the feet up, rows lead to the back and columns to the patient's left, as axial slices are shown.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import Undecodable
from training.data import terms
from training.data.sources import files
from training.data.sources.record import UNKNOWN, DataSet, Kind, Problems, Record, SourceRefused, Volume, finished

NAME = "atrium"
TERMS = terms.LICENCE["atrium"]
MSD_TERMS = (
    "CC BY-SA 4.0",
    "Antonelli et al. 2022, The Medical Segmentation Decathlon; Task02, King's College London",
)
LABEL = "left-atrium"
SUFFIXES = (".nii.gz", ".nii")
NOTES = ("volumes: the picture of a record is the middle slice", "few patients: figures from them are wide")


def read(folder: Path) -> DataSet:
    """Read Task02_Heart, or table.csv with .npz files.

    Raises
    ------
    SourceRefused
        Neither is there, nothing could be found, or nibabel is not installed.
    """
    problems = Problems()
    place = files.table_of(folder, NAME)
    if place:
        return finished(NAME, TERMS, _from_table(place, problems), problems, notes=NOTES)
    root = folder / "Task02_Heart" if (folder / "Task02_Heart").is_dir() else folder
    return finished(NAME, MSD_TERMS, _from_nifti(root, problems), problems, notes=NOTES)


def _from_table(folder: Path, problems: Problems) -> list[Record]:
    """Read the layout of DATA.md."""
    records = []
    for row in files.rows(folder / "table.csv", ("id", "rows", "columns", "slices")):
        path = folder / f"{row['id']}.npz"
        if not path.is_file():
            problems.add(Kind.MISSING, path, "table.csv names this volume")
            continue
        expected = (int(row["rows"]), int(row["columns"]), int(row["slices"]))
        try:
            _npz(path, expected)
        except Undecodable as error:
            problems.add(Kind.UNREADABLE, path, str(error))
            continue
        records.append(_record(row["id"], path, functools.partial(_npz, path, expected), labelled=True))
    return records


def _record(name: str, path: Path, volume: functools.partial[Volume], *, labelled: bool) -> Record:
    """Make the record of one volume."""
    labels = {LABEL: 1.0 if labelled else UNKNOWN}
    return Record(name, name, path, files.as_volume_slice(volume), labels, volume=volume)


def _npz(path: Path, expected: tuple[int, int, int]) -> Volume:
    """Read image and label, stored as (left, back, head); `expected` are the sizes of these axes."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            image, label = stored["image"], stored["label"]
    # A cut archive, a missing entry, an object array: numpy and zipfile raise each their own.
    except Exception as error:
        raise Undecodable(f"{path.name} is no .npz of image and label: {type(error).__name__}") from error
    _check(path, image, label)
    if image.shape != expected:
        raise Undecodable(f"{path.name} is {image.shape}, table.csv says {expected} (rows, columns, slices)")
    return Volume(np.ascontiguousarray(image.transpose()), np.ascontiguousarray(label.transpose() != 0))


def _check(path: Path, image: NDArray[Any], label: NDArray[Any]) -> None:
    """Refuse what is no volume with a mask of 0 and 1."""
    if image.ndim != 3 or image.shape != label.shape:
        raise Undecodable(f"{path.name}: image {image.shape} with label {label.shape}, one 3-D shape was expected")
    if not np.isin(np.unique(label), (0, 1)).all():
        raise Undecodable(f"{path.name}: label values {np.unique(label)[:5].tolist()}, 0 and 1 were expected")


def _from_nifti(root: Path, problems: Problems) -> list[Record]:
    """Read the layout of the Decathlon."""
    _nibabel()
    images, labels = _nifti_in(root / "imagesTr"), _nifti_in(root / "labelsTr")
    tests = _nifti_in(root / "imagesTs") if (root / "imagesTs").is_dir() else {}
    _check_listed(root / "dataset.json", images, tests, problems)
    records = []
    for name, path in {**images, **tests}.items():
        label = labels.get(name) if name in images else None
        if name in images and label is None:
            problems.add(Kind.MISSING, root / "labelsTr" / path.name, "there is an image without this label")
        volume = functools.partial(_nifti, path, label)
        try:
            _check_shapes(path, label)
        except Undecodable as error:
            problems.add(Kind.UNREADABLE, path, str(error))
            continue
        records.append(_record(name, path, volume, labelled=label is not None))
    for name in sorted(labels.keys() - images.keys()):
        problems.add(Kind.MISSING, root / "imagesTr" / labels[name].name, "there is a label without this image")
    return records


def _nifti_in(folder: Path) -> dict[str, Path]:
    """Return the NIfTI files of a folder by name without suffix."""
    found = files.found(folder, tuple(f"*{suffix}" for suffix in SUFFIXES))
    return {name.removesuffix(".gz").removesuffix(".nii"): path for name, path in found.items()}


def _check_listed(table: Path, images: dict[str, Path], tests: dict[str, Path], problems: Problems) -> None:
    """Compare the files with dataset.json."""
    try:
        content = json.loads(table.read_text())
        listed = {Path(one["image"]).name for one in content["training"]}
        listed |= {Path(one).name for one in content["test"]} if tests else set()
    except FileNotFoundError:
        problems.add(Kind.MISSING, table, "without it the number of volumes is not checked")
        return
    except (ValueError, KeyError, TypeError) as error:
        raise SourceRefused(f"{table} is not the Decathlon's (training, test): {error!r}") from error
    given = {path.name: path for path in (*images.values(), *tests.values())}
    for name in sorted(listed - given.keys()):
        problems.add(Kind.MISSING, name, "dataset.json names this volume")
    files.unlisted(given, listed, problems)


def _nibabel() -> Any:
    """Return nibabel, or say what to install."""
    try:
        import nibabel
    except ImportError:
        raise SourceRefused("NIfTI files are read by nibabel: pip install nibabel (extra `training`)") from None
    return nibabel


def _check_shapes(image: Path, label: Path | None) -> None:
    """Compare the headers of image and label."""
    shapes = [_load(path).shape for path in (image, label) if path is not None]
    if any(len(shape) != 3 or shape != shapes[0] for shape in shapes):
        raise Undecodable(f"{image.name}: shapes {shapes}, one 3-D shape was expected")


def _load(path: Path) -> Any:
    """Open a NIfTI file with its axes led to left, back and up."""
    nibabel = _nibabel()
    try:
        stored = nibabel.load(path)
        axes = nibabel.orientations.io_orientation(stored.affine)
        wanted = nibabel.orientations.axcodes2ornt(("L", "P", "S"))
        return stored.as_reoriented(nibabel.orientations.ornt_transform(axes, wanted))
    # nibabel, gzip and numpy raise each their own for damaged files; each of them means the same to the caller.
    except Exception as error:
        raise Undecodable(f"{path.name} is no readable NIfTI file: {type(error).__name__}: {error}") from error


def _nifti(path: Path, label: Path | None) -> Volume:
    """Read a volume (slices, rows, columns) with its mask."""
    image = _load(path)
    columns_mm, rows_mm, slices_mm = (float(one) for one in image.header.get_zooms()[:3])
    values = _values(path, image)
    mask = None
    if label is not None:
        stored = _values(label, _load(label))
        _check(label, values, stored)
        mask = stored != 0
    return Volume(values, mask, (slices_mm, rows_mm, columns_mm))


def _values(path: Path, image: Any) -> NDArray[np.float32]:
    """Decode (columns, rows, slices) to (slices, rows, columns)."""
    try:
        return np.ascontiguousarray(np.asarray(image.dataobj, np.float32).T)
    except Exception as error:
        raise Undecodable(f"{path.name} is cut short or altered: {type(error).__name__}") from error
