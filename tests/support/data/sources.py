"""Small synthetic source images as Part 10 files: DX For Presentation, CR and SC, with gradient pixels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

if TYPE_CHECKING:
    from workers.results.sources.source import Source

STUDY = "1.2.826.0.1.3680043.8.498.1"
CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"

_ROOT, _INVALID_ROOT = ".3680043.", ".0680043."
INVALID_STUDY = STUDY.replace(_ROOT, _INVALID_ROOT)
"""The study of an image with all its UIDs invalid."""

_MODALITY = {CR: "CR", DX: "DX", SC: "OT"}


def source(
    folder: Path,
    *,
    sop_class: str = DX,
    rows: int = 96,
    columns: int = 80,
    number: int = 1,
    drop: tuple[str, ...] = (),
    **values: Any,
) -> Path:
    """Write one image and return its path; `drop` removes attributes, `values` sets them."""
    ds = _image(sop_class, rows, columns, number)
    _describe(ds, sop_class)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    for keyword in drop:
        delattr(ds, keyword)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.3.{number}")
    path = folder / f"{_MODALITY[sop_class]}-{rows}x{columns}-{number}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def read_sources(paths: Iterable[Path]) -> tuple[Source, ...]:
    """Read the headers of files as one study's."""
    from workers.results.sources.source import in_order, read_source  # not there in tests of the node alone

    found = []
    for path in paths:
        with path.open("rb") as file:
            found.append(read_source(file, path))
    return in_order(source for source in found if source is not None)


def uid(number: int = 1) -> str:
    """Return the SOP Instance UID of the image with this number."""
    return f"{STUDY}.3.{number}"


def with_invalid_uids(path: Path, *, number: int = 1, study: bool = False) -> str:
    """Give an image a component with a leading zero in its SOP Instance UID, or in all its UIDs; return the former.

    The bytes are changed, as they come from a sender: pydicom would warn of such a value.
    """
    valid, invalid = uid(number).encode(), uid(number).replace(_ROOT, _INVALID_ROOT).encode()
    content = path.read_bytes()
    changed = content.replace(_ROOT.encode(), _INVALID_ROOT.encode()) if study else content.replace(valid, invalid)
    path.write_bytes(changed)
    return invalid.decode()


def _image(sop_class: str, rows: int, columns: int, number: int) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = UID(sop_class)
    ds.SOPInstanceUID = UID(uid(number))
    ds.StudyInstanceUID = UID(STUDY)
    ds.SeriesInstanceUID = UID(f"{STUDY}.2.{number}")
    ds.Modality = _MODALITY[sop_class]
    ds.SeriesNumber = number
    ds.InstanceNumber = 1
    ds.Rows, ds.Columns = rows, columns
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    gradient = np.add.outer(np.arange(rows), np.arange(columns)) * 4095 // (rows + columns)
    ds.PixelData = gradient.astype("<u2").tobytes()
    return ds


def _describe(ds: Dataset, sop_class: str) -> None:
    ds.PatientName = "Planted^Patient"
    ds.PatientID = "PLANTED-ID"
    ds.PatientBirthDate = "19600229"
    ds.PatientSex = "F"
    ds.PatientAge = "066Y"
    ds.StudyDate, ds.StudyTime, ds.StudyID = "20260110", "081500", "S1"
    ds.AccessionNumber = "ACC-1"
    ds.ReferringPhysicianName = "Planted^Referrer"
    ds.StudyDescription = "Chest PA"
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = "PA"
    ds.PatientOrientation = ["L", "F"]
    ds.PixelSpacing = ["0.2", "0.2"]
    if sop_class != SC:
        ds.ImagerPixelSpacing = ["0.2", "0.2"]
    if sop_class == DX:
        ds.PresentationIntentType = "FOR PRESENTATION"
