"""Markers of a JPEG (ISO/IEC 10918-1 annex B) or JPEG-LS (ISO/IEC 14495-1 annex C) frame.

What DICOM allows of either is a single frame of one kind whose components each stand in one scan. All else is refused:
other kinds under the same transfer syntax, a second frame header, and scan after scan, which cost minutes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom import uid

from models.errors import Undecodable
from models.image.codestreams.form import Form, Frame

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAME_HEADERS = frozenset({0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""SOF0 to SOF15 and, of JPEG-LS, SOF55."""
_NEVER = {0x01: "TEM", 0xDC: "DNL", 0xDE: "DHP", 0xDF: "EXP", **{0xD0 + n: f"RST{n}" for n in range(8)}, 0xD8: "SOI"}
"""Markers that have no place outside of a scan, or belong to hierarchical frames."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a transfer syntax allows."""

    frame_headers: frozenset[int]
    precisions: frozenset[int]
    marker: re.Pattern[bytes]
    """What ends entropy-coded data: neither a stuffed byte nor a restart marker."""


_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_JPEG_LS_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_BASELINE = _Kind(_SEQUENTIAL, frozenset({8}), _JPEG_MARKER)
_EXTENDED = _Kind(_SEQUENTIAL, frozenset({8, 12}), _JPEG_MARKER)
_LOSSLESS = _Kind(frozenset({0xC3}), frozenset(range(2, 17)), _JPEG_MARKER)
_JPEG_LS = _Kind(frozenset({0xF7}), frozenset(range(2, 17)), _JPEG_LS_MARKER)

# PS3.5 table A.4-1 and sections A.4.1 to A.4.3.
KINDS: dict[str, _Kind] = {
    uid.JPEGBaseline8Bit: _BASELINE,
    uid.JPEGExtended12Bit: _EXTENDED,
    uid.JPEGLossless: _LOSSLESS,
    uid.JPEGLosslessSV1: _LOSSLESS,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
}


def read(frame: bytes, syntax: str) -> Frame:
    """Walk a frame from its first marker to its last.

    Raises
    ------
    Undecodable
        It is not what the transfer syntax says, or ends before its end marker.
    """
    kind = KINDS[syntax]
    if frame[:2] != bytes([0xFF, _SOI]):
        raise Undecodable("the compressed frame does not begin with the marker SOI")
    form: Form | None = None
    scans, at = 0, 2
    while True:
        at = _marker_at(frame, at)
        marker = frame[at + 1]
        if marker == _EOI:
            break
        if marker in _NEVER:
            raise Undecodable(f"the marker {_NEVER[marker]} stands at byte {at} of the compressed frame")
        segment = _segment(frame, at)
        if marker in _FRAME_HEADERS:
            if form is not None:
                raise Undecodable("the compressed frame has two frame headers")
            form = _form(segment, marker, kind)
        at += 4 + len(segment)
        if marker == _SOS:
            scans += 1
            if form is None or scans > form.components:
                raise Undecodable(f"{scans} scans before byte {at}, one for each component is the most")
            found = kind.marker.search(frame, at)
            at = found.start() if found else len(frame)
    if form is None or scans == 0:
        raise Undecodable("the compressed frame has no frame header, or no scan")
    return Frame(frame[: at + 2], form)


def _marker_at(frame: bytes, at: int) -> int:
    """Return where a marker begins, fill bytes passed over."""
    while frame[at : at + 2] == b"\xff\xff":
        at += 1
    if len(frame) < at + 2:
        raise Undecodable("the compressed frame is cut short: it ends without the marker EOI")
    if frame[at] != 0xFF:
        raise Undecodable(f"no marker at byte {at} of the compressed frame")
    return at


def _segment(frame: bytes, at: int) -> bytes:
    """Return the parameters that follow a marker."""
    length = int.from_bytes(frame[at + 2 : at + 4], "big")
    if length < 2 or at + 2 + length > len(frame):
        raise Undecodable(f"a marker segment of {length} bytes at byte {at}, the compressed frame has {len(frame)}")
    return frame[at + 4 : at + 2 + length]


def _form(segment: bytes, marker: int, kind: _Kind) -> Form:
    """Read a frame header: precision, lines, samples a line, components with identifier, sampling, table."""
    if marker not in kind.frame_headers:
        allowed = " or ".join(_name(header) for header in sorted(kind.frame_headers))
        raise Undecodable(f"the compressed frame is of the kind {_name(marker)}, {allowed} was announced")
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        raise Undecodable(f"a frame header of {len(segment)} bytes is not one")
    precision, components = segment[0], segment[5]
    if precision not in kind.precisions or components not in (1, 3):
        raise Undecodable(f"{components} components of {precision} bits in the compressed frame")
    rows, columns = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    colour = "YBR_FULL_422" if marker in _SEQUENTIAL and bytes(segment[6::3]).upper() != b"RGB" else "RGB"
    return Form(rows, columns, components, precision, photometric=colour)


def _name(marker: int) -> str:
    return f"SOF{marker - 0xC0}"
