"""Storage commitment as SCU (PS3.4 Annex J): ask an archive to commit itself, and wait a little for its report.

A report that comes later, on an association of the archive's own, is taken by `node.dimse.scp.event_report`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt

from node.delivery.destinations import Destination
from node.delivery.outcome import RequestOutcome
from node.dicom.status import ACTION_STATUSES, Disposition, Status, disposition_of
from node.dicom.uids import STORAGE_COMMITMENT, UNCOMPRESSED, VERIFICATION_SOP_CLASS
from node.dimse.reports import INSTANCE, read_report, take_report
from node.dimse.scu.association import associated
from node.spool.commitments import CommitmentReport, CommitmentStore, Reference

log = structlog.get_logger(__name__)

REQUEST_COMMITMENT: Final = 1
"""Action Type ID (PS3.4 Table J.3-1)."""

LOOK_EVERY_S: Final = 0.1
"""Pause between two looks for a report that came by another way."""


def request(
    destination: Destination,
    references: Sequence[Reference],
    *,
    transaction_uid: str,
    store: CommitmentStore,
    calling_ae_title: str,
    connect_timeout_s: float,
    response_timeout_s: float,
    answered: Callable[[], bool],
) -> RequestOutcome:
    """Ask an archive to commit itself to keeping instances, and wait a little for its report.

    Parameters
    ----------
    transaction_uid
        Recorded in `store` before; a report on this association is kept there.
    answered
        Whether the report has come by another association; then there is nothing to wait for.

    Raises
    ------
    PeerUnavailable
        There was no association, so that nothing was asked.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    awaited = _Awaited(destination, transaction_uid, store, set(references))
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
    store: CommitmentStore
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
            self.store,
            content,
            event_type=event.event_type,
            transfer_syntax=transfer_syntax,
            is_authorised=lambda transaction: transaction.transaction_uid == self.transaction_uid,
        )
        if status is Status.SUCCESS:
            self.takers.append(threading.current_thread())
            self.outstanding.difference_update(_named(read_report(content, transfer_syntax)))
            if not self.outstanding:  # else the report came in parts
                self.reported.set()
        else:
            log.warning("commitment.report_refused", peer=self.destination.ae_title, status=f"{status:#06x}", why=why)
        return int(status), None


def _named(report: CommitmentReport) -> set[Reference]:
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
