"""The A-ASSOCIATE-AC that a peer sends (PS3.8 section 9.3.3), before pynetdicom reads it.

pynetdicom refuses the whole answer for an item that it does not know, or for a version name of more than 16 letters,
and the peer seems not to answer. So what nobody needs is taken out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from node.dimse import items
from node.dimse.items import ItemType

_ASSOCIATE_AC: Final = 0x02
_PDU_HEADER: Final = struct.Struct(">BxL")
_TITLES: Final = slice(4, 68)
"""Both titles and what is reserved after them: not to be tested (PS3.8 Table 9-17)."""

_NEEDED: Final = frozenset({ItemType.APPLICATION_CONTEXT, ItemType.ANSWERED_CONTEXT, ItemType.USER_INFORMATION})
_NEEDED_OF_USER: Final = frozenset({ItemType.MAXIMUM_LENGTH, ItemType.ROLE_SELECTION})


def tolerant(receive: Callable[[int], bytearray]) -> Callable[[int], bytearray]:
    """Wrap the function by which pynetdicom reads, which asks for a PDU header and then for the rest."""
    rest = bytearray()

    def receive_needed(length: int) -> bytearray:
        nonlocal rest
        if rest:
            content, rest = rest[:length], rest[length:]
            return content
        content = receive(length)
        if length == _PDU_HEADER.size and len(content) == length and content[0] == _ASSOCIATE_AC:
            _, body_length = _PDU_HEADER.unpack(content)
            rest = bytearray(needed(bytes(receive(body_length))))
            return bytearray(_PDU_HEADER.pack(_ASSOCIATE_AC, len(rest)))
        return content

    return receive_needed


def needed(body: bytes) -> bytes:
    """Return what this node needs of an A-ASSOCIATE-AC, without PDU header; one that cannot be read as it is."""
    fixed = items.FIXED_BYTES - _PDU_HEADER.size
    try:
        kept = b"".join(
            items.encode(ItemType(kind), _needed_of_user(value) if kind == ItemType.USER_INFORMATION else value)
            for kind, value in items.read(body[fixed:])
            if kind in _NEEDED
        )
    except items.Malformed:
        return body
    titles = b"PEER".ljust(16) * 2 + bytes(32)
    return body[: _TITLES.start] + titles + kept if len(body) >= fixed else body


def _needed_of_user(content: bytes) -> bytes:
    """Keep the maximum length and the roles where they are whole."""
    return b"".join(
        items.encode(ItemType(kind), value)
        for kind, value in items.read(content)
        if kind in _NEEDED_OF_USER and (items.role(value) if kind == ItemType.ROLE_SELECTION else len(value) == 4)
    )
