"""Deliveries: one result to one destination, retried by the row, never by the broker."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Select, and_, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from node.db.audit import Action
from node.db.engine import Transaction
from node.db.jobs import STAT, URGENT_FIRST
from node.db.states import DeliveryState, JobState
from node.db.tables import CircuitRow, DeliveryRow, JobRow, ResultRow, StudyRow
from node.dicom.status import MAXIMUM_DOUBTFUL, Disposition

_DUE = (DeliveryState.PENDING, DeliveryState.STORED)
"""States in which something is to be done once `due_at` has come: to be sent, or to be asked about."""

BUSY_PAUSE_S: Final = 1.0
"""Pause after a destination had no room; a STAT job is waited for as long."""

_TRIED: Final = {
    DeliveryState.PENDING: Action.DELIVERY_DEFERRED,
    DeliveryState.STORED: Action.DELIVERY_STORED,
    DeliveryState.ACCEPTED: Action.DELIVERY_ACCEPTED,
    DeliveryState.DEAD: Action.DELIVERY_DEAD,
}
_CONCLUDED: Final = {JobState.DONE: Action.JOB_DONE, JobState.UNDELIVERED: Action.JOB_UNDELIVERED}


@dataclass(frozen=True)
class DueDelivery:
    """Results of a job that are to be sent to one destination, or asked about there."""

    job_id: str
    priority: str
    destination: str


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
    counts: bool = True
    """False: the destination had no room for the attempt, which is none then."""


def due(tx: Transaction, *, associations: Mapping[str, int], resend_after_s: float) -> list[DueDelivery]:
    """Return for which jobs and destinations something is to be sent, or commitment to be asked for, now.

    For each destination as many as it may have under way and as many again, so that routine jobs do not pile up in the
    broker before a STAT job: STAT first, then the oldest job. None while its circuit is open, and none for which a
    message was just sent.

    Parameters
    ----------
    associations
        How many associations at once each destination may have; 1 for one that is not configured any more.
    """
    open_circuits = select(CircuitRow.destination).where(CircuitRow.open_until > tx.now)
    waiting = (
        select(DeliveryRow.destination)
        .where(DeliveryRow.state.in_(_DUE), DeliveryRow.due_at <= tx.now, DeliveryRow.destination.not_in(open_circuits))
        .distinct()
    )
    found = []
    for destination in sorted(tx.scalars(waiting)):
        room = 2 * associations.get(destination, 1) - _under_way(tx, destination, resend_after_s=resend_after_s)
        if room > 0:
            found += _due_to(tx, destination, resend_after_s=resend_after_s, limit=room)
    return sorted(found, key=lambda one: one.priority != STAT)


def _due_to(tx: Transaction, destination: str, *, resend_after_s: float, limit: int) -> list[DueDelivery]:
    stale = tx.now - timedelta(seconds=resend_after_s)
    query = (
        select(JobRow.id, JobRow.priority)
        .join(DeliveryRow, DeliveryRow.job_id == JobRow.id)
        .where(
            DeliveryRow.destination == destination,
            DeliveryRow.state.in_(_DUE),
            DeliveryRow.due_at <= tx.now,
            or_(DeliveryRow.sent_at.is_(None), DeliveryRow.sent_at < stale, DeliveryRow.sent_at < DeliveryRow.due_at),
        )
        .group_by(JobRow.id, JobRow.priority, JobRow.created_at)
        .order_by(URGENT_FIRST, JobRow.created_at)
        .limit(limit)
    )
    return [DueDelivery(id_, priority, destination) for id_, priority in tx.execute(query)]


def _under_way(tx: Transaction, destination: str, *, resend_after_s: float) -> int:
    """Count the jobs that are being sent to a destination, or whose message is in the broker."""
    stale = tx.now - timedelta(seconds=resend_after_s)
    in_broker = and_(
        DeliveryRow.state.in_(_DUE),
        DeliveryRow.due_at <= tx.now,
        DeliveryRow.sent_at >= stale,
        DeliveryRow.sent_at >= DeliveryRow.due_at,
    )
    query = select(func.count(DeliveryRow.job_id.distinct())).where(
        DeliveryRow.destination == destination, or_(DeliveryRow.state == DeliveryState.SENDING, in_broker)
    )
    return tx.scalar(query) or 0


def mark_sent(tx: Transaction, job_id: str, destination: str) -> None:
    """Note that a message for the job's deliveries to a destination is in the broker."""
    query = select(DeliveryRow).where(
        DeliveryRow.job_id == job_id, DeliveryRow.destination == destination, DeliveryRow.state.in_(_DUE)
    )
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


def claim(
    tx: Transaction, job_id: str, destination: str, *, lease_s: float, threshold: int, associations: int
) -> list[ClaimedDelivery]:
    """Take the due deliveries of a job to one destination; those that are not taken are due again at once.

    Nothing is taken while the destination's circuit is open, while it has `associations` already, and for a routine job
    while a STAT job waits for it. Once it has failed `threshold` times in a row only one worker at a time takes
    something: whether it is back is tried with one association, not with all.
    """
    job = tx.get_one(JobRow, job_id)
    if not _may_be_tried(tx, job, destination, threshold=threshold, associations=associations):
        for row in tx.scalars(_pending(job_id, destination)):
            row.sent_at = None  # the message was used up
        return []
    query = _pending(job_id, destination).where(DeliveryRow.due_at <= tx.now).with_for_update()
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


def _pending(job_id: str, destination: str) -> Select[DeliveryRow]:
    return (
        select(DeliveryRow)
        .where(
            DeliveryRow.job_id == job_id,
            DeliveryRow.destination == destination,
            DeliveryRow.state == DeliveryState.PENDING,
        )
        .order_by(DeliveryRow.id)
    )


def _may_be_tried(tx: Transaction, job: JobRow, destination: str, *, threshold: int, associations: int) -> bool:
    """Say whether a destination lets somebody through for a job; its circuit's row stays locked."""
    circuit = _circuit(tx, destination)
    if circuit.open_until is not None and circuit.open_until > tx.now:
        return False
    sending = select(func.count(DeliveryRow.job_id.distinct())).where(
        DeliveryRow.destination == destination, DeliveryRow.state == DeliveryState.SENDING
    )
    if (tx.scalar(sending) or 0) >= (1 if circuit.failures >= threshold else associations):
        return False
    if job.priority == STAT:
        return True
    urgent = (
        select(DeliveryRow.id)
        .join(JobRow, JobRow.id == DeliveryRow.job_id)
        .where(
            DeliveryRow.destination == destination,
            DeliveryRow.state == DeliveryState.PENDING,
            DeliveryRow.due_at <= tx.now + timedelta(seconds=BUSY_PAUSE_S),
            JobRow.priority == STAT,
        )
    )
    return tx.scalar(urgent.limit(1)) is None


def _circuit(tx: Transaction, destination: str) -> CircuitRow:
    """Return the locked circuit of a destination, made where it is not there yet."""
    row = tx.get(CircuitRow, destination, with_for_update=True)
    if row is None:
        with contextlib.suppress(IntegrityError), tx.begin_nested():  # else somebody has just made it
            tx.add(CircuitRow(destination=destination, failures=0))
        row = tx.get_one(CircuitRow, destination, with_for_update=True)
    return row


def heartbeat(tx: Transaction, claimed: Sequence[ClaimedDelivery], *, lease_s: float) -> int:
    """Extend the leases of deliveries that are being sent, and count them; those that were reclaimed are left alone."""
    ours = 0
    for delivery in claimed:
        row = tx.get(DeliveryRow, delivery.id, with_for_update=True)
        if row is not None and row.state is DeliveryState.SENDING and row.lease_token == delivery.token:
            row.lease_until = tx.now + timedelta(seconds=lease_s)
            ours += 1
    return ours


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
            case Disposition.DOUBTFUL | Disposition.RETRY as disposition:
                row.refusals += disposition is Disposition.DOUBTFUL
                at = None if row.refusals >= MAXIMUM_DOUBTFUL else outcome.retry_at
                if at is None or at > row.retry_until:
                    row.state = DeliveryState.DEAD
                else:
                    row.state, row.due_at = DeliveryState.PENDING, at
        if not outcome.counts and row.state is DeliveryState.PENDING:
            row.attempts -= 1
            continue
        record_outcome(tx, job, row, status=outcome.status, why=outcome.detail)
    return conclude(tx, job)


def reclaim(tx: Transaction) -> int:
    """Return deliveries whose lease ran out; how many."""
    silent = select(DeliveryRow).where(DeliveryRow.state == DeliveryState.SENDING, DeliveryRow.lease_until < tx.now)
    rows = tx.scalars(silent.with_for_update()).all()
    for row in rows:
        row.state, row.due_at = DeliveryState.PENDING, tx.now
        row.lease_token = row.lease_until = None
    return len(rows)


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
        row.state, row.attempts, row.refusals = DeliveryState.PENDING, 0, 0
        row.due_at, row.retry_until = tx.now, tx.now + timedelta(seconds=retry_for_s)
        job = tx.get_one(JobRow, row.job_id)
        if job.state is JobState.UNDELIVERED:
            job.state, job.finished_at = JobState.DELIVERING, None
        tx.note(Action.DELIVERY_REVIVED, job, destination=row.destination)
    return len(rows)


def note_success(tx: Transaction, destination: str) -> int:
    """Close the circuit of a destination; where it was failing, all that waits for it is due at once: how many."""
    row = tx.get(CircuitRow, destination, with_for_update=True)
    if row is None or not (row.failures or row.open_until):
        return 0
    row.failures, row.open_until = 0, None
    return wake(tx, destination)


def wake(tx: Transaction, destination: str) -> int:
    """Make everything that waits for another attempt at a destination due now; how many."""
    waits = (DeliveryRow.destination == destination, DeliveryRow.state == DeliveryState.PENDING)
    done = tx.execute(
        update(DeliveryRow).where(*waits, DeliveryRow.due_at > tx.now).values(due_at=tx.now, sent_at=None),
        execution_options={"synchronize_session": "fetch"},
    )
    return int(done.rowcount)  # type: ignore[attr-defined]  # of every UPDATE


def retry(tx: Transaction, destination: str) -> int:
    """Try a destination again at once (`hilum retry`): its circuit is closed, what waits for it is due; how many."""
    row = _circuit(tx, destination)
    row.failures, row.open_until = 0, None
    count = wake(tx, destination)
    tx.note(Action.CIRCUIT_CLOSED, destination=destination, deliveries=count)
    return count


def note_failure(tx: Transaction, destination: str, *, threshold: int, open_s: float) -> bool:
    """Count a failure; return whether the circuit is open now."""
    row = _circuit(tx, destination)
    row.failures += 1
    if row.failures < threshold:
        return False
    if row.open_until is None:
        tx.note(Action.CIRCUIT_OPENED, destination=destination, failures=row.failures)
    row.open_until = tx.now + timedelta(seconds=open_s)
    _bury(tx, destination)
    return True


def _bury(tx: Transaction, destination: str) -> None:
    """Make dead letters of what a destination that does not answer should have taken by now.

    Only upon a failure: that the time is over says nothing where the node stood still, or its clock was set.
    """
    query = select(DeliveryRow).where(
        DeliveryRow.destination == destination, DeliveryRow.state.in_(_DUE), DeliveryRow.retry_until < tx.now
    )
    for row in tx.scalars(query.with_for_update()).all():
        give_up(tx, row)


def give_up(tx: Transaction, row: DeliveryRow) -> None:
    """Make a dead letter of a delivery whose time is over."""
    job = tx.scalars(select(JobRow).where(JobRow.id == row.job_id).with_for_update()).one()
    row.state = DeliveryState.DEAD
    row.last_error = row.last_error or "the retry time ran out"
    record_outcome(tx, job, row, status=row.last_status, why=row.last_error)
    conclude(tx, job)


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
