"""Markers of a JPEG 2000 codestream (ISO/IEC 15444-1 annex A; HTJ2K: 15444-15), and the boxes around it (annex I).

PS3.5 section A.4.4 wants the bare codestream; some senders leave it in its JP2 file. The boxes are walked by their
lengths: a search for the first bytes that look like a header would find those that somebody has put before it.
"""

from __future__ import annotations

import struct

from models.errors import Undecodable
from models.image.codestreams.form import Form, Frame

_SOC, _SIZ, _COD, _SOT, _EOC = b"\xff\x4f", 0xFF51, 0xFF52, 0xFF90, b"\xff\xd9"
_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_CODESTREAM_BOX = b"jp2c"
MOST_TILES = 65535
"""Isot has two bytes."""


def read(frame: bytes) -> Frame:
    """Read the main header, and walk the tile-parts to the end of the codestream.

    Raises
    ------
    Undecodable
        It is no codestream of one or three like components, or it is cut short.
    """
    stream = _codestream(frame)
    if stream[:2] != _SOC or stream[2:4] != _SIZ.to_bytes(2, "big"):
        raise Undecodable("the compressed frame does not begin with the markers SOC and SIZ")
    siz = _segment(stream, 2)
    at = 6 + len(siz)
    coding: bytes | None = None
    while (marker := int.from_bytes(stream[at : at + 2], "big")) != _SOT:
        segment = _segment(stream, at)
        if marker == _SIZ or (marker == _COD and coding is not None) or marker < 0xFF50:
            raise Undecodable(f"the marker {marker:04X} stands at byte {at} of the compressed frame")
        if marker == _COD:
            coding = segment
        at += 4 + len(segment)
    if coding is None or len(coding) < 10 or coding[5] > 32:
        raise Undecodable("the compressed frame has no usable marker COD")
    form, tiles = _form(siz, multiple_component_transform=coding[4] == 1)
    return Frame(stream[: _end(stream, at, tiles)], form)


def _codestream(frame: bytes) -> bytes:
    """Return the contents of the first codestream box, or the frame itself where there are no boxes."""
    if not frame.startswith(_SIGNATURE):
        return frame
    at = 0
    while at + 8 <= len(frame):
        length, kind, head = int.from_bytes(frame[at : at + 4], "big"), frame[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(frame[at + 8 : at + 16], "big"), 16
        elif length == 0:
            length = len(frame) - at
        if length < head or at + length > len(frame):
            raise Undecodable(f"a box of {length} bytes at byte {at}, the compressed frame has {len(frame)}")
        if kind == _CODESTREAM_BOX:
            return frame[at + head : at + length]
        at += length
    raise Undecodable("the boxes of the compressed frame hold no codestream")


def _segment(stream: bytes, at: int) -> bytes:
    """Return the parameters that follow a marker of the main header."""
    length = int.from_bytes(stream[at + 2 : at + 4], "big")
    if stream[at : at + 1] != b"\xff" or length < 2 or at + 2 + length > len(stream):
        raise Undecodable(f"no marker segment at byte {at}, the compressed frame has {len(stream)}")
    return stream[at + 4 : at + 2 + length]


def _form(siz: bytes, *, multiple_component_transform: bool) -> tuple[Form, int]:
    """Read SIZ (annex A.5.1); return the form and the number of tiles."""
    if len(siz) < 36 or len(siz) != 36 + 3 * int.from_bytes(siz[34:36], "big"):
        raise Undecodable(f"the marker SIZ has {len(siz)} bytes and is not one")
    _, x, y, x0, y0, tile_x, tile_y, tile_x0, tile_y0, components = struct.unpack(">H8IH", siz[:36])
    if components not in (1, 3):
        raise Undecodable(f"{components} components in the compressed frame, 1 or 3 are read")
    each = {siz[at : at + 3] for at in range(36, len(siz), 3)}
    depth, step_x, step_y = min(each)
    precision = (depth & 0x7F) + 1
    if len(each) > 1 or (step_x, step_y) != (1, 1) or precision > 16:
        raise Undecodable(f"components of the compressed frame are unlike, sampled, or of {precision} bits")
    if not (x0 < x and y0 < y and tile_x0 <= x0 < tile_x0 + tile_x and tile_y0 <= y0 < tile_y0 + tile_y):
        raise Undecodable("picture and tiles of the compressed frame do not meet")
    tiles = -(-(x - tile_x0) // tile_x) * -(-(y - tile_y0) // tile_y)
    if tiles > MOST_TILES:
        raise Undecodable(f"{tiles} tiles in the compressed frame, at most {MOST_TILES} are read")
    colour = "YBR_RCT" if multiple_component_transform else "RGB"
    return Form(y - y0, x - x0, components, precision, bool(depth & 0x80), colour), tiles


def _end(stream: bytes, at: int, tiles: int) -> int:
    """Walk the tile-parts (annex A.4.2) and return where the codestream ends; every tile must be there."""
    seen: set[int] = set()
    while stream[at : at + 2] == b"\xff\x90" and at + 12 <= len(stream):
        tile, length = struct.unpack(">HI", stream[at + 4 : at + 10])
        if length == 0:  # the last tile-part, to the end of the codestream
            length = len(stream.rstrip(b"\0").removesuffix(_EOC)) - at
        if tile >= tiles or length < 14 or at + length > len(stream):
            raise Undecodable(f"the compressed frame is cut short: {length} bytes for tile {tile} at byte {at}")
        seen.add(tile)
        at += length
    if len(seen) != tiles:
        raise Undecodable(f"the compressed frame is cut short: {len(seen)} of {tiles} tiles")
    # EOC is left out by some encoders, and padding may follow either way; anything else is no end.
    if stream[at : at + 2] == _EOC:
        return at + 2
    if stream[at:].strip(b"\0"):
        raise Undecodable(f"neither a tile nor the marker EOC at byte {at} of the compressed frame")
    return at
