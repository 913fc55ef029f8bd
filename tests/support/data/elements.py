"""Elements of a file changed byte by byte, as senders write them and libraries do not."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

from node.dicom.elements import LONG_VRS, UNDEFINED, Walker
from node.dicom.part10 import read_meta


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Encode an element in explicit VR as it is, padded with a blank."""
    value += b" " * (len(value) % 2)
    form = "<HH2sxxL" if vr in LONG_VRS else "<HH2sH"
    return struct.pack(form, tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def item(*elements: bytes) -> bytes:
    """Encode an item of a sequence."""
    content = b"".join(elements)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def with_elements(path: Path, *elements: bytes) -> Path:
    """Put encoded elements into a file in explicit VR, in place of those with their tags; those without value go."""
    content = path.read_bytes()
    start = read_meta(BytesIO(content)).dataset_offset
    parts = dict(_parts(content, start))
    for new in elements:
        group, number = struct.unpack_from("<HH", new)
        parts[group << 16 | number] = new
    whole = b"".join(part for _, part in sorted(parts.items()) if part[8:])
    path.write_bytes(content[:start] + whole)
    return path


def values(content: bytes) -> dict[int, bytes]:
    """Return the values of defined length at the top of a data set in explicit VR, without padding, by tag."""
    start = read_meta(BytesIO(content)).dataset_offset
    walker = Walker(content, explicit=True)
    found = walker.elements(start, len(content))
    return {one.tag: walker.value(one).strip(b" \0") for one in found if one.length != UNDEFINED}


def _parts(content: bytes, start: int) -> list[tuple[int, bytes]]:
    parts = []
    for found in Walker(content, explicit=True).elements(start, len(content)):
        parts.append((found.tag, content[start : found.end]))
        start = found.end
    return parts
