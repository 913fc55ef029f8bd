"""Deliveries: one result to one destination, retried by the row, never by the broker."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import case, func, or_, select

from node.db import audit
from node.db.engine import Transaction
from node.db.states import DeliveryState, JobState
from node.db.tables import CircuitRow, DeliveryRow, JobRow, ResultRow, StudyRow

_DUE = (DeliveryState.PENDING, DeliveryState.STORED)
"""States in which something is to be done once `due_at` has come: to be sent, or to be asked about."""

_ACTIONS = {
    DeliveryState.STORED: "delivery.stored",
    DeliveryState.ACCEPTED: "delivery.accepted",
    DeliveryState.DEAD: "delivery.dead",
}


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


class Verdict(StrEnum):
    """What one attempt to send came to."""

    ACCEPTED = "accepted"
    STORED = "stored"
    """Taken; the destination is to be asked for its commitment."""
    RETRY = "retry"
    REFUSED = "refused"


@dataclass(frozen=True)
class Settlement:
    """Outcome of one attempt: the verdict, the DIMSE status if one came, and when to try again."""

    delivery_id: int
    token: str
    verdict: Verdict
    status: int | None
    detail: str
    retry_at: datetime | None = None


@dataclass(frozen=True)
class DueDelivery:
    """A job with results to send now."""

    id: str
    priority: str


def due_jobs(tx: Transaction, *, now: datetime, resend_after_s: float, window: int) -> list[DueDelivery]:
    """Return jobs with a delivery that is to be sent, or whose commitment is to be asked for, now.

    Its circuit is closed, and no message was just sent for it.
    STAT jobs come first; of the others at most `window` at a time, so that they do not pile up in the broker.
    """
    stale = now - timedelta(seconds=resend_after_s)
    open_circuits = select(CircuitRow.destination).where(CircuitRow.open_until > now)
    query = (
        select(JobRow.id, JobRow.priority)
        .join(DeliveryRow, DeliveryRow.job_id == JobRow.id)
        .where(
            DeliveryRow.state.in_(_DUE),
            DeliveryRow.due_at <= now,
            or_(DeliveryRow.sent_at.is_(None), DeliveryRow.sent_at < stale, DeliveryRow.sent_at < DeliveryRow.due_at),
            DeliveryRow.destination.not_in(open_circuits),
        )
        .group_by(JobRow.id, JobRow.priority)
        .order_by(case((JobRow.priority == "STAT", 0), else_=1), func.min(DeliveryRow.due_at))
        .limit(window)
    )
    return [DueDelivery(id_, priority) for id_, priority in tx.execute(query)]


def mark_sent(tx: Transaction, job_id: str, *, now: datetime) -> None:
    """Note that a delivery message for the job is in the broker."""
    query = select(DeliveryRow).where(DeliveryRow.job_id == job_id, DeliveryRow.state.in_(_DUE))
    for row in tx.scalars(query):
        row.sent_at = now


def waiting_destinations(tx: Transaction, job_id: str, *, now: datetime) -> list[str]:
    """Return the destinations that the job has something due for, those without recent failures first."""
    query = (
        select(DeliveryRow.destination, func.coalesce(CircuitRow.failures, 0))
        .outerjoin(CircuitRow, CircuitRow.destination == DeliveryRow.destination)
        .where(DeliveryRow.job_id == job_id, DeliveryRow.state.in_(_DUE), DeliveryRow.due_at <= now)
        .distinct()
    )
    found = sorted(tx.execute(query).all(), key=lambda row: (row[1], row[0]))
    return [destination for destination, _ in found]


def claim(
    tx: Transaction, job_id: str, destination: str, *, lease_s: float, threshold: int, now: datetime
) -> list[ClaimedDelivery]:
    """Take the due deliveries of a job to one destination.

    Nothing is taken while the destination's circuit is open, and only by one worker at a time once it has failed
    `threshold` times in a row: whether it is back is tried with one association, not with all.
    """
    if not _may_be_tried(tx, destination, threshold=threshold, now=now):
        return []
    query = (
        select(DeliveryRow)
        .where(
            DeliveryRow.job_id == job_id,
            DeliveryRow.destination == destination,
            DeliveryRow.state == DeliveryState.PENDING,
            DeliveryRow.due_at <= now,
        )
        .order_by(DeliveryRow.id)
        .with_for_update()
    )
    claimed = []
    for row in tx.scalars(query).all():
        row.state = DeliveryState.SENDING
        row.attempts += 1
        row.lease_token = str(uuid.uuid4())
        row.lease_until = now + timedelta(seconds=lease_s)
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


def _may_be_tried(tx: Transaction, destination: str, *, threshold: int, now: datetime) -> bool:
    """Say whether the destination's circuit lets somebody through; the circuit's row stays locked."""
    circuit = tx.get(CircuitRow, destination, with_for_update=True)
    if circuit is None or circuit.open_until is None:
        return True
    if circuit.open_until > now:
        return False
    trying = select(DeliveryRow.id).where(
        DeliveryRow.destination == destination, DeliveryRow.state == DeliveryState.SENDING
    )
    return circuit.failures < threshold or tx.scalar(trying.limit(1)) is None


def heartbeat(tx: Transaction, claimed: Sequence[ClaimedDelivery], *, lease_s: float, now: datetime) -> None:
    """Extend the leases of deliveries that are being sent; those that were taken back are left alone."""
    for delivery in claimed:
        row = tx.get(DeliveryRow, delivery.id, with_for_update=True)
        if row is not None and row.state is DeliveryState.SENDING and row.lease_token == delivery.token:
            row.lease_until = now + timedelta(seconds=lease_s)


def settle(tx: Transaction, job_id: str, settlements: Sequence[Settlement], *, actor: str, now: datetime) -> JobState:
    """Record the outcome of attempts and, once nothing is pending, of the job. A stale claim changes nothing."""
    job = tx.scalars(select(JobRow).where(JobRow.id == job_id).with_for_update()).one()
    for outcome in settlements:
        row = tx.get_one(DeliveryRow, outcome.delivery_id)
        if row.state is not DeliveryState.SENDING or row.lease_token != outcome.token:
            continue
        row.last_status, row.last_error = outcome.status, outcome.detail
        row.lease_token = row.lease_until = None
        match outcome.verdict:
            case Verdict.ACCEPTED:
                row.state, row.accepted_at, row.last_error = DeliveryState.ACCEPTED, now, None
            case Verdict.STORED:
                row.state, row.due_at, row.last_error = DeliveryState.STORED, now, None
                row.transaction_uid, row.requests = None, 0
            case Verdict.REFUSED:
                row.state = DeliveryState.DEAD
            case Verdict.RETRY if outcome.retry_at is None or outcome.retry_at > row.retry_until:
                row.state = DeliveryState.DEAD
            case Verdict.RETRY:
                row.state, row.due_at = DeliveryState.PENDING, outcome.retry_at or now
        record_outcome(tx, job, row, status=outcome.status, why=outcome.detail, actor=actor, now=now)
    return conclude(tx, job, actor=actor, now=now)


def take_back(tx: Transaction, *, actor: str, now: datetime) -> int:
    """Return deliveries whose worker fell silent, and bury those whose time ran out while they waited."""
    silent = select(DeliveryRow).where(DeliveryRow.state == DeliveryState.SENDING, DeliveryRow.lease_until < now)
    count = 0
    for row in tx.scalars(silent.with_for_update()).all():
        row.state, row.due_at = DeliveryState.PENDING, now
        row.lease_token = row.lease_until = None
        count += 1
    expired = select(DeliveryRow).where(DeliveryRow.state.in_(_DUE), DeliveryRow.retry_until < now)
    for row in tx.scalars(expired.with_for_update()).all():
        row.state = DeliveryState.DEAD
        job = tx.scalars(select(JobRow).where(JobRow.id == row.job_id).with_for_update()).one()
        row.last_error = row.last_error or "the retry time ran out"
        record_outcome(tx, job, row, status=row.last_status, why=row.last_error, actor=actor, now=now)
        conclude(tx, job, actor=actor, now=now)
        count += 1
    return count


def revive(
    tx: Transaction, *, retry_for_s: float, actor: str, now: datetime, study_instance_uid: str | None = None
) -> int:
    """Bring dead letters back (`rerun`), of one study or all; how many."""
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
        row.due_at, row.retry_until = now, now + timedelta(seconds=retry_for_s)
        job = tx.get_one(JobRow, row.job_id)
        if job.state is JobState.UNDELIVERED:
            job.state, job.finished_at = JobState.DELIVERING, None
        audit.append(
            tx,
            at=now,
            actor=actor,
            action="delivery.revived",
            study_id=job.study_id,
            job_id=job.id,
            destination=row.destination,
        )
    return len(rows)


def note_success(tx: Transaction, destination: str) -> None:
    """Close the circuit of a destination."""
    row = tx.get(CircuitRow, destination)
    if row is not None and (row.failures or row.open_until):
        row.failures, row.open_until = 0, None


def note_failure(
    tx: Transaction, destination: str, *, threshold: int, open_s: float, actor: str, now: datetime
) -> bool:
    """Count a failure; return whether the circuit is open now."""
    row = tx.get(CircuitRow, destination, with_for_update=True)
    if row is None:
        row = CircuitRow(destination=destination, failures=0)
        tx.add(row)
    row.failures += 1
    if row.failures < threshold:
        return False
    if row.open_until is None:
        audit.append(tx, at=now, actor=actor, action="circuit.opened", destination=destination, failures=row.failures)
    row.open_until = now + timedelta(seconds=open_s)
    return True


def record_outcome(
    tx: Transaction, job: JobRow, row: DeliveryRow, *, status: int | None, why: str | None, actor: str, now: datetime
) -> None:
    """Write down what one attempt has come to."""
    result = tx.get_one(ResultRow, row.result_id)
    audit.append(
        tx,
        at=now,
        actor=actor,
        action=_ACTIONS.get(row.state, "delivery.deferred"),
        study_id=job.study_id,
        job_id=job.id,
        destination=row.destination,
        sop_instance_uid=result.sop_instance_uid,
        sha256=result.sha256,
        attempt=row.attempts,
        status=None if status is None else f"0x{status:04X}",
        why=None if row.state in (DeliveryState.ACCEPTED, DeliveryState.STORED) else why or None,
    )


def conclude(tx: Transaction, job: JobRow, *, actor: str, now: datetime) -> JobState:
    """Finish the job when every delivery has ended: DONE only if every destination accepted every result."""
    tx.flush()
    states = set(tx.scalars(select(DeliveryRow.state).where(DeliveryRow.job_id == job.id)))
    if job.state is not JobState.DELIVERING or states & {*_DUE, DeliveryState.SENDING}:
        return job.state
    job.state = JobState.UNDELIVERED if DeliveryState.DEAD in states else JobState.DONE
    job.finished_at = now
    audit.append(tx, at=now, actor=actor, action=f"job.{job.state}", study_id=job.study_id, job_id=job.id)
    return job.state
