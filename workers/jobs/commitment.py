"""Asking a destination to commit itself to a job's results (PS3.4 Annex J).

The row is committed and the note written before the archive is asked, so that its report is expected however fast it
comes. Reports are recorded by the dispatcher (`node.dispatch.commitments`).
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from node.db import commitments
from node.db.commitments import CommitmentRequest
from node.delivery.destinations import Destination
from node.delivery.outcome import RequestOutcome
from node.dicom.status import Disposition
from node.dispatch.backoff import next_attempt
from node.errors import Misconfigured, PeerUnavailable, SpoolFull
from node.settings import DeliverySettings
from node.spool.commitments import CommitmentTransaction, Reference
from workers.jobs.circuit import note
from workers.jobs.runtime import Runtime

log = structlog.get_logger()


def ask(runtime: Runtime, job_id: str, name: str) -> bool:
    """Ask a destination for what is due of one job; return whether it was asked. May be called any number of times."""
    destination = runtime.settings.destinations.get(name)
    if destination is None:
        return False  # it may be configured again; until then its retry time runs
    if not isinstance(destination, Destination) or not destination.commitment.ask:
        with runtime.database.write() as tx:
            commitments.waive(tx, job_id, name)
        return False
    with runtime.database.write() as tx:
        due = commitments.request(
            tx,
            job_id,
            name,
            maximum_requests=destination.commitment.requests,
            patience_s=_longest_request_s(runtime.settings.delivery, destination),
        )
    if due is None:
        return False
    outcome = _request(runtime, name, destination, due)
    log.info(
        "commitment.requested",
        destination=name,
        results=len(due.instances),
        taken=str(outcome.disposition),
        why=outcome.detail,
    )
    if outcome.disposition is Disposition.ACCEPTED:
        until = runtime.database.clock() + timedelta(seconds=destination.commitment.report_within_s)
        with runtime.database.write() as tx:
            commitments.expect(tx, due.transaction_uid, until=until)
    else:
        _defer(runtime, job_id, due, outcome)
    return True


def _longest_request_s(delivery: DeliverySettings, destination: Destination) -> float:
    """Return how long a request may take: association, request and release, and the wait for the report."""
    return delivery.connect_timeout_s + 3 * delivery.response_timeout_s + destination.commitment.wait_s


def _request(runtime: Runtime, name: str, destination: Destination, due: CommitmentRequest) -> RequestOutcome:
    from node.dimse.scu import commitment  # loads pynetdicom, which a worker without such a destination never needs

    def answered() -> bool:
        with runtime.database.read() as tx:
            return commitments.is_reported(tx, due.transaction_uid)

    try:
        networks = tuple(str(network) for network in destination.commitment.networks)
        runtime.spool.commitments.record(
            CommitmentTransaction(due.transaction_uid, destination.reporting_ae_title, networks)
        )
        outcome = commitment.request(
            destination,
            [Reference(sop_class, sop_instance) for sop_class, sop_instance in due.instances],
            transaction_uid=due.transaction_uid,
            store=runtime.spool.commitments,
            calling_ae_title=runtime.settings.receiver.ae_title,
            connect_timeout_s=runtime.settings.delivery.connect_timeout_s,
            response_timeout_s=runtime.settings.delivery.response_timeout_s,
            answered=answered,
        )
    except SpoolFull as error:
        return RequestOutcome(None, Disposition.RETRY, str(error))
    except (PeerUnavailable, Misconfigured) as error:
        note(runtime, name, reached=False)
        return RequestOutcome(None, Disposition.RETRY, str(error))
    # A peer that takes the association and then says nothing is as dead as one that is not there.
    note(runtime, name, reached=outcome.status is not None or outcome.disposition is Disposition.REFUSED)
    return outcome


def _defer(runtime: Runtime, job_id: str, due: CommitmentRequest, outcome: RequestOutcome) -> None:
    """Make the request again later, or give the results up where that would not help."""
    now = runtime.database.clock()
    later = next_attempt(runtime.settings.delivery, due.transaction_uid, due.attempts, now=now)
    with runtime.database.write() as tx:
        commitments.defer(
            tx,
            job_id,
            due.transaction_uid,
            status=outcome.status,
            why=outcome.detail,
            retry_at=None if outcome.disposition is Disposition.REFUSED else later,
        )
