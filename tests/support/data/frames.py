"""Compressed frames, sound and altered, around which a header says something else."""

from __future__ import annotations

import functools
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import config, uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from models.phantom import dicom
from models.phantom.image import Phantom, generate

LOSSLESS = (uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless)


@functools.cache
def _phantom(rows: int, columns: int) -> Phantom:
    return generate(seed=7, rows=rows, columns=columns)


def picture(rows: int = 160, columns: int = 128) -> NDArray[np.uint16]:
    """Return a chest of 12 bits: smooth enough that neighbours tell a wrong sign."""
    return _phantom(rows, columns).pixels.astype(np.uint16)


def radiograph(pixels: NDArray[Any], *, bits: int = 12, **attributes: Any) -> Dataset:
    """Return a native radiograph; an attribute of None is left out."""
    ds = dicom.dataset(_phantom(160, 128))
    allocated = 8 * pixels.dtype.itemsize
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    raw = pixels.tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OB" if allocated == 8 else "OW"
    change(ds, **attributes)
    return ds


def change(ds: Dataset, **attributes: Any) -> Dataset:
    """Set attributes, whatever their values; one of None is taken out."""
    with config.disable_value_validation():
        for keyword, value in attributes.items():
            if value is None:
                ds.pop(keyword, None)
            else:
                setattr(ds, keyword, value)
    return ds


def codestream(pixels: NDArray[Any], syntax: str, *, bits: int = 12) -> bytes:
    """Compress pixels without loss, by pydicom's encoders, as the header of `radiograph` describes them."""
    ds = radiograph(pixels, bits=bits)
    ds.compress(uid.UID(syntax), generate_instance_uid=False)
    return get_frame(ds.PixelData, 0, number_of_frames=1)


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    """Compress by Pillow: baseline, or progressive where that is asked for."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, **options)
    return out.getvalue()


def items(*fragments: bytes, offsets: bytes = b"", end: bool = True) -> bytes:
    """Encapsulate fragments as they are (PS3.5 section A.4)."""
    out = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (offsets, *fragments))
    return out + (struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if end else b"")


def even(frame: bytes) -> bytes:
    """Pad a frame to an even length."""
    return frame + b"\0" * (len(frame) % 2)


def with_frame(ds: Dataset, frame: bytes, syntax: str, **attributes: Any) -> Dataset:
    """Put a compressed frame under a header."""
    return with_items(ds, items(even(frame)), syntax, **attributes)


def with_items(ds: Dataset, encapsulated: bytes, syntax: str, **attributes: Any) -> Dataset:
    """Put encapsulated pixel data under a header."""
    ds.PixelData = encapsulated
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = uid.UID(syntax)
    return change(ds, **attributes)


def write(path: Path, ds: Dataset) -> Path:
    """Write a file, and give back its path."""
    with config.disable_value_validation():
        ds.save_as(path, enforce_file_format=True)
    return path


def boxed(stream: bytes, *before: tuple[bytes, bytes]) -> bytes:
    """Wrap a JPEG 2000 codestream in boxes, others before it."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    signature, file_type = box(b"jP  ", b"\r\n\x87\n"), box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return signature + file_type + b"".join(box(*other) for other in before) + box(b"jp2c", stream)
