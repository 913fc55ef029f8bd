"""The items that association requests and answers are made of (PS3.8 sections 9.3.2 and 9.3.3, PS3.7 Annex D).

Only those that this node needs have a name here; every other one is passed by, whatever it holds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from node.errors import HilumError

FIXED_BYTES: Final = 74
"""Bytes of an A-ASSOCIATE-RQ or -AC before its first item, PDU header included (PS3.8 Tables 9-11 and 9-17)."""

MAXIMUM_CONTEXTS: Final = 128
"""Presentation context IDs are the odd numbers to 255 (PS3.8 section 9.3.2.2)."""

_HEADER: Final = struct.Struct(">BxH")


class ItemType(IntEnum):
    """Types of items and sub-items."""

    APPLICATION_CONTEXT = 0x10
    PROPOSED_CONTEXT = 0x20
    ANSWERED_CONTEXT = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55


class Malformed(HilumError):
    """The items cannot be told from one another."""


def read(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each item.

    Raises
    ------
    Malformed
        An item is longer than what holds it.
    """
    position = 0
    while position < len(content):
        if position + _HEADER.size > len(content):
            raise Malformed("the header of an item is cut off")
        kind, length = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        if position + length > len(content):
            raise Malformed(f"item {kind:#04x} of {length} bytes is longer than what holds it")
        yield kind, content[position : position + length]
        position += length


def encode(kind: ItemType, content: bytes) -> bytes:
    """Encode one item."""
    return _HEADER.pack(kind, len(content)) + content


def uid(content: bytes) -> str:
    """Read a UID; padding by NUL or space, which is not allowed here, does not count."""
    return content.strip(b"\0 ").decode("latin-1")


def role(content: bytes) -> tuple[str, bool, bool] | None:
    """Read SCP/SCU Role Selection (PS3.7 section D.3.3.4): SOP class, SCU, SCP; None where it is none."""
    length = int.from_bytes(content[:2], "big")
    if len(content) != 2 + length + 2:
        return None
    return uid(content[2:-2]), bool(content[-2]), bool(content[-1])
