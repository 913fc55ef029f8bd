"""DIMSE command sets (PS3.7 section 6.3.1, Annex E): Implicit VR Little Endian elements of group 0000."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from node.dimse.scp.pdu import AbortReason, ProtocolError

MAXIMUM_COMMAND_BYTES: Final = 1 << 16
"""Longest command set that is read; real ones are under 300 bytes."""

MAXIMUM_COMMAND_FRAGMENTS: Final = 256
"""Most fragments of one command set; real ones are sent in one."""

NO_DATA_SET: Final = 0x0101
"""Command Data Set Type of a message without data set; every other value announces one."""

RESPONSE: Final = 0x8000

_ELEMENT: Final = struct.Struct("<HHL")


class Operation(IntEnum):
    """Command Field values (PS3.7 section E.1-1) that this node knows."""

    C_STORE_RQ = 0x0001
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    C_CANCEL_RQ = 0x0FFF


class CommandElement(IntEnum):
    """Element numbers of group 0000 (PS3.7 Table E.1-1)."""

    AFFECTED_SOP_CLASS_UID = 0x0002
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_RESPONDED_TO = 0x0120
    COMMAND_DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    EVENT_TYPE_ID = 0x1002


@dataclass(frozen=True, slots=True)
class Command:
    """A request's command set."""

    operation: int
    """Command Field, one of `Operation` or another."""
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    """Affected SOP Class UID; empty where absent."""
    sop_instance_uid: str
    """Affected SOP Instance UID as announced, not yet validated; empty where absent."""
    event_type: int | None = None
    """Event Type ID of an N-EVENT-REPORT; None where absent."""


def decode(content: bytes) -> Command:
    """Read a command set.

    Raises
    ------
    ProtocolError
        It is not one: cut off, elements of another group, or without Command Field.
    """
    values: dict[int, bytes] = {}
    position = 0
    while position < len(content):
        if position + 8 > len(content):
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "command set cut off in an element header")
        group, number, length = _ELEMENT.unpack_from(content, position)
        position += 8
        if group != 0 or position + length > len(content):
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "command set holds an element that cannot be")
        values[number] = content[position : position + length]
        position += length
    operation = _unsigned_short(values, CommandElement.COMMAND_FIELD)
    if operation is None:
        raise ProtocolError(AbortReason.INVALID_PARAMETER, "command set without Command Field (0000,0100)")
    data_set_type = _unsigned_short(values, CommandElement.COMMAND_DATA_SET_TYPE)
    return Command(
        operation=operation,
        message_id=_unsigned_short(values, CommandElement.MESSAGE_ID) or 0,
        has_data_set=data_set_type is not None and data_set_type != NO_DATA_SET,
        sop_class_uid=_uid(values, CommandElement.AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(values, CommandElement.AFFECTED_SOP_INSTANCE_UID),
        event_type=_unsigned_short(values, CommandElement.EVENT_TYPE_ID),
    )


def encode_response(request: Command, status: int, comment: str = "") -> bytes:
    """Encode the response to a request (PS3.7 sections 9.3.1.2, 9.3.5.2 and 10.3.1.2), without data set.

    Parameters
    ----------
    comment
        Error Comment (0000,0902), cut to 64 characters; for people, without patient attributes.
    """
    elements = b"".join(
        (
            _text(CommandElement.AFFECTED_SOP_CLASS_UID, request.sop_class_uid, b"\0"),
            _number(CommandElement.COMMAND_FIELD, request.operation | RESPONSE),
            _number(CommandElement.MESSAGE_ID_RESPONDED_TO, request.message_id),
            _number(CommandElement.COMMAND_DATA_SET_TYPE, NO_DATA_SET),
            _number(CommandElement.STATUS, status),
            _text(CommandElement.ERROR_COMMENT, comment[:64], b" "),
            _text(CommandElement.AFFECTED_SOP_INSTANCE_UID, request.sop_instance_uid, b"\0"),
        )
    )
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(elements)) + elements


def _unsigned_short(values: dict[int, bytes], number: int) -> int | None:
    value = values.get(number)
    return int.from_bytes(value, "little") if value is not None and len(value) == 2 else None


def _uid(values: dict[int, bytes], number: int) -> str:
    return values.get(number, b"").rstrip(b"\0 ").decode("latin-1")


def _number(number: int, value: int) -> bytes:
    return _ELEMENT.pack(0, number, 2) + struct.pack("<H", value)


def _text(number: int, value: str, padding: bytes) -> bytes:
    """Encode a text element; an empty one is left out."""
    if not value:
        return b""
    content = value.encode("latin-1", "replace")
    content += padding * (len(content) % 2)
    return _ELEMENT.pack(0, number, len(content)) + content
