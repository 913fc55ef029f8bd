"""The one frame of encapsulated Pixel Data (PS3.5 section A.4).

All fragments belong to the one frame, so the Basic Offset Table says nothing that is needed: one that is wrong harms
nobody. Empty fragments and what follows the delimiter are passed over, as DCMTK and pydicom do.
"""

from __future__ import annotations

from models.errors import Undecodable

_ITEM = b"\xfe\xff\x00\xe0"
_DELIMITER = b"\xfe\xff\xdd\xe0"


def frame_of(pixel_data: bytes) -> bytes:
    """Join the fragments of an object of one frame.

    Raises
    ------
    Undecodable
        What stands there are no fragments, one of them is cut short, or none holds anything.
    """
    fragments: list[bytes] = []
    at = 0
    while pixel_data[at : at + 4] == _ITEM:
        length = int.from_bytes(pixel_data[at + 4 : at + 8], "little")
        if at + 8 + length > len(pixel_data):
            raise Undecodable(f"a fragment of {length} bytes, {max(0, len(pixel_data) - at - 8)} are left")
        fragments.append(pixel_data[at + 8 : at + 8 + length])
        at += 8 + length
    if at < len(pixel_data) and pixel_data[at : at + 4] != _DELIMITER:
        raise Undecodable(f"neither a fragment nor their end at byte {at} of the encapsulated pixel data")
    frame = b"".join(fragments[1:])  # the first is the Basic Offset Table
    if not frame:
        raise Undecodable("the encapsulated pixel data is empty")
    return frame
