"""From a DICOM file to stored pixel values: header limits, choice of the decoder, colour.

Nothing here interprets values; see models/image/display.py. Decoders are named, not taken as they come: pydicom uses
the first that is available. The order within an entry follows the times in docs (RLE: 15 ms with pylibjpeg-rle against
180; JPEG-LS: 88 ms with pyjpegls against 170; JPEG 2000: 391 ms with gdcm against 532), the next one being tried when
one fails: "available" is no proof that a decoder copes with a file.
"""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from models.errors import Undecodable

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 1 << 30
# Part of the pixels that may be coloured (a burnt-in mark) in a picture that is taken for grey.
MAX_COLOURED = 0.01

NATIVE = frozenset({uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian})
# The plugin "pylibjpeg" decodes JPEG only where pylibjpeg-libjpeg (GPL-3) is installed: an optional extra.
DECODERS: dict[str, tuple[str, ...]] = {
    uid.JPEGBaseline8Bit: ("pillow", "gdcm"),
    uid.JPEGExtended12Bit: ("pylibjpeg", "pillow"),
    uid.JPEGLossless: ("gdcm", "pylibjpeg"),
    uid.JPEGLosslessSV1: ("gdcm", "pylibjpeg"),
    uid.JPEGLSLossless: ("pyjpegls", "gdcm"),
    uid.JPEGLSNearLossless: ("pyjpegls", "gdcm"),
    uid.JPEG2000Lossless: ("gdcm", "pylibjpeg"),
    uid.JPEG2000: ("gdcm", "pylibjpeg"),
    uid.HTJ2KLossless: ("pylibjpeg",),
    uid.HTJ2KLosslessRPCL: ("pylibjpeg",),
    uid.HTJ2K: ("pylibjpeg",),
    uid.RLELossless: ("pylibjpeg", "pydicom"),
}

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})


def open_dataset(path: Path) -> FileDataset:
    """Read a file's attributes and check that they describe one picture of bearable size.

    Raises
    ------
    Undecodable
        The file is no DICOM file, is cut short, or describes something else.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Undecodable(f"the file has {path.stat().st_size} bytes, at most {MAX_FILE_BYTES} are read")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta = pydicom.filereader.read_file_meta_info(path)
            syntax = str(meta.get("TransferSyntaxUID", ""))
            # A deflated data set could grow without limit in the reader, so it is refused by its header.
            if syntax not in NATIVE and syntax not in DECODERS:
                raise Undecodable(f"transfer syntax {uid.UID(syntax).name or 'absent'} is not supported")
            ds = pydicom.dcmread(path)
            _check(ds)
    except Undecodable:
        raise
    # pydicom raises whatever a hostile header leads it to; each of them means the same to the caller.
    except Exception as error:
        raise Undecodable(f"not a readable DICOM file: {_brief(error)}") from error
    return ds


def stored_values(ds: FileDataset) -> NDArray[Any]:
    """Decode the one frame to integers (rows, columns), padding bits removed, signed where the header says so.

    Raises
    ------
    Undecodable
        No decoder copes with the pixel data, or they show a coloured picture.
    """
    syntax = ds.file_meta.TransferSyntaxUID
    if syntax in NATIVE:
        return _grey(_decode(ds, ""), ds)
    _check_frame(ds)
    decoder = get_decoder(syntax)
    failures: list[str] = []
    for plugin in DECODERS[syntax]:
        if plugin not in decoder.available_plugins:
            failures.append(f"{plugin} is not installed")
            continue
        try:
            return _grey(_decode(ds, plugin), ds)
        except Undecodable as error:
            failures.append(f"{plugin}: {error}")
    raise Undecodable(f"{syntax.name}: {'; '.join(failures)}")


def _check(ds: FileDataset) -> None:
    """Refuse what is no single picture of bearable size."""
    if "PixelData" not in ds:
        raise Undecodable("the object has no Pixel Data")
    rows, columns, samples = int(ds.Rows), int(ds.Columns), int(ds.get("SamplesPerPixel", 1))
    if rows < 1 or columns < 1 or rows * columns * samples > MAX_PIXELS:
        raise Undecodable(f"{rows} x {columns} x {samples} values, between 1 and {MAX_PIXELS} are read")
    if int(ds.get("NumberOfFrames") or 1) != 1:
        raise Undecodable(f"{ds.NumberOfFrames} frames, one was expected")
    photometric = str(ds.get("PhotometricInterpretation", ""))
    if photometric not in GREY | COLOUR:
        raise Undecodable(f"photometric interpretation {photometric or 'absent'}, grey was expected")
    if int(ds.BitsAllocated) not in (8, 16, 32) or not 1 <= int(ds.BitsStored) <= int(ds.BitsAllocated):
        raise Undecodable(f"{ds.BitsStored} bits stored in {ds.BitsAllocated}")


def _decode(ds: FileDataset, plugin: str) -> NDArray[Any]:
    """Decode with one plugin; "" for native pixel data."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array, _ = get_decoder(ds.file_meta.TransferSyntaxUID).as_array(ds, index=0, decoding_plugin=plugin)
    # Decoders raise whatever their C libraries hand them for altered data, MemoryError included.
    except Exception as error:
        raise Undecodable(_brief(error)) from error
    expected = (int(ds.Rows), int(ds.Columns))
    if array.shape[:2] != expected:
        raise Undecodable(f"decoded to {array.shape[:2]}, the header says {expected}")
    return array


def _grey(array: NDArray[Any], ds: FileDataset) -> NDArray[Any]:
    """Take the one channel, or the mean of three that are equal but for burnt-in marks."""
    if array.ndim == 2:
        return _clean_bits(array, ds)
    difference = array.max(axis=2).astype(np.int64) - array.min(axis=2)
    coloured = float((difference > 0.04 * np.iinfo(array.dtype).max).mean())
    if coloured > MAX_COLOURED:
        raise Undecodable(f"a coloured picture ({coloured:.0%} of the pixels), grey was expected")
    return np.asarray(np.rint(array.mean(axis=2, dtype=np.float32)), array.dtype)


def _clean_bits(array: NDArray[Any], ds: FileDataset) -> NDArray[Any]:
    """Drop bits above Bits Stored: retired overlays live there."""
    unused = array.dtype.itemsize * 8 - int(ds.BitsStored)
    if unused <= 0:
        return array
    return np.asarray(np.right_shift(np.left_shift(array, unused), unused), array.dtype)


def _check_frame(ds: FileDataset) -> None:
    """Compare the size within the compressed frame with the header, before a decoder allocates by it."""
    try:
        frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    except Exception as error:
        raise Undecodable(f"encapsulated pixel data: {_brief(error)}") from error
    if ds.file_meta.TransferSyntaxUID == uid.RLELossless:
        return
    size = codestream_size(frame)
    if size is None:
        raise Undecodable("the compressed frame has no header that says its size")
    if size != (int(ds.Rows), int(ds.Columns)):
        raise Undecodable(f"the compressed frame is {size}, the header says {(int(ds.Rows), int(ds.Columns))}")


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Read rows and columns from a JPEG, JPEG-LS or JPEG 2000 frame; None where there is no such header."""
    # Some senders wrap the codestream in JP2 boxes, which PS3.5 A.4.4 does not allow.
    start = frame[:512].find(b"\xff\x4f\xff\x51")
    if start >= 0 and len(frame) >= start + 24:
        columns, rows, left, top = struct.unpack(">IIII", frame[start + 8 : start + 24])
        return rows - top, columns - left
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:
        if frame[at + 1] == 0xFF:
            at += 1
            continue
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack(">HH", frame[at + 5 : at + 9])
            return rows, columns
        at += 2 + length
    return None


def _brief(error: BaseException) -> str:
    """Return the kind and the first line of an error, never long."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:160]}"
