"""Statuses (PS3.7 Annex C, PS3.4 sections B.2.3 and J.3) and failure reasons, and what each means for a delivery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class Status(IntEnum):
    """Statuses that this node's SCP answers."""

    SUCCESS = 0x0000
    """The object is durable."""
    NO_SUCH_INSTANCE = 0x0112
    """The report is not of the well-known instance of storage commitment."""
    NO_SUCH_EVENT_TYPE = 0x0113
    """The event is neither of the two of storage commitment."""
    INVALID_ARGUMENT = 0x0115
    """The report cannot be read, or its Transaction UID is none that this peer was given."""
    INVALID_SOP_INSTANCE = 0x0117
    """The announced SOP Instance UID is no UID at all."""
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    """The announced SOP class is not that of the presentation context."""
    UNRECOGNIZED_OPERATION = 0x0211
    """The command is not one of those in the conformance statement."""
    RESOURCE_LIMITATION = 0x0213
    """The report could not be kept; the archive should send it again later."""
    CANNOT_UNDERSTAND = 0xC000
    """The request came without a data set."""
    OUT_OF_RESOURCES = 0xA700
    """The spool is under its watermark or could not be written, and the sender should try again later; or the object is
    longer than the receiver takes."""


class Disposition(StrEnum):
    """What a status means for a delivery."""

    ACCEPTED = "accepted"
    RETRY = "retry"
    DOUBTFUL = "doubtful"
    """A refusal, but archives that are starting or overloaded say so too: a few tries tell."""
    REFUSED = "refused"
    """Sending the same bytes again will not help."""


MAXIMUM_DOUBTFUL: Final = 4
"""So many doubtful answers to one delivery are a refusal."""


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
    StatusRange(0x0122, 0x0122, Disposition.DOUBTFUL, "SOP class not supported"),
    StatusRange(0x0124, 0x0124, Disposition.REFUSED, "Not authorized"),
    StatusRange(0x0210, 0x0210, Disposition.RETRY, "Duplicate invocation"),
    StatusRange(0x0211, 0x0211, Disposition.REFUSED, "Unrecognized operation"),
    StatusRange(0x0212, 0x0212, Disposition.REFUSED, "Mistyped argument"),
    StatusRange(0xA700, 0xA7FF, Disposition.RETRY, "Refused: out of resources"),
    StatusRange(0xA900, 0xA9FF, Disposition.REFUSED, "Error: data set does not match SOP class"),
    StatusRange(0xB000, 0xBFFF, Disposition.ACCEPTED, "Warning: stored, with elements coerced or discarded"),
    StatusRange(0xC000, 0xCFFF, Disposition.DOUBTFUL, "Error: cannot understand"),
)

# PS3.7 section 10.1.4.1.10 and Annex C: the answer to an N-ACTION request for storage commitment.
ACTION_STATUSES: Final = (
    StatusRange(0x0000, 0x0000, Disposition.ACCEPTED, "Success: the request is taken, its outcome will be reported"),
    StatusRange(0x0107, 0x0107, Disposition.ACCEPTED, "Warning: attribute list error"),
    StatusRange(0x0110, 0x0110, Disposition.RETRY, "Processing failure"),
    StatusRange(0x0112, 0x0112, Disposition.REFUSED, "No such SOP Instance"),
    StatusRange(0x0114, 0x0115, Disposition.REFUSED, "No such argument, or invalid argument value"),
    StatusRange(0x0117, 0x0119, Disposition.REFUSED, "Invalid instance, no such SOP class, or conflict of both"),
    StatusRange(0x0122, 0x0122, Disposition.REFUSED, "SOP class not supported"),
    StatusRange(0x0123, 0x0123, Disposition.REFUSED, "No such action"),
    StatusRange(0x0124, 0x0124, Disposition.REFUSED, "Not authorized"),
    StatusRange(0x0131, 0x0131, Disposition.RETRY, "Duplicate Transaction UID"),
    StatusRange(0x0210, 0x0210, Disposition.RETRY, "Duplicate invocation"),
    StatusRange(0x0211, 0x0212, Disposition.REFUSED, "Unrecognized operation, or mistyped argument"),
    StatusRange(0x0213, 0x0213, Disposition.RETRY, "Resource limitation"),
)

# PS3.3 section C.14.1.1: Failure Reason (0008,1197) of an instance that is not committed.
FAILURE_REASONS: Final = (
    StatusRange(0x0110, 0x0110, Disposition.RETRY, "Processing failure"),
    StatusRange(0x0112, 0x0112, Disposition.RETRY, "No such object instance: the peer does not hold it"),
    StatusRange(0x0119, 0x0119, Disposition.REFUSED, "Class and instance conflict"),
    StatusRange(0x0122, 0x0122, Disposition.REFUSED, "Referenced SOP class not supported"),
    StatusRange(0x0131, 0x0131, Disposition.RETRY, "Duplicate Transaction UID"),
    StatusRange(0x0213, 0x0213, Disposition.RETRY, "Resource limitation"),
)


def disposition_of(status: int, table: Sequence[StatusRange] = STORE_STATUSES) -> tuple[Disposition, str]:
    """Decide what a status or failure reason means for the delivery.

    Parameters
    ----------
    status
        The response's Status (0000,0900), or a Failure Reason (0008,1197).
    table
        The rows to look it up in.

    Returns
    -------
    tuple
        The disposition and the Standard's words. An unknown status is a failure that may pass: retry.
    """
    for row in table:
        if row.first <= status <= row.last:
            return row.disposition, row.meaning
    return Disposition.RETRY, "Failure with a status that the Standard does not define"
