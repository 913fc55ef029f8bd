"""C-STORE statuses (PS3.4 section B.2.3, PS3.7 Annex C) and what each means for a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class Status(IntEnum):
    """Statuses that this node's SCP answers."""

    SUCCESS = 0x0000
    """The object is durable."""
    INVALID_SOP_INSTANCE = 0x0117
    """The announced SOP Instance UID is no UID at all."""
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    """The announced SOP class is not that of the presentation context."""
    UNRECOGNIZED_OPERATION = 0x0211
    """The command is not one of those in the conformance statement."""
    CANNOT_UNDERSTAND = 0xC000
    """The request came without a data set."""
    OUT_OF_RESOURCES = 0xA700
    """The spool is under its watermark or could not be written; the sender should try again later."""


class Disposition(StrEnum):
    """What a status means for a delivery."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    REFUSED = "refused"
    """Sending the same bytes again will not help."""


@dataclass(frozen=True, slots=True)
class StatusRange:
    """A row of the status table: codes from `first` to `last`, both included."""

    first: int
    last: int
    disposition: Disposition
    meaning: str


# PS3.4 Table B.2-1 and PS3.7 Annex C. The first row that holds the code decides.
STORE_STATUSES: Final = (
    StatusRange(0x0000, 0x0000, Disposition.ACCEPTED, "Success"),
    StatusRange(0x0001, 0x0001, Disposition.ACCEPTED, "Warning: requested optional attributes are not supported"),
    StatusRange(0x0107, 0x0107, Disposition.ACCEPTED, "Warning: attribute list error"),
    StatusRange(0x0111, 0x0111, Disposition.ACCEPTED, "Duplicate SOP Instance: the peer has it"),
    StatusRange(0x0116, 0x0116, Disposition.ACCEPTED, "Warning: attribute value out of range"),
    StatusRange(0x0117, 0x0117, Disposition.REFUSED, "Invalid SOP Instance"),
    StatusRange(0x0122, 0x0122, Disposition.REFUSED, "SOP class not supported"),
    StatusRange(0x0124, 0x0124, Disposition.REFUSED, "Not authorized"),
    StatusRange(0x0210, 0x0210, Disposition.RETRY, "Duplicate invocation"),
    StatusRange(0x0211, 0x0211, Disposition.REFUSED, "Unrecognized operation"),
    StatusRange(0x0212, 0x0212, Disposition.REFUSED, "Mistyped argument"),
    StatusRange(0xA700, 0xA7FF, Disposition.RETRY, "Refused: out of resources"),
    StatusRange(0xA900, 0xA9FF, Disposition.REFUSED, "Error: data set does not match SOP class"),
    StatusRange(0xB000, 0xBFFF, Disposition.ACCEPTED, "Warning: stored, with elements coerced or discarded"),
    StatusRange(0xC000, 0xCFFF, Disposition.REFUSED, "Error: cannot understand"),
)


def disposition_of(status: int) -> tuple[Disposition, str]:
    """Decide what a C-STORE status means for the delivery.

    Parameters
    ----------
    status
        The response's Status (0000,0900).

    Returns
    -------
    tuple
        The disposition and the Standard's words. An unknown status is a failure that may pass: retry.
    """
    for row in STORE_STATUSES:
        if row.first <= status <= row.last:
            return row.disposition, row.meaning
    return Disposition.RETRY, "Failure with a status that the Standard does not define"
