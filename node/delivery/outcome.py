"""A file to send, and what became of it, whichever way it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.dicom.status import Disposition


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A Part 10 file to send."""

    sop_class_uid: str
    sop_instance_uid: str
    path: Path


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one file."""

    sop_instance_uid: str
    status: int | None
    """Status of the C-STORE response; None: there was none."""
    disposition: Disposition
    detail: str
    answered: bool = True
    """False: the peer gave no usable answer, which says nothing about the file."""


def not_sent(file: OutgoingFile) -> SendOutcome:
    """Return the outcome of a file that was not sent because somebody else was given it meanwhile."""
    why = "not sent: the claim was lost while this process stood still"
    return SendOutcome(file.sop_instance_uid, None, Disposition.RETRY, why)


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """What became of a request for storage commitment.

    `accepted` says that the archive has taken it, and nothing about its outcome.
    """

    status: int | None
    """Status of the N-ACTION response; None: there was none."""
    disposition: Disposition
    detail: str
