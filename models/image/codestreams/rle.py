"""The header of an RLE frame (PS3.5 annex G): as many segments as there are bytes in a pixel, each of bearable size."""

from __future__ import annotations

import itertools
import struct

from models.errors import Undecodable
from models.image.codestreams.form import Form, Frame

_HEADER = 64


def read(frame: bytes, *, rows: int, columns: int, samples: int, bits_allocated: int) -> Frame:
    """Check the segments against the picture that the header of the object describes: RLE itself says nothing of it.

    Raises
    ------
    Undecodable
        There are more or fewer segments, or one of them is too short or too long for its part of the picture.
    """
    expected = samples * bits_allocated // 8
    if len(frame) < _HEADER:
        raise Undecodable(f"an RLE frame of {len(frame)} bytes")
    count, *offsets = struct.unpack("<16I", frame[:_HEADER])
    if count != expected:
        raise Undecodable(f"{count} RLE segments, {expected} were expected")
    bounds = [*offsets[:count], len(frame)]
    if bounds[0] != _HEADER or any(start >= end for start, end in itertools.pairwise(bounds)):
        raise Undecodable("the RLE segments do not follow each other")
    # Two bytes are at most 128 pixels; without any run, 128 pixels of a row take 129 bytes.
    least, most = rows * columns // 64, rows * (columns + columns // 128 + 1)
    for number, (start, end) in enumerate(itertools.pairwise(bounds), 1):
        if end - start < least:
            raise Undecodable(f"RLE segment {number} of {end - start} bytes cannot hold {rows} x {columns} pixels")
    # Padding may follow the last segment, so its own end is not known; what is far beyond is no segment.
    if len(frame) > _HEADER + 2 * count * (most + 1):
        raise Undecodable(f"an RLE frame of {len(frame)} bytes for {rows} x {columns} pixels")
    return Frame(frame, Form(rows, columns, samples, bits_allocated))
