"""Small radiographs as Part 10 files in every transfer syntax that the node accepts, with known pixels."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from node.dicom.contexts import BY_UID
from tests.support.paths import FIXTURES
from tests.support.peers.processes import require

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"


_DCMTK = {
    "1.2.840.10008.1.2.4.50": ["dcmcjpeg", "+eb", "+un", "+q", "95"],
    "1.2.840.10008.1.2.4.57": ["dcmcjpeg", "+el", "+un"],
    "1.2.840.10008.1.2.4.70": ["dcmcjpeg", "+e1", "+un"],
    "1.2.840.10008.1.2.4.80": ["dcmcjpls", "+el", "+un"],
    "1.2.840.10008.1.2.4.81": ["dcmcjpls", "+en", "+md", "2", "+un"],
    "1.2.840.10008.1.2.5": ["dcmcrle", "+un"],
}
_CODE_STREAMS = {
    "1.2.840.10008.1.2.4.90": "lossless.j2k",
    "1.2.840.10008.1.2.4.91": "lossy.j2k",
    "1.2.840.10008.1.2.4.201": "ht-lossless-rpcl.j2c",
    "1.2.840.10008.1.2.4.202": "ht-lossless-rpcl.j2c",
    "1.2.840.10008.1.2.4.203": "ht-lossy.j2c",
}


def rough(rows: int = 48, columns: int = 64) -> NDArray[np.uint16]:
    """A picture in which every error shows."""
    r, c = np.mgrid[0:rows, 0:columns]
    return ((r * 53 + c * 31) % 4096).astype(np.uint16)


def smooth(rows: int = 48, columns: int = 64) -> NDArray[np.uint16]:
    """A picture that lossy syntaxes keep nearly as it is."""
    r, c = np.mgrid[0:rows, 0:columns]
    return (r * 20 + c * 45).astype(np.uint16)


def radiograph(pixels: NDArray[Any] | None = None, *, sop_class: str = DX, **values: Any) -> Dataset:
    """Make a frontal chest radiograph; a value of None removes the attribute."""
    array = rough() if pixels is None else pixels
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), generate_uid()
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20240102", "101112", ""
    ds.Modality = {CR: "CR", SC: "OT"}.get(sop_class, "DX")
    if sop_class == DX:
        ds.PresentationIntentType = "FOR PRESENTATION"
    ds.Manufacturer = "Test"
    ds.StudyDescription = "Chest"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Planted^Name", "PLANTED-ID", "", ""
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = "PA"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", 1, 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = array.shape[:2]
    bits = array.dtype.itemsize * 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation = 0
    ds.PixelData = array.tobytes()
    for keyword, value in values.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def write(path: Path, ds: Dataset) -> Path:
    """Write a file, and give back its path."""
    ds.save_as(path, enforce_file_format=True)
    return path


def compressed(ds: Dataset, syntax: str) -> Dataset:
    """Give a radiograph the pixels of a syntax of JPEG 2000, and return it."""
    ds.PixelData = encapsulate([(FIXTURES / "jpeg2000" / _CODE_STREAMS[syntax]).read_bytes()])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    return ds


def write_in(path: Path, syntax: str) -> tuple[Path, NDArray[Any]]:
    """Write a radiograph in a transfer syntax; give back its path and the pixels that it was made from."""
    lossy = syntax in {"1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"}
    pixels: NDArray[Any] = smooth() if lossy else rough()
    if syntax == "1.2.840.10008.1.2.4.50":
        pixels = (smooth() // 16).astype(np.uint8)
    ds = radiograph(pixels)
    if not BY_UID[syntax].encapsulated:
        ds.file_meta.TransferSyntaxUID = UID(syntax)
        write(path, ds)
    elif syntax in _DCMTK:
        plain = write(path.with_suffix(".plain"), ds)
        program, *options = _DCMTK[syntax]
        command = [require(program), *options, str(plain), str(path)]
        subprocess.run(command, check=True, capture_output=True)
    else:
        write(path, compressed(ds, syntax))
    assert dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    return path, pixels
