"""Requests for storage commitment as rows: asked, reported, asked again, given up.

A delivery that is STORED waits for the report of its latest request; `due_at` says when it is to be asked (again). The
report of an earlier request commits it too: the bytes were the same.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import func, select

from node.db.audit import Action
from node.db.deliveries import conclude, give_up, record_outcome
from node.db.engine import Transaction
from node.db.states import DeliveryState
from node.db.tables import CircuitRow, CommitmentRow, DeliveryRow, JobRow, ResultRow
from node.dicom.status import Disposition

UID_ROOT: Final = "2.25."

_Effect = Literal["committed", "failed", "outstanding"]
"""What a report does to one delivery."""


@dataclass(frozen=True)
class CommitmentRequest:
    """One transaction that is about to be asked for."""

    transaction_uid: str
    instances: tuple[tuple[str, str], ...]
    """SOP Class and SOP Instance UIDs."""
    attempts: int
    """How often the results were sent or asked about, this time left out."""


@dataclass(frozen=True)
class InstanceOutcome:
    """What a report says about one instance."""

    sop_class_uid: str
    disposition: Disposition
    status: int | None
    """Failure Reason; None: committed, or not given."""
    detail: str


@dataclass(frozen=True)
class Recorded:
    """What became of one report."""

    job_id: str | None
    """None: no such transaction."""
    repeated: bool = False
    committed: int = 0
    failed: int = 0
    passed_over: int = 0
    """Instances that were not asked about."""


@dataclass(frozen=True)
class WaitingCommitments:
    """What one destination has taken and not committed yet."""

    destination: str
    deliveries: int
    oldest_at: datetime


def request(
    tx: Transaction, job_id: str, destination: str, *, maximum_requests: int, patience_s: float
) -> CommitmentRequest | None:
    """Open a transaction for the stored deliveries of a job that are due to be asked about; None: there are none.

    Until `expect` is called, it is due again after `patience_s`: whoever asks may die before it has asked. Those that
    were asked about `maximum_requests` times without a report are due to be sent again; only requests that the
    destination has taken count, which `expect` notes. The row is written before anything is sent, so that a report
    finds it however fast it comes.
    """
    circuit = tx.get(CircuitRow, destination)
    if circuit is not None and circuit.open_until is not None and circuit.open_until > tx.now:
        return None
    job = tx.scalars(select(JobRow).where(JobRow.id == job_id).with_for_update()).one()
    due = _stored(tx, job_id, destination, due=tx.now)
    for row in due:
        if row.requests and row.retry_until < tx.now:  # it was asked about, and its time is over without a report
            give_up(tx, row)
    due = [row for row in due if row.state is DeliveryState.STORED]
    _send_again(tx, job, [row for row in due if row.requests >= maximum_requests])
    asked = [row for row in due if row.state is DeliveryState.STORED]
    if not asked:
        return None
    transaction_uid = f"{UID_ROOT}{uuid.uuid4().int}"  # also the archive's proof that it was asked: not to be guessed
    results = [tx.get_one(ResultRow, row.result_id) for row in asked]
    tx.add(
        CommitmentRow(
            transaction_uid=transaction_uid,
            job_id=job_id,
            destination=destination,
            instances=[result.sop_instance_uid for result in results],
            requested_at=tx.now,
        )
    )
    tx.flush()
    for row in asked:
        row.transaction_uid = transaction_uid
        row.due_at = tx.now + timedelta(seconds=patience_s)
    tx.note(
        Action.COMMITMENT_REQUESTED,
        job,
        destination=destination,
        transaction_uid=transaction_uid,
        sop_instance_uids=[result.sop_instance_uid for result in results],
    )
    return CommitmentRequest(
        transaction_uid,
        tuple((result.sop_class_uid, result.sop_instance_uid) for result in results),
        max(row.attempts + row.requests for row in asked),
    )


def expect(tx: Transaction, transaction_uid: str, *, until: datetime) -> None:
    """Note that a request was taken: it is due again only when no report has come by `until`."""
    query = select(DeliveryRow).where(
        DeliveryRow.transaction_uid == transaction_uid, DeliveryRow.state == DeliveryState.STORED
    )
    for row in tx.scalars(query.with_for_update()):
        row.requests += 1
        row.due_at = until


def defer(
    tx: Transaction,
    job_id: str,
    transaction_uid: str,
    *,
    status: int | None,
    why: str,
    retry_at: datetime | None,
) -> None:
    """Note that a request was not taken: to be made again at `retry_at`, or never (None) where that would not help."""
    job = tx.scalars(select(JobRow).where(JobRow.id == job_id).with_for_update()).one()
    commitment = tx.get_one(CommitmentRow, transaction_uid)
    for row in _stored(tx, job_id, commitment.destination):
        if row.transaction_uid != transaction_uid:
            continue
        row.last_status, row.last_error = status, f"commitment: {why}"
        if retry_at is None or retry_at > row.retry_until:
            row.state = DeliveryState.DEAD
            record_outcome(tx, job, row, status=status, why=row.last_error)
        else:
            row.due_at = retry_at
            row.attempts += 1  # in vain, so that the next wait is longer
    tx.note(
        Action.COMMITMENT_NOT_TAKEN,
        job,
        destination=commitment.destination,
        transaction_uid=transaction_uid,
        why=why,
    )
    conclude(tx, job)


def waive(tx: Transaction, job_id: str, destination: str) -> int:
    """Accept what a destination has stored, because it is not to be asked any more (its settings changed); how many."""
    job = tx.scalars(select(JobRow).where(JobRow.id == job_id).with_for_update()).one()
    rows = _stored(tx, job_id, destination)
    for row in rows:
        row.state, row.accepted_at = DeliveryState.ACCEPTED, tx.now
        record_outcome(tx, job, row, status=row.last_status, why="commitment is not asked for")
    conclude(tx, job)
    return len(rows)


def record(
    tx: Transaction,
    transaction_uid: str,
    outcomes: Mapping[str, InstanceOutcome],
    *,
    retry_at: Callable[[int, int], datetime],
) -> Recorded:
    """Record a report. May be repeated; what was not asked about is passed over.

    An archive may report in parts. The transaction is closed when none of its instances waits for a report any more;
    a report that names none of them closes nothing.

    Parameters
    ----------
    outcomes
        By SOP Instance UID.
    retry_at
        When a delivery (its id, its attempts) is to be sent again.
    """
    commitment = tx.get(CommitmentRow, transaction_uid, with_for_update=True)
    if commitment is None:
        return Recorded(None)
    if commitment.reported_at is not None:
        return Recorded(commitment.job_id, repeated=True)
    job = tx.scalars(select(JobRow).where(JobRow.id == commitment.job_id).with_for_update()).one()
    effects: Counter[_Effect] = Counter()
    for row in _stored(tx, job.id, commitment.destination):
        result = tx.get_one(ResultRow, row.result_id)
        if result.sop_instance_uid not in commitment.instances:
            continue
        outcome = outcomes.get(result.sop_instance_uid)
        if outcome is None or outcome.sop_class_uid != result.sop_class_uid:
            effects["outstanding"] += 1
            continue
        effect = _apply(row, outcome, transaction_uid, retry_at=retry_at(row.id, row.attempts), now=tx.now)
        effects[effect] += 1
        if effect != "outstanding":
            why = None if effect == "committed" else row.last_error
            record_outcome(tx, job, row, status=outcome.status, why=why)
    committed, failed, outstanding = effects["committed"], effects["failed"], effects["outstanding"]
    if outstanding == 0:
        commitment.reported_at = tx.now
    passed_over = len(set(outcomes) - set(commitment.instances))
    tx.note(
        _outcome(committed, failed),
        job,
        destination=commitment.destination,
        transaction_uid=transaction_uid,
        committed=committed,
        failed=failed,
        outstanding=outstanding,
        passed_over=passed_over,
    )
    conclude(tx, job)
    return Recorded(job.id, committed=committed, failed=failed, passed_over=passed_over)


def is_reported(tx: Transaction, transaction_uid: str) -> bool:
    """Say whether every instance of a transaction was reported on."""
    row = tx.get(CommitmentRow, transaction_uid)
    return row is not None and row.reported_at is not None


def waiting(tx: Transaction) -> tuple[WaitingCommitments, ...]:
    """Return what waits for commitment, by destination."""
    query = (
        select(DeliveryRow.destination, func.count(), func.min(DeliveryRow.created_at))
        .where(DeliveryRow.state == DeliveryState.STORED)
        .group_by(DeliveryRow.destination)
        .order_by(DeliveryRow.destination)
    )
    return tuple(WaitingCommitments(name, count, oldest) for name, count, oldest in tx.execute(query))


def _send_again(tx: Transaction, job: JobRow, unreported: Sequence[DeliveryRow]) -> None:
    """Give back deliveries of one destination whose requests are used up, and say which requests had no report."""
    instances = Counter((row.destination, row.transaction_uid) for row in unreported)
    for (destination, transaction_uid), count in instances.items():
        tx.note(
            Action.COMMITMENT_UNREPORTED,
            job,
            destination=destination,
            transaction_uid=transaction_uid,
            instances=count,
        )
    for row in unreported:
        row.state, row.due_at, row.requests = DeliveryState.PENDING, tx.now, 0


def _apply(
    row: DeliveryRow, outcome: InstanceOutcome, transaction_uid: str, *, retry_at: datetime, now: datetime
) -> _Effect:
    """Accept a delivery, send it again later, or make a dead letter of it."""
    if outcome.disposition is Disposition.ACCEPTED:
        row.state, row.accepted_at, row.last_error = DeliveryState.ACCEPTED, now, None
        return "committed"
    if row.transaction_uid != transaction_uid:
        return "outstanding"  # asked again meanwhile; that report decides, or a later one of this transaction commits
    row.last_status, row.last_error = outcome.status, f"not committed: {outcome.detail}"
    if outcome.disposition is Disposition.REFUSED or retry_at > row.retry_until:
        row.state = DeliveryState.DEAD
    else:
        row.state, row.due_at = DeliveryState.PENDING, retry_at
    return "failed"


def _stored(tx: Transaction, job_id: str, destination: str, *, due: datetime | None = None) -> list[DeliveryRow]:
    query = select(DeliveryRow).where(
        DeliveryRow.job_id == job_id,
        DeliveryRow.destination == destination,
        DeliveryRow.state == DeliveryState.STORED,
    )
    if due is not None:
        query = query.where(DeliveryRow.due_at <= due)
    return list(tx.scalars(query.order_by(DeliveryRow.id).with_for_update()))


def _outcome(committed: int, failed: int) -> Action:
    if failed:
        return Action.COMMITMENT_FAILED
    return Action.COMMITMENT_SUCCEEDED if committed else Action.COMMITMENT_WITHOUT_EFFECT
