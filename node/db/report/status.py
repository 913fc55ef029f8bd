"""The node at a glance: how much waits, for how long, and what an operator should look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from node.db import commitments
from node.db.audit import Action
from node.db.commitments import WaitingCommitments
from node.db.engine import Transaction
from node.db.states import DeliveryState, JobState
from node.db.tables import AuditRow, CircuitRow, DeliveryRow, InstanceRow, JobRow, StudyRow, WorkerRow


@dataclass(frozen=True)
class NodeStatus:
    """The node at a glance. Ages are those of the oldest that waits; None: nothing waits."""

    instances: dict[str, int]
    studies: dict[str, int]
    jobs: dict[str, int]
    deliveries: dict[str, int]
    oldest_queued_at: dict[str, datetime]
    oldest_pending_delivery_at: datetime | None
    commitments: tuple[WaitingCommitments, ...]
    circuits_open: tuple[tuple[str, int, datetime], ...]
    workers: tuple[tuple[str, str, datetime], ...]
    withheld: int = 0
    """Results that failed their preflight, of the latest revision of each study."""


def status(tx: Transaction) -> NodeStatus:
    """Count everything."""
    queued = tx.execute(
        select(JobRow.priority, func.min(JobRow.created_at))
        .where(JobRow.state.in_([JobState.QUEUED, JobState.RUNNING]))
        .group_by(JobRow.priority)
    ).all()
    oldest = tx.scalar(
        select(func.min(DeliveryRow.created_at)).where(
            DeliveryRow.state.in_([DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.STORED])
        )
    )
    circuits = tx.scalars(select(CircuitRow).where(CircuitRow.open_until.is_not(None)))
    found = tx.scalars(select(WorkerRow).order_by(WorkerRow.seen_at.desc()).limit(50))
    return NodeStatus(
        instances=_counts(tx, InstanceRow.state),
        studies=_counts(tx, StudyRow.state),
        jobs=_counts(tx, JobRow.state),
        deliveries=_counts(tx, DeliveryRow.state),
        oldest_queued_at={row[0]: row[1] for row in queued},
        oldest_pending_delivery_at=oldest,
        commitments=commitments.waiting(tx),
        circuits_open=tuple((c.destination, c.failures, c.open_until) for c in circuits if c.open_until),
        workers=tuple((w.id, w.device, w.seen_at) for w in found),
        withheld=_withheld(tx),
    )


def _withheld(tx: Transaction) -> int:
    later = aliased(JobRow)
    query = (
        select(func.count())
        .select_from(AuditRow)
        .join(JobRow, JobRow.id == AuditRow.job_id)
        .where(AuditRow.action == Action.RESULT_WITHHELD.value)
        .where(~exists().where(later.study_id == JobRow.study_id, later.revision > JobRow.revision))
    )
    return tx.scalar(query) or 0


def _counts(tx: Transaction, column: InstrumentedAttribute[StrEnum]) -> dict[str, int]:
    rows = tx.execute(select(column, func.count()).group_by(column)).all()
    return {str(state): count for state, count in rows}
