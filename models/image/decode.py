"""From a DICOM file to stored pixel values: limits of file and header, the codestream's own words, choice of the codec.

Nothing here interprets values; see models/image/display.py. Compressed frames are decoded by a process of their own
(models/image/decoder), after their headers were read (models/image/codestreams). Codecs are named, not taken as they
come: pydicom uses the first that is available. The order within an entry follows the times in docs (RLE: 15 ms with
pylibjpeg-rle against 180; JPEG-LS: 88 ms with pyjpegls against 170; JPEG 2000: 391 ms with gdcm against 532), the next
one being tried when one fails: "available" is no proof that a codec copes with a file.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels.decoders.base import get_decoder

from models.errors import Undecodable
from models.image import stored
from models.image.codestreams import fragments, jpeg, jpeg2000, rle
from models.image.codestreams.form import Frame
from models.image.decoder.client import FrameDecoder
from models.image.decoder.request import FrameRequest, Outcome
from models.image.stored import Layout, Stored

MAX_FILE_BYTES = 1 << 30

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

# What one frame may take of the codec's process: many times what the slowest and hungriest codec was seen to take.
_MEMORY_BYTES, _MEMORY_BYTES_PER_SAMPLE = 256 << 20, 24
_CPU_S, _SAMPLES_PER_CPU_S = 10, 500_000

_AS_THEY_ARE: dict[str, Any] = {"correct_unused_bits": False}
"""Pixels with all their bits: pydicom would shift without a look at High Bit."""

DECODER = FrameDecoder()
"""The warm process of this process's compressed frames; nothing runs before the first of them, or `DECODER.start()`."""


def open_dataset(path: Path) -> FileDataset:
    """Read a file, with one open, and check that its attributes describe one picture of bearable size.

    Raises
    ------
    Undecodable
        The file is no DICOM file, is cut short, or describes something else.
    OSError
        The file cannot be read, of which nothing follows for the image.
    """
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise Undecodable(f"the file has more than {MAX_FILE_BYTES} bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            syntax = _transfer_syntax(content)
            # A deflated data set could grow without limit in the reader, so it is refused by its header.
            if syntax not in NATIVE and syntax not in DECODERS:
                raise Undecodable(f"transfer syntax {uid.UID(syntax).name or 'absent'} is not supported")
            ds = pydicom.dcmread(io.BytesIO(content))
            Layout.of(ds)
    except (Undecodable, MemoryError):
        raise
    # pydicom raises whatever a hostile header leads it to, OSError too; each of them means the same to the caller.
    except Exception as error:
        raise Undecodable(f"not a readable DICOM file: {_brief(error)}") from error
    return ds


def stored_values(ds: FileDataset) -> Stored:
    """Decode the one frame to integers (rows, columns), padding bits removed.

    Raises
    ------
    Undecodable
        No codec copes with the pixel data, they contradict the header, or they show a coloured picture.
    OSError
        The machine gives no process, memory or descriptor to decode with.
    """
    layout = Layout.of(ds)
    syntax = ds.file_meta.TransferSyntaxUID
    if syntax in NATIVE:
        return stored.of_header(_native(ds), layout)
    frame = _frame(ds, layout)
    size, expected = (frame.form.rows, frame.form.columns), (layout.rows, layout.columns)
    if size != expected:
        raise Undecodable(f"the compressed frame is {size}, the header says {expected}")
    array = decoded(frame, layout, syntax)
    if syntax == uid.RLELossless:
        return stored.of_header(array, layout)
    return stored.of_codestream(array, layout, frame.form)


def decoded(frame: Frame, layout: Layout, syntax: uid.UID) -> NDArray[Any]:
    """Have the frame decoded as it is, by the first codec that copes: (rows, columns), or with three samples.

    Raises
    ------
    Undecodable
        None does; the message holds the words of each.
    OSError
        As `stored_values`.
    """
    form, failures = frame.form, list[str]()
    grey = form.components == 1
    photometric = (
        "MONOCHROME2" if grey else form.photometric if layout.photometric in stored.GREY else layout.photometric
    )
    samples = form.rows * form.columns * form.components
    for plugin in DECODERS[syntax]:
        request = FrameRequest(
            syntax=str(syntax),
            plugin=plugin,
            rows=form.rows,
            columns=form.columns,
            samples=form.components,
            bits_allocated=8 if form.precision <= 8 else 16 if form.precision <= 16 else 32,
            bits_stored=form.precision,
            signed=form.signed or False,
            photometric=photometric,
            memory_bytes=_MEMORY_BYTES + _MEMORY_BYTES_PER_SAMPLE * samples,
            cpu_s=_CPU_S + samples // _SAMPLES_PER_CPU_S,
            wall_s=2 * (_CPU_S + samples // _SAMPLES_PER_CPU_S),
        )
        answer, picture = DECODER.decode(request, frame.content)
        if picture is not None:
            return picture
        failures.append(f"{plugin}: {answer.why}")
        if answer.outcome is Outcome.LOST:
            break  # it has had its time, twice
    raise Undecodable(f"{syntax.name}: {'; '.join(failures)}")


def _transfer_syntax(content: bytes) -> str:
    """Read the File Meta Information alone."""
    file = io.BytesIO(content)
    read_preamble(file, force=False)
    meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2
    )
    return str(meta.get("TransferSyntaxUID", ""))


def _native(ds: FileDataset) -> NDArray[Any]:
    """Read native pixel data (rows, columns) or (rows, columns, samples)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoder = get_decoder(ds.file_meta.TransferSyntaxUID)
            array, _ = decoder.as_array(ds, index=0, decoding_plugin="", **_AS_THEY_ARE)
    except MemoryError:
        raise
    # pydicom raises what it likes for pixel data that do not fit their header.
    except Exception as error:
        raise Undecodable(_brief(error)) from error
    return array


def _frame(ds: FileDataset, layout: Layout) -> Frame:
    """Return the codestream and what it says of itself."""
    content, syntax = fragments.frame_of(ds.PixelData), ds.file_meta.TransferSyntaxUID
    if syntax in jpeg.KINDS:
        return jpeg.read(content, syntax)
    if syntax == uid.RLELossless:
        return rle.read(
            content,
            rows=layout.rows,
            columns=layout.columns,
            samples=layout.samples,
            bits_allocated=layout.bits_allocated,
        )
    return jpeg2000.read(content)


def _brief(error: BaseException) -> str:
    """Return the kind and the first line of an error, never long."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first[:160]}"
