"""Small MR series as Part 10 files: any direction of the slices, any order of files and numbers, a bright ellipsoid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

MR = "1.2.840.10008.5.1.4.1.1.4"
ROOT = "1.2.826.0.1.3680043.8.498.77"
SERIES = f"{ROOT}.2"
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))


def oblique(degrees: float = 12.0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return row and column directions of axial slices that are turned about two axes."""
    a, b = np.radians(degrees), np.radians(degrees / 2)
    row = np.array([np.cos(a), np.sin(a), 0.0])
    column = np.array([-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b)])
    return tuple(row.tolist()), tuple(column.tolist())


def instance(number: int) -> str:
    """Return the SOP Instance UID of the slice at this place along the normal."""
    return f"{ROOT}.3.{number + 1}"


def ellipsoid(shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Return a mask without symmetry: an ellipsoid off the middle, and a bar at its one end."""
    z, y, x = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    mask = ((z - 0.5) / 0.3) ** 2 + ((y - 0.42) / 0.22) ** 2 + ((x - 0.56) / 0.3) ** 2 < 1
    mask |= (abs(z - 0.7) < 0.08) & (abs(y - 0.42) < 0.08) & (x > 0.56) & (x < 0.95)
    return np.asarray(mask)


def series(
    folder: Path,
    volume: NDArray[np.uint16],
    *,
    directions: tuple[tuple[float, ...], tuple[float, ...]] = AXIAL,
    spacing_mm: tuple[float, float, float] = (2.5, 1.25, 1.25),
    origin_mm: tuple[float, float, float] = (-60.0, -70.0, 15.0),
    reverse: bool = False,
    leave_out: tuple[int, ...] = (),
    **values: object,
) -> list[Path]:
    """Write one file a slice and return their paths in another order.

    Parameters
    ----------
    volume : (slices, rows, columns); slices along the normal of the directions.
    reverse : instance numbers run against the normal.
    """
    row, column = (np.array(d) for d in directions)
    normal = np.cross(row, column)
    paths = []
    for place, pixels in enumerate(volume):
        if place in leave_out:
            continue
        number = len(volume) - place if reverse else place + 1
        ds = _described(pixels, place, number)
        ds.ImageOrientationPatient = [_decimal(v) for v in (*row, *column)]
        position = np.array(origin_mm) + normal * spacing_mm[0] * place
        ds.ImagePositionPatient = [_decimal(v) for v in position]
        ds.PixelSpacing = [str(spacing_mm[1]), str(spacing_mm[2])]
        ds.SliceThickness = "2"
        for keyword, value in values.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        path = folder / f"mr-{(place * 7) % len(volume):03d}-{place}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return sorted(paths)


def _decimal(value: float) -> str:
    return f"{value:.10f}"[:16]


def _described(pixels: NDArray[np.uint16], place: int, number: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = UID(MR)
    ds.file_meta.MediaStorageSOPInstanceUID = UID(instance(place))
    ds.SOPClassUID, ds.SOPInstanceUID = UID(MR), UID(instance(place))
    ds.StudyInstanceUID, ds.SeriesInstanceUID = UID(f"{ROOT}.1"), UID(SERIES)
    ds.FrameOfReferenceUID = UID(f"{ROOT}.4")
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "MR", 5, number
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Planted^Patient", "PLANTED-ID", "19600229", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260110", "081500", "S1", "ACC-1"
    ds.ReferringPhysicianName = None
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.astype("<u2").tobytes()
    return ds
