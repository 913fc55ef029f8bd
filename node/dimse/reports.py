"""The report of an archive on storage commitment (PS3.4 Table J.3-2): read, checked and kept, whichever way it came.

The archive reports on the association of the request (`node.dimse.scu.commitment`), or on one that it opens to the
receiver (`node.dimse.scp.event_report`). Both end in `take_report`: a report counts once it is durable, and only from
whoever was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from node.dicom.elements import Element, Walker
from node.dicom.status import Status
from node.dicom.uids import IMPLICIT_LITTLE_ENDIAN, has_uid_characters
from node.errors import HilumError, Quarantined, SpoolFull
from node.spool.commitments import CommitmentReport, CommitmentStore, CommitmentTransaction, FailedReference, Reference

log = structlog.get_logger(__name__)

INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Storage Commitment Push Model SOP Instance, the only one there is (PS3.4 section J.3.5)."""

EVENT_TYPES: Final = {
    1: "Storage Commitment Request Successful",
    2: "Storage Commitment Request Complete - Failures Exist",
}
"""Event Type IDs (PS3.4 Table J.3-2)."""

MAXIMUM_REPORT_BYTES: Final = 1 << 20
"""Longest report that is read; one instance takes about 150 bytes, and a job has few."""

# Attributes of the event information (PS3.4 Table J.3-2).
_SOP_CLASS_UID: Final = 0x00081150
_SOP_INSTANCE_UID: Final = 0x00081155
_TRANSACTION_UID: Final = 0x00081195
_FAILURE_REASON: Final = 0x00081197
_FAILED_SOP_SEQUENCE: Final = 0x00081198
_REFERENCED_SOP_SEQUENCE: Final = 0x00081199


class UnreadableReport(HilumError):
    """The event information is not that of storage commitment."""


def take_report(
    store: CommitmentStore,
    content: bytes,
    *,
    event_type: int | None,
    transfer_syntax: str,
    is_authorised: Callable[[CommitmentTransaction], bool],
) -> tuple[Status, str]:
    """Keep a report durably, if it is one and comes from whoever was asked.

    Parameters
    ----------
    content
        Event Information as received; bytes of unknown origin.
    is_authorised
        Whether whoever sent it is the one that a request was for.

    Returns
    -------
    tuple
        Status of the N-EVENT-REPORT response (PS3.7 section 10.1.1.1.8), and a comment for people.
    """
    if event_type not in EVENT_TYPES:
        return Status.NO_SUCH_EVENT_TYPE, f"event type {event_type}"
    if len(content) > MAXIMUM_REPORT_BYTES:
        return Status.RESOURCE_LIMITATION, f"a report of more than {MAXIMUM_REPORT_BYTES} bytes"
    try:
        report = read_report(content, transfer_syntax)
    except UnreadableReport as error:
        return Status.INVALID_ARGUMENT, str(error)
    transaction = store.find(report.transaction_uid)
    if transaction is None:
        return Status.INVALID_ARGUMENT, "unknown Transaction UID"
    if not is_authorised(transaction):
        return Status.INVALID_ARGUMENT, "Transaction UID of another peer"
    try:
        store.add_report(report)
    except SpoolFull as error:
        log.error("spool.full", error=str(error))
        return Status.RESOURCE_LIMITATION, "the report cannot be kept"
    return Status.SUCCESS, ""


def read_report(content: bytes, transfer_syntax: str) -> CommitmentReport:
    """Read the Event Information of a report (PS3.4 Table J.3-2).

    Raises
    ------
    UnreadableReport
        It cannot be parsed, or lacks what the table asks for; other attributes are passed over.
    """
    walker = Walker(content, explicit=transfer_syntax != IMPLICIT_LITTLE_ENDIAN)
    try:
        found = _by_tag(walker, 0, len(content))
        report = CommitmentReport(
            transaction_uid=_uid(walker, found.get(_TRANSACTION_UID)),
            committed=tuple(
                Reference(_uid(walker, item.get(_SOP_CLASS_UID)), _uid(walker, item.get(_SOP_INSTANCE_UID)))
                for item in _items(walker, found.get(_REFERENCED_SOP_SEQUENCE))
            ),
            failed=tuple(
                FailedReference(
                    _uid(walker, item.get(_SOP_CLASS_UID)),
                    _uid(walker, item.get(_SOP_INSTANCE_UID)),
                    _unsigned_short(walker, item.get(_FAILURE_REASON)),
                )
                for item in _items(walker, found.get(_FAILED_SOP_SEQUENCE))
            ),
        )
    except Quarantined as error:
        raise UnreadableReport(f"the report cannot be read: {error.detail}") from error
    if not report.committed and not report.failed:
        raise UnreadableReport("the report names no instance")
    return report


def _by_tag(walker: Walker, start: int, end: int) -> dict[int, Element]:
    return {element.tag: element for element in walker.elements(start, end)}


def _items(walker: Walker, sequence: Element | None) -> list[dict[int, Element]]:
    """Read the items of a sequence; an absent one has none."""
    return [] if sequence is None else [_by_tag(walker, start, end) for start, end in walker.items(sequence)]


def _uid(walker: Walker, element: Element | None) -> str:
    text = "" if element is None else walker.value(element).rstrip(b"\0 ").decode("latin-1")
    if not has_uid_characters(text):
        raise UnreadableReport("the report lacks a UID, or has one that is none")
    return text


def _unsigned_short(walker: Walker, element: Element | None) -> int | None:
    return None if element is None or element.length != 2 else int.from_bytes(walker.value(element), "little")
