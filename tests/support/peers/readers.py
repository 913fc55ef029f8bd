"""Masks of a Segmentation as programs of others read them, by Segment Number, bool (rows, columns).

Of DCMTK's programs only the bytes are taken; the bits are counted here (PS3.5 section 8.1.1: least significant first).
"""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.seg import segread
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

Masks = dict[int, NDArray[np.bool_]]


class Refused(Exception):
    """The program does not read this object; the message is what it said."""


def program(name: str) -> str:
    """Return the path of a program of the system or of this environment; skips where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program; its output may quote the object in any character set."""
    return subprocess.run(
        [str(a) for a in arguments], capture_output=True, text=True, errors="replace", check=False, timeout=120
    )


def highdicom_masks(path: Path) -> Masks:
    """Return the masks as highdicom reads them."""
    seg = segread(path)
    image = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
    numbers = list(seg.segment_numbers)
    planes: NDArray[Any] = seg.get_pixels_by_source_instance(
        [image], segment_numbers=numbers, ignore_spatial_locations=True
    )
    return {number: planes[0, ..., index].astype(bool) for index, number in enumerate(numbers)}


def dcm2json_masks(path: Path) -> Masks:
    """Return the masks from the JSON that DCMTK's dcm2json writes."""
    done = run(program("dcm2json"), path)
    if done.returncode != 0:
        raise Refused(_cause(done))
    ds = json.loads(done.stdout)
    rows, columns = (ds[tag]["Value"][0] for tag in ("00280010", "00280011"))
    (shared,), frames = ds["52009229"]["Value"], ds["52009230"]["Value"]
    numbers = [{**shared, **frame}["0062000A"]["Value"][0]["0062000B"]["Value"][0] for frame in frames]
    return _unpacked(base64.b64decode(ds["7FE00010"]["InlineBinary"]), numbers, rows, columns)


def dcmdump_masks(path: Path, folder: Path) -> Masks:
    """Return the masks from the raw pixel data that DCMTK's dcmdump writes; it names no frame, so pydicom does."""
    done = run(program("dcmdump"), "+W", folder, path)
    if done.returncode != 0:
        raise Refused(_cause(done))
    (raw,) = folder.glob("*.raw")
    ds = dcmread(path, stop_before_pixels=True)
    return _unpacked(raw.read_bytes(), _segments_of_frames(ds), int(ds.Rows), int(ds.Columns))


def stored_masks(path: Path) -> Masks:
    """Return the masks of a BINARY SEG by counting the bits in its file: what readers are compared with."""
    ds = dcmread(path)
    return _unpacked(ds.PixelData, _segments_of_frames(ds), int(ds.Rows), int(ds.Columns))


def dcmqi_masks(path: Path, folder: Path) -> Masks:
    """Return the masks as dcmqi's segimage2itkimage reads them, one file for each segment.

    Raises
    ------
    Refused
        It found no position, or another fault.
    """
    done = run(program("segimage2itkimage"), "--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd")
    if done.returncode != 0:
        raise Refused(_cause(done))
    return {int(found.stem): _nrrd(found) > 0 for found in folder.glob("*.nrrd")}


def with_positions(path: Path) -> Dataset:
    """Return a copy with a position for each frame: dcmqi reads slices of a volume, which a radiograph is not."""
    ds = dcmread(path)
    for frame in ds.PerFrameFunctionalGroupsSequence:
        position = Dataset()
        position.ImagePositionPatient = [0, 0, 0]
        frame.PlanePositionSequence = [position]
    return ds


def _segments_of_frames(seg: Dataset) -> list[int]:
    """Return the Segment Number of each frame."""
    (shared,) = seg.SharedFunctionalGroupsSequence
    # What all frames have in common stands in the shared groups: where there is one frame, its segment too.
    groups = [shared if "SegmentIdentificationSequence" in shared else g for g in seg.PerFrameFunctionalGroupsSequence]
    return [int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for group in groups]


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    """Return the exit status and the first thing that was said."""
    said = [line.removeprefix("W: ").removeprefix("E: ") for line in done.stderr.splitlines() if line.strip()]
    return f"exit status {done.returncode}, {said[0] if said else 'nothing said'}".replace("|", "/")


def _unpacked(packed: bytes, numbers: list[int], rows: int, columns: int) -> Masks:
    """Unpack BINARY frames, which follow one another without padding."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    frames = bits[: len(numbers) * rows * columns].reshape(len(numbers), rows, columns).astype(bool)
    return dict(zip(numbers, frames, strict=True))


def _nrrd(path: Path) -> NDArray[Any]:
    """Read one slice of an NRRD file."""
    header, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    columns, rows, _ = map(int, fields["sizes"].split())
    kind = {"short": "<i2", "unsigned char": "u1", "unsigned short": "<u2"}[fields["type"]]
    content = gzip.decompress(body) if fields["encoding"] == "gzip" else body
    return np.frombuffer(content, kind).reshape(rows, columns)
