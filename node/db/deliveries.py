"""Deliveries: one result to one destination, retried by the row, never by the broker."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import case, func, or_, select

from node.db.audit import Action
from node.db.engine import Transaction
from node.db.jobs import STAT, DueJob
from node.db.states import DeliveryState, JobState
from node.db.tables import CircuitRow, DeliveryRow, JobRow, ResultRow, StudyRow
from node.dicom.status import Disposition

_DUE = (DeliveryState.PENDING, DeliveryState.STORED)
"""States in which something is to be done once `due_at` has come: to be sent, or to be asked about."""

_TRIED: Final = {
    DeliveryState.PENDING: Action.DELIVERY_DEFERRED,
    DeliveryState.STORED: Action.DELIVERY_STORED,
    DeliveryState.ACCEPTED: Action.DELIVERY_ACCEPTED,
    DeliveryState.DEAD: Action.DELIVERY_DEAD,
}
_CONCLUDED: Final = {JobState.DONE: Action.JOB_DONE, JobState.UNDELIVERED: Action.JOB_UNDELIVERED}


@dataclass(frozen=True)
class ClaimedDelivery:
    """A result that this worker is about to send."""

    id: int
    token: str
    job_id: str
    destination: str
    attempts: int
    retry_until: datetime
    sop_class_uid: str
    sop_instance_uid: str
    sha256: str


@dataclass(frozen=True)
class Settlement:
    """Outcome of one attempt: what it means, the status if one came, and when to try again."""

    delivery_id: int
    token: str
    disposition: Disposition
    status: int | None
    detail: str
    retry_at: datetime | None = None
    ask_commitment: bool = False
    """The destination is to be asked to commit itself to what it has accepted."""


def due_jobs(tx: Transaction, *, resend_after_s: float, window: int) -> list[DueJob]:
    """Return jobs with a delivery that is to be sent, or whose commitment is to be asked for, now.

    Its circuit is closed, and no message was just sent for it.
    STAT jobs come first; of the others at most `window` at a time, so that they do not pile up in the broker.
    """
    stale = tx.now - timedelta(seconds=resend_after_s)
    open_circuits = select(CircuitRow.destination).where(CircuitRow.open_until > tx.now)
    query = (
        select(JobRow.id, JobRow.priority)
        .join(DeliveryRow, DeliveryRow.job_id == JobRow.id)
        .where(
            DeliveryRow.state.in_(_DUE),
            DeliveryRow.due_at <= tx.now,
            or_(DeliveryRow.sent_at.is_(None), DeliveryRow.sent_at < stale, DeliveryRow.sent_at < DeliveryRow.due_at),
            DeliveryRow.destination.not_in(open_circuits),
        )
        .group_by(JobRow.id, JobRow.priority)
        .order_by(case((JobRow.priority == STAT, 0), else_=1), func.min(DeliveryRow.due_at))
        .limit(window)
    )
    return [DueJob(id_, priority) for id_, priority in tx.execute(query)]


def mark_sent(tx: Transaction, job_id: str) -> None:
    """Note that a delivery message for the job is in the broker."""
    query = select(DeliveryRow).where(DeliveryRow.job_id == job_id, DeliveryRow.state.in_(_DUE))
    for row in tx.scalars(query):
        row.sent_at = tx.now


def waiting_destinations(tx: Transaction, job_id: str) -> list[str]:
    """Return the destinations that the job has something due for, those without recent failures first."""
    query = (
        select(DeliveryRow.destination, func.coalesce(CircuitRow.failures, 0))
        .outerjoin(CircuitRow, CircuitRow.destination == DeliveryRow.destination)
        .where(DeliveryRow.job_id == job_id, DeliveryRow.state.in_(_DUE), DeliveryRow.due_at <= tx.now)
        .distinct()
    )
    found = sorted(tx.execute(query).all(), key=lambda row: (row[1], row[0]))
    return [destination for destination, _ in found]


def claim(tx: Transaction, job_id: str, destination: str, *, lease_s: float, threshold: int) -> list[ClaimedDelivery]:
    """Take the due deliveries of a job to one destination.

    Nothing is taken while the destination's circuit is open, and only by one worker at a time once it has failed
    `threshold` times in a row: whether it is back is tried with one association, not with all.
    """
    if not _may_be_tried(tx, destination, threshold=threshold):
        return []
    query = (
        select(DeliveryRow)
        .where(
            DeliveryRow.job_id == job_id,
            DeliveryRow.destination == destination,
            DeliveryRow.state == DeliveryState.PENDING,
            DeliveryRow.due_at <= tx.now,
        )
        .order_by(DeliveryRow.id)
        .with_for_update()
    )
    claimed = []
    for row in tx.scalars(query).all():
        row.state = DeliveryState.SENDING
        row.attempts += 1
        row.lease_token = str(uuid.uuid4())
        row.lease_until = tx.now + timedelta(seconds=lease_s)
        result = tx.get_one(ResultRow, row.result_id)
        claimed.append(
            ClaimedDelivery(
                id=row.id,
                token=row.lease_token,
                job_id=row.job_id,
                destination=row.destination,
                attempts=row.attempts,
                retry_until=row.retry_until,
                sop_class_uid=result.sop_class_uid,
                sop_instance_uid=result.sop_instance_uid,
                sha256=result.sha256,
            )
        )
    return claimed


def _may_be_tried(tx: Transaction, destination: str, *, threshold: int) -> bool:
    """Say whether the destination's circuit lets somebody through; the circuit's row stays locked."""
    circuit = tx.get(CircuitRow, destination, with_for_update=True)
    if circuit is None or circuit.open_until is None:
        return True
    if circuit.open_until > tx.now:
        return False
    trying = select(DeliveryRow.id).where(
        DeliveryRow.destination == destination, DeliveryRow.state == DeliveryState.SENDING
    )
    return circuit.failures < threshold or tx.scalar(trying.limit(1)) is None


def heartbeat(tx: Transaction, claimed: Sequence[ClaimedDelivery], *, lease_s: float) -> None:
    """Extend the leases of deliveries that are being sent; those that were reclaimed are left alone."""
    for delivery in claimed:
        row = tx.get(DeliveryRow, delivery.id, with_for_update=True)
        if row is not None and row.state is DeliveryState.SENDING and row.lease_token == delivery.token:
            row.lease_until = tx.now + timedelta(seconds=lease_s)


def settle(tx: Transaction, job_id: str, settlements: Sequence[Settlement]) -> JobState:
    """Record the outcome of attempts and, once nothing is pending, of the job. A stale claim changes nothing."""
    job = tx.scalars(select(JobRow).where(JobRow.id == job_id).with_for_update()).one()
    for outcome in settlements:
        row = tx.get_one(DeliveryRow, outcome.delivery_id)
        if row.state is not DeliveryState.SENDING or row.lease_token != outcome.token:
            continue
        row.last_status, row.last_error = outcome.status, outcome.detail
        row.lease_token = row.lease_until = None
        match outcome.disposition:
            case Disposition.ACCEPTED if outcome.ask_commitment:
                row.state, row.due_at, row.last_error = DeliveryState.STORED, tx.now, None
                row.transaction_uid, row.requests = None, 0
            case Disposition.ACCEPTED:
                row.state, row.accepted_at, row.last_error = DeliveryState.ACCEPTED, tx.now, None
            case Disposition.REFUSED:
                row.state = DeliveryState.DEAD
            case Disposition.RETRY if outcome.retry_at is None or outcome.retry_at > row.retry_until:
                row.state = DeliveryState.DEAD
            case Disposition.RETRY:
                row.state, row.due_at = DeliveryState.PENDING, outcome.retry_at or tx.now
        record_outcome(tx, job, row, status=outcome.status, why=outcome.detail)
    return conclude(tx, job)


def reclaim(tx: Transaction) -> int:
    """Return deliveries whose lease ran out, and make dead letters of those whose time ran out; how many."""
    silent = select(DeliveryRow).where(DeliveryRow.state == DeliveryState.SENDING, DeliveryRow.lease_until < tx.now)
    count = 0
    for row in tx.scalars(silent.with_for_update()).all():
        row.state, row.due_at = DeliveryState.PENDING, tx.now
        row.lease_token = row.lease_until = None
        count += 1
    expired = select(DeliveryRow).where(DeliveryRow.state.in_(_DUE), DeliveryRow.retry_until < tx.now)
    for row in tx.scalars(expired.with_for_update()).all():
        row.state = DeliveryState.DEAD
        job = tx.scalars(select(JobRow).where(JobRow.id == row.job_id).with_for_update()).one()
        row.last_error = row.last_error or "the retry time ran out"
        record_outcome(tx, job, row, status=row.last_status, why=row.last_error)
        conclude(tx, job)
        count += 1
    return count


def requeue(tx: Transaction, *, retry_for_s: float, study_instance_uid: str | None = None) -> int:
    """Make dead letters due again (`rerun`), of one study or all; how many."""
    query = select(DeliveryRow).where(DeliveryRow.state == DeliveryState.DEAD).with_for_update()
    if study_instance_uid is not None:
        query = (
            query.join(JobRow, JobRow.id == DeliveryRow.job_id)
            .join(StudyRow, StudyRow.id == JobRow.study_id)
            .where(StudyRow.study_instance_uid == study_instance_uid)
        )
    rows = tx.scalars(query).all()
    for row in rows:
        row.state, row.attempts = DeliveryState.PENDING, 0
        row.due_at, row.retry_until = tx.now, tx.now + timedelta(seconds=retry_for_s)
        job = tx.get_one(JobRow, row.job_id)
        if job.state is JobState.UNDELIVERED:
            job.state, job.finished_at = JobState.DELIVERING, None
        tx.note(Action.DELIVERY_REVIVED, job, destination=row.destination)
    return len(rows)


def note_success(tx: Transaction, destination: str) -> None:
    """Close the circuit of a destination."""
    row = tx.get(CircuitRow, destination)
    if row is not None and (row.failures or row.open_until):
        row.failures, row.open_until = 0, None


def note_failure(tx: Transaction, destination: str, *, threshold: int, open_s: float) -> bool:
    """Count a failure; return whether the circuit is open now."""
    row = tx.get(CircuitRow, destination, with_for_update=True)
    if row is None:
        row = CircuitRow(destination=destination, failures=0)
        tx.add(row)
    row.failures += 1
    if row.failures < threshold:
        return False
    if row.open_until is None:
        tx.note(Action.CIRCUIT_OPENED, destination=destination, failures=row.failures)
    row.open_until = tx.now + timedelta(seconds=open_s)
    return True


def record_outcome(tx: Transaction, job: JobRow, row: DeliveryRow, *, status: int | None, why: str | None) -> None:
    """Write down what one attempt has come to."""
    result = tx.get_one(ResultRow, row.result_id)
    tx.note(
        _TRIED[row.state],
        job,
        destination=row.destination,
        sop_instance_uid=result.sop_instance_uid,
        sha256=result.sha256,
        attempt=row.attempts,
        status=None if status is None else f"0x{status:04X}",
        why=None if row.state in (DeliveryState.ACCEPTED, DeliveryState.STORED) else why or None,
    )


def conclude(tx: Transaction, job: JobRow) -> JobState:
    """Finish the job when every delivery has ended: DONE only if every destination accepted every result."""
    tx.flush()
    states = set(tx.scalars(select(DeliveryRow.state).where(DeliveryRow.job_id == job.id)))
    if job.state is not JobState.DELIVERING or states & {*_DUE, DeliveryState.SENDING}:
        return job.state
    job.state = JobState.UNDELIVERED if DeliveryState.DEAD in states else JobState.DONE
    job.finished_at = tx.now
    tx.note(_CONCLUDED[job.state], job)
    return job.state
