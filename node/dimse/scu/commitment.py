"""Storage commitment (PS3.4 Annex J): the request as SCU, and the report that answers it, whichever way it comes.

The archive reports on the association of the request, or on one that it opens to the receiver, where it proposes the
role of SCP. Both ways end in `take_report`: a report counts once it is durable, and only from whoever was asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Final

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt

from node.delivery.destinations import Destination
from node.dicom.contexts import IMPLICIT_LITTLE_ENDIAN, STORAGE_COMMITMENT, UNCOMPRESSED, VERIFICATION_SOP_CLASS
from node.dicom.elements import Element, Walker
from node.dicom.status import ACTION_STATUSES, Disposition, Status, disposition_of
from node.dimse.scp.admission import is_allowed
from node.dimse.scp.commands import Command
from node.dimse.scp.negotiation import Context
from node.dimse.scu.storage import associated
from node.errors import HilumError, Quarantined, SpoolFull
from node.spool.commitments import Asked, FailedReference, Mailbox, Reference, Report
from node.spool.incoming import AssociationInfo

log = structlog.get_logger(__name__)

INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Storage Commitment Push Model SOP Instance, the only one there is (PS3.4 section J.3.5)."""

REQUEST_COMMITMENT: Final = 1
"""Action Type ID (PS3.4 Table J.3-1)."""

EVENT_TYPES: Final = {
    1: "Storage Commitment Request Successful",
    2: "Storage Commitment Request Complete - Failures Exist",
}
"""Event Type IDs (PS3.4 Table J.3-2)."""

MAXIMUM_REPORT_BYTES: Final = 1 << 20
"""Longest report that is read; one instance takes about 150 bytes, and a job has few."""

LOOK_EVERY_S: Final = 0.1
"""Pause between two looks for a report that came by another way."""

# Attributes of the event information (PS3.4 Table J.3-2).
_SOP_CLASS_UID: Final = 0x00081150
_SOP_INSTANCE_UID: Final = 0x00081155
_TRANSACTION_UID: Final = 0x00081195
_FAILURE_REASON: Final = 0x00081197
_FAILED_SOP_SEQUENCE: Final = 0x00081198
_REFERENCED_SOP_SEQUENCE: Final = 0x00081199

_UID_CHARACTERS: Final = frozenset("0123456789.")


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """What became of a request; `accepted` says that the archive has taken it, and nothing about its outcome."""

    status: int | None
    """Status of the N-ACTION response; None: there was none."""
    disposition: Disposition
    detail: str


class UnreadableReport(HilumError):
    """The event information is not that of storage commitment."""


def request(
    destination: Destination,
    references: Sequence[Reference],
    *,
    transaction_uid: str,
    mailbox: Mailbox,
    calling_ae_title: str,
    connect_timeout_s: float,
    response_timeout_s: float,
    answered: Callable[[], bool],
) -> RequestOutcome:
    """Ask an archive to commit itself to keeping instances, and wait a little for its report.

    Parameters
    ----------
    transaction_uid
        Noted in `mailbox` before; a report on this association is put there.
    answered
        Whether the report has come by another association; then there is nothing to wait for.

    Raises
    ------
    PeerUnavailable
        There was no association, so that nothing was asked.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    awaited = _Awaited(destination, transaction_uid, mailbox, set(references))
    with associated(
        destination,
        # With Verification the archive has something to accept, and a refusal of the other one can be told apart.
        [(STORAGE_COMMITMENT, UNCOMPRESSED), (VERIFICATION_SOP_CLASS, UNCOMPRESSED)],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=connect_timeout_s,
        response_timeout_s=response_timeout_s,
        handlers=[(evt.EVT_N_EVENT_REPORT, awaited.take)],
    ) as association:
        if STORAGE_COMMITMENT not in {cx.abstract_syntax for cx in association.accepted_contexts}:
            why = f"the peer does not accept storage commitment ({STORAGE_COMMITMENT})"
            return RequestOutcome(None, Disposition.REFUSED, why)
        response, _ = association.send_n_action(
            _action_information(transaction_uid, references), REQUEST_COMMITMENT, STORAGE_COMMITMENT, INSTANCE
        )
        status = response.get("Status")
        if status is None:
            why = "no valid response: timed out, aborted or connection lost"
            return RequestOutcome(None, Disposition.RETRY, why)
        disposition, meaning = disposition_of(status, ACTION_STATUSES)
        if disposition is Disposition.ACCEPTED:
            _wait(association, awaited.reported, answered, destination.commitment.wait_s)
            for taker in awaited.takers:  # the response is still on its way; a release before it would cut it off
                taker.join(response_timeout_s)
    return RequestOutcome(status, disposition, f"{status:#06x} {meaning}")


@dataclass
class _Awaited:
    """The report on one request, as far as it comes on the association of the request."""

    destination: Destination
    transaction_uid: str
    mailbox: Mailbox
    outstanding: set[Reference]
    reported: threading.Event = field(default_factory=threading.Event)
    """Set when nothing is outstanding."""
    takers: list[threading.Thread] = field(default_factory=list)
    """Threads that answer the peer."""

    def take(self, event: Any) -> tuple[int, None]:
        """Keep a report, or a part of one, and give the status of the response."""
        content = event.request.EventInformation.getvalue() if event.request.EventInformation else b""
        transfer_syntax = str(event.context.transfer_syntax)
        status, why = take_report(
            self.mailbox,
            content,
            event_type=event.event_type,
            transfer_syntax=transfer_syntax,
            may_answer=lambda asked: asked.transaction_uid == self.transaction_uid,
        )
        if status is Status.SUCCESS:
            self.takers.append(threading.current_thread())
            self.outstanding.difference_update(_named(read_report(content, transfer_syntax)))
            if not self.outstanding:  # else the report came in parts
                self.reported.set()
        else:
            log.warning("commitment.report_refused", peer=self.destination.ae_title, status=f"{status:#06x}", why=why)
        return int(status), None


def take_report(
    mailbox: Mailbox,
    content: bytes,
    *,
    event_type: int | None,
    transfer_syntax: str,
    may_answer: Callable[[Asked], bool],
) -> tuple[Status, str]:
    """Keep a report durably, if it is one and comes from whoever was asked.

    Parameters
    ----------
    content
        Event Information as received; bytes of unknown origin.
    may_answer
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
    asked = mailbox.asked(report.transaction_uid)
    if asked is None:
        return Status.INVALID_ARGUMENT, "unknown Transaction UID"
    if not may_answer(asked):
        return Status.INVALID_ARGUMENT, "Transaction UID of another peer"
    try:
        mailbox.put(report)
    except SpoolFull as error:
        log.error("spool.full", error=str(error))
        return Status.RESOURCE_LIMITATION, "the report cannot be kept"
    return Status.SUCCESS, ""


def read_report(content: bytes, transfer_syntax: str) -> Report:
    """Read the Event Information of a report (PS3.4 Table J.3-2).

    Raises
    ------
    UnreadableReport
        It cannot be parsed, or lacks what the table asks for; other attributes are passed over.
    """
    walker = Walker(content, explicit=transfer_syntax != IMPLICIT_LITTLE_ENDIAN)
    try:
        found = _by_tag(walker, 0, len(content))
        report = Report(
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


class ReportReception:
    """One N-EVENT-REPORT request to the receiver; its failure is a status, never an exception.

    Parameters
    ----------
    info
        Who reports.
    """

    def __init__(self, mailbox: Mailbox, info: AssociationInfo, command: Command, context: Context) -> None:
        self._mailbox, self._info, self._command, self._context = mailbox, info, command, context
        self._content = bytearray()
        self._too_long = False

    def write(self, content: memoryview) -> None:
        """Take the next bytes of the event information; of one that is too long they are dropped."""
        self._too_long = self._too_long or len(self._content) + len(content) > MAXIMUM_REPORT_BYTES
        if self._too_long:
            self._content.clear()
        else:
            self._content += content

    def end(self) -> tuple[Status, str]:
        """Keep the report, and say what became of it."""
        status, why = self._take()
        if status is Status.SUCCESS:
            log.info("commitment.report_received", association=self._info.association_id)
        else:
            log.warning(
                "commitment.report_refused",
                association=self._info.association_id,
                peer=self._info.peer_address,
                calling_ae_title=self._info.calling_ae_title,
                status=f"{status:#06x}",
                why=why,
            )
        return status, why

    def discard(self) -> None:
        """Forget what has come so far."""
        self._content.clear()

    def _take(self) -> tuple[Status, str]:
        if self._command.sop_class_uid != STORAGE_COMMITMENT:
            return Status.SOP_CLASS_NOT_SUPPORTED, "SOP class differs from the presentation context"
        if self._command.sop_instance_uid != INSTANCE:
            return Status.NO_SUCH_INSTANCE, "not the well-known instance of storage commitment"
        if self._too_long:
            return Status.RESOURCE_LIMITATION, f"a report of more than {MAXIMUM_REPORT_BYTES} bytes"
        return take_report(
            self._mailbox,
            bytes(self._content),
            event_type=self._command.event_type,
            transfer_syntax=self._context.transfer_syntax,
            may_answer=self._may_answer,
        )

    def _may_answer(self, asked: Asked) -> bool:
        if asked.ae_title != self._info.calling_ae_title:
            return False
        networks = [ip_network(text) for text in asked.networks]
        return not networks or is_allowed(self._info.peer_address, networks)


def _named(report: Report) -> set[Reference]:
    """Return what a report says anything about."""
    return {*report.committed, *(Reference(f.sop_class_uid, f.sop_instance_uid) for f in report.failed)}


def _action_information(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    """Build the Action Information of a request (PS3.4 Table J.3-1)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    items = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        items.append(item)
    ds.ReferencedSOPSequence = items
    return ds


def _wait(association: Any, reported: threading.Event, answered: Callable[[], bool], wait_s: float) -> None:
    """Keep the association open until the report has come by any way, for at most `wait_s`."""
    for _ in range(round(wait_s / LOOK_EVERY_S)):
        if reported.wait(LOOK_EVERY_S) or not association.is_established or answered():
            return


def _by_tag(walker: Walker, start: int, end: int) -> dict[int, Element]:
    return {element.tag: element for element in walker.elements(start, end)}


def _items(walker: Walker, sequence: Element | None) -> list[dict[int, Element]]:
    """Read the items of a sequence; an absent one has none."""
    return [] if sequence is None else [_by_tag(walker, start, end) for start, end in walker.items(sequence)]


def _uid(walker: Walker, element: Element | None) -> str:
    text = "" if element is None else walker.value(element).rstrip(b"\0 ").decode("latin-1")
    if not 0 < len(text) <= 64 or not _UID_CHARACTERS.issuperset(text):
        raise UnreadableReport("the report lacks a UID, or has one that is none")
    return text


def _unsigned_short(walker: Walker, element: Element | None) -> int | None:
    return None if element is None or element.length != 2 else int.from_bytes(walker.value(element), "little")
