"""Files as owners distribute them: tables, pictures, DICOM headers, and the checks that all data sets share."""

from __future__ import annotations

import csv
import functools
import math
import warnings
from collections.abc import Callable, Collection, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.errors import Undecodable
from models.image import pixels
from models.image.pixels import Radiograph
from training.data.sources.record import Kind, Problems, Sex, SourceRefused, View

OLDEST_YEARS = 120.0
# Run-length strings of large masks are longer than the csv module's own limit.
CSV_FIELD_LIMIT = 10_000_000
HEADER = [
    "SOPInstanceUID",
    "PatientID",
    "PatientAge",
    "PatientSex",
    "ViewPosition",
    "Rows",
    "Columns",
    "InstitutionName",
    "PatientOrientation",
]


def table_of(folder: Path, name: str) -> Path | None:
    """Return the folder that holds the table.csv of the set `name`: this one or its child; None when there is none."""
    return next((one for one in (folder, folder / name) if (one / "table.csv").is_file()), None)


def rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Read a csv file; names and values are stripped, for some owners write a space after the comma.

    Raises
    ------
    SourceRefused
        The file is not there, is no UTF-8 text, lacks a column or names one twice, holds no row, or a row that is
        longer than the header, or too short for the needed columns. What is missing of the others is empty.
    """
    csv.field_size_limit(CSV_FIELD_LIMIT)
    try:
        # utf-8-sig: tables that passed through a spreadsheet begin with a mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [[part.strip() for part in line] for line in csv.reader(file) if line]
    except FileNotFoundError:
        raise SourceRefused(f"{path} is not there; put the owner's file of that name into the folder") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceRefused(f"{path} cannot be read as a table: {error}") from error
    header = lines[0] if lines else []
    absent = [name for name in needed if name not in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise SourceRefused(f"{path} names the column {', '.join(twice)} twice")
    if absent and len(header) == 1 and ";" in header[0]:
        raise SourceRefused(f"{path} has semicolons between its columns; save it with commas")
    if absent:
        raise SourceRefused(f"{path} has no column {', '.join(absent)}; its columns are {', '.join(header) or 'none'}")
    if len(lines) == 1:
        raise SourceRefused(f"{path} has a header and no row")
    for number, line in enumerate(lines[1:], 2):
        # Owners end lines with empty columns; what matters is that none of the named ones is cut off.
        if len(line) < max(header.index(name) for name in needed) + 1 or any(line[len(header) :]):
            raise SourceRefused(f"{path}, row {number}: {len(line)} columns, the header has {len(header)}")
    return [dict(zip_longest(header, line[: len(header)], fillvalue="")) for line in lines[1:]]


def found(folder: Path, patterns: Collection[str], *, without: Collection[str] = ()) -> dict[str, Path]:
    """Find files by patterns (case-sensitive) below a folder, by their name.

    Left out are hidden ones (`._x` of macOS) and those in folders named in `without`.

    Raises
    ------
    SourceRefused
        The folder is not there, or two files have one name.
    """
    if not folder.is_dir():
        raise SourceRefused(f"{folder} is not there; unpack the owner's archives so that this folder exists")
    files: dict[str, Path] = {}
    for path in sorted(one for pattern in patterns for one in folder.rglob(pattern)):
        if path.name.startswith(".") or not path.is_file() or set(path.relative_to(folder).parts).intersection(without):
            continue
        if files.setdefault(path.name, path) != path:
            raise SourceRefused(f"two files are named {path.name}: {files[path.name]} and {path}; keep one of them")
    return files


def gray(path: Path) -> NDArray[np.uint8]:
    """Read a picture file as one 8-bit channel (rows, columns).

    Raises
    ------
    Undecodable
        The file is no picture, or is cut short.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    # Pillow raises OSError for cut data, SyntaxError for broken PNG chunks, ValueError for impossible headers.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Undecodable(f"{path.name} is no readable picture: {error}") from error


def bits(path: Path) -> NDArray[np.uint8]:
    """Read a picture whose grey values are bit fields, as they are stored."""
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise Undecodable(f"{path.name} is no readable picture: {error}") from error


def inside(path: Path) -> NDArray[np.uint8]:
    """Read a mask (rows, columns): 255 where the picture is not 0, of one with colours where it is not black."""
    try:
        with Image.open(path) as image:
            stored = np.asarray(image if image.mode in ("1", "L", "P", "I", "I;16") else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise Undecodable(f"{path.name} is no readable picture: {error}") from error
    there = stored != 0 if stored.ndim == 2 else (stored != 0).any(axis=2)
    return np.where(there, 255, 0).astype(np.uint8)


def picture(path: Path, aspect: float = 1.0) -> Callable[[], Radiograph]:
    """Return the reader of a picture file."""
    return functools.partial(_picture, path, aspect)


def _picture(path: Path, aspect: float) -> Radiograph:
    """Read a picture as a radiograph."""
    return pixels.from_array(gray(path), aspect=aspect)


def dicom(path: Path) -> Callable[[], Radiograph]:
    """Return the reader of a DICOM file, the one of serving."""
    return functools.partial(pixels.read, path)


def size(path: Path, problems: Problems) -> tuple[int, int] | None:
    """Return rows and columns from a picture's header; notes the problem and gives None when it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return image.height, image.width
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        problems.add(Kind.UNREADABLE, path, f"no picture: {type(error).__name__}; fetch the file again")
        return None


def sized(path: Path, expected: tuple[int, int] | None, problems: Problems) -> bool:
    """Return whether a picture's header can be read and states the expected size; note what is not so."""
    given = size(path, problems)
    if given is not None and expected is not None and given != expected:
        problems.add(Kind.SIZE, path, f"{given[0]} x {given[1]}, {expected[0]} x {expected[1]} was expected; left out")
        return False
    return given is not None


def header(path: Path, problems: Problems) -> pydicom.Dataset | None:
    """Read what the sets need of a DICOM header; notes the problem and gives None when it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER)
            for keyword in HEADER:
                ds.get(keyword)
    # pydicom raises whatever a damaged header leads it to; each of them means the same to the caller.
    except Exception as error:
        problems.add(Kind.UNREADABLE, path, f"no DICOM file: {type(error).__name__}; fetch the file again")
        return None
    return ds


def text(ds: pydicom.Dataset, keyword: str) -> str | None:
    """Return an attribute's text; None when it is absent or empty."""
    return str(ds.get(keyword) or "").strip() or None


def age(value: str | None, where: str, problems: Problems) -> float | None:
    """Read an age in years: "58", "058Y", "006M", "012W", "003D"; what is implausible is noted and unknown."""
    if value is None or not value.strip():
        return None
    written = value.strip().upper()
    per_year = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
    number, unit = (written[:-1], written[-1]) if written[-1] in per_year else (written, "Y")
    try:
        years = float(number) / per_year[unit]
    except ValueError:
        years = math.nan
    if not 0 <= years <= OLDEST_YEARS:
        problems.add(Kind.VALUE, where, f"age {value!r}, 0 to {OLDEST_YEARS:g} years were expected; taken for unknown")
        return None
    return years


def sex(value: str | None, where: str, problems: Problems) -> Sex | None:
    """Read F or M; O (other) and nothing are unknown to subgroups, anything else is noted too."""
    match (value or "").strip().upper():
        case "F" | "FEMALE":
            return "F"
        case "M" | "MALE":
            return "M"
        case "" | "O" | "U" | "UNKNOWN":
            return None
    problems.add(Kind.VALUE, where, f"sex {value!r}, F or M was expected; taken for unknown")
    return None


def view(value: str | None, where: str, problems: Problems) -> View | None:
    """Read a view position; anything but PA, AP and lateral is noted and unknown."""
    written = (value or "").strip().upper()
    if written in get_args(View):
        return written  # type: ignore[return-value]  # narrowed by the line above
    if written in {"LL", "RL", "LAT"}:
        return "LATERAL"
    if written:
        problems.add(Kind.VALUE, where, f"view {value!r}, PA, AP or LATERAL was expected; taken for unknown")
    return None


def unlisted(files: dict[str, Path], listed: Collection[str], problems: Problems) -> None:
    """Note the files that no table names."""
    for name in sorted(files.keys() - set(listed)):
        problems.add(Kind.UNLISTED, files[name], "no row of the table names this file; it is left out")


def published(given: int, whole: int, what: str) -> tuple[str, ...]:
    """Say in a note that this is not the whole of what was published."""
    return () if given == whole else (f"{given:,} of the {whole:,} published {what} are read here",)


def as_volume_slice(read: Callable[[], Any]) -> Callable[[], Radiograph]:
    """Return the reader of the middle slice of a volume, between robust percentiles."""
    return functools.partial(_middle, read)


def _middle(read: Callable[[], Any]) -> Radiograph:
    """Show the middle slice."""
    image = np.asarray(read().image)
    plane = image[len(image) // 2]
    if plane.dtype == np.uint8:
        return pixels.from_array(np.ascontiguousarray(plane))
    low, high = float(plane.min()), float(plane.max())
    scaled = np.rint((plane.astype(np.float64) - low) / max(high - low, 1e-9) * 65535).astype(np.uint16)
    return pixels.from_array(np.ascontiguousarray(scaled))
