"""The PDUs that every association uses (PS3.8 section 9.3), as bytes.

A-ASSOCIATE-RQ is read by `node.dimse.scp.request`, A-ASSOCIATE-AC written by `node.dimse.scp.negotiation`.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from node.dimse.scp.admission import Refusal
from node.errors import HilumError

HEADER: Final = struct.Struct(">BxL")
"""PDU type and length of what follows (PS3.8 section 9.3.1)."""

PDV_HEADER: Final = struct.Struct(">LBB")
"""Item length, presentation context ID, message control header (PS3.8 section 9.3.5.1 and Annex E.2)."""

COMMAND_FRAGMENT: Final = 0x01
LAST_FRAGMENT: Final = 0x02

RELEASE_RP: Final = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"
"""A-RELEASE-RP (PS3.8 section 9.3.7)."""


class PDUType(IntEnum):
    """PDU types (PS3.8 section 9.3)."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class AbortReason(IntEnum):
    """Reasons of an A-ABORT by the service provider (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class ProtocolError(HilumError):
    """The peer broke PS3.8 or PS3.7; the association is aborted with `reason`."""

    def __init__(self, reason: AbortReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def abort(reason: AbortReason) -> bytes:
    """Encode an A-ABORT of the service provider (PS3.8 section 9.3.8)."""
    return struct.pack(">BxLxxBB", PDUType.ABORT, 4, 2, reason)


def reject(refusal: Refusal) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 section 9.3.4)."""
    return struct.pack(">BxLxBBB", PDUType.ASSOCIATE_RJ, 4, refusal.result, refusal.source, refusal.reason)


def command_message(context_id: int, command: bytes) -> bytes:
    """Encode a message without data set as one P-DATA-TF; commands are shorter than the shortest maximum length."""
    pdv = PDV_HEADER.pack(len(command) + 2, context_id, COMMAND_FRAGMENT | LAST_FRAGMENT) + command
    return HEADER.pack(PDUType.P_DATA_TF, len(pdv)) + pdv
