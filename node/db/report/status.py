"""The node at a glance: how much waits, for how long, and what an operator should look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from node.db import commitments
from node.db.audit import Action
from node.db.commitments import WaitingCommitments
from node.db.engine import Transaction
from node.db.report.studies import answered_as_failed
from node.db.states import DeliveryState, InstanceState, JobState, StudyState
from node.db.tables import (
    AssociationRow,
    AuditRow,
    CircuitRow,
    DeliveryRow,
    InstanceRow,
    JobRow,
    ProcessRow,
    StudyRow,
)
from node.reasons import LOST, Reason

_DEFERRED: Final = (JobRow.state == JobState.QUEUED, JobRow.faults > 0)


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """One process that gave signs of life lately, and has not ended in order."""

    id: str
    component: str
    device: str | None
    seen_at: datetime
    doing: str | None = None
    doing_since: datetime | None = None
    steps: Mapping[str, str] = field(default_factory=dict)
    """When each of its steps was completed last, in ISO 8601."""


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
    processes: tuple[ProcessLine, ...]
    withheld: int = 0
    """Results that failed their preflight, of the latest revision of each study."""
    answered_as_failed: int = 0
    """Studies whose latest answer says no more than that the node failed."""
    lost_images: int = 0
    """Images whose stored bytes were found damaged or gone."""
    deferred: int = 0
    """Jobs that wait because the machine failed under them, and (`deferred_why`) the last error of one of them."""
    deferred_why: str | None = None
    conflicts: int = 0
    """Studies of which images came again with other bytes, and nobody has decided which copies count."""
    different_patients: int = 0
    """Studies whose images name different patients, by their latest revision."""
    without_rule: tuple[tuple[str, int], ...] = ()
    """Studies that no routing rule matched, by their sender's AE Title."""


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
    found = tx.scalars(select(ProcessRow).order_by(ProcessRow.component, ProcessRow.seen_at.desc()).limit(200))
    return NodeStatus(
        instances=_counts(tx, InstanceRow.state),
        studies=_counts(tx, StudyRow.state),
        jobs=_counts(tx, JobRow.state),
        deliveries=_counts(tx, DeliveryRow.state),
        oldest_queued_at={row[0]: row[1] for row in queued},
        oldest_pending_delivery_at=oldest,
        commitments=commitments.waiting(tx),
        circuits_open=tuple((c.destination, c.failures, c.open_until) for c in circuits if c.open_until),
        processes=tuple(
            ProcessLine(p.id, p.component, p.device, p.seen_at, p.doing, p.doing_since, p.steps) for p in found
        ),
        withheld=_noted_of_the_latest(tx, Action.RESULT_WITHHELD),
        answered_as_failed=len(answered_as_failed(tx)),
        lost_images=_count(tx, InstanceRow.state == InstanceState.ACCEPTED, InstanceRow.reason.in_(sorted(LOST))),
        deferred=_count(tx, *_DEFERRED),
        deferred_why=tx.scalar(select(JobRow.last_error).where(*_DEFERRED).order_by(JobRow.due_at.desc()).limit(1)),
        conflicts=_conflicts(tx),
        different_patients=_noted_of_the_latest(tx, Action.STUDY_DIFFERENT_PATIENTS),
        without_rule=_without_rule(tx),
    )


def _count(tx: Transaction, *conditions: ColumnElement[bool]) -> int:
    return tx.scalar(select(func.count()).where(*conditions)) or 0


def _without_rule(tx: Transaction) -> tuple[tuple[str, int], ...]:
    job = exists().correlate(StudyRow).where(JobRow.study_id == StudyRow.id, JobRow.revision == StudyRow.revision)
    unmatched = (
        exists()
        .correlate(StudyRow)
        .where(
            AuditRow.study_id == StudyRow.id,
            AuditRow.action == Action.STUDY_COMPLETED.value,
            AuditRow.detail.contains(Reason.NO_RULE.value),
        )
    )
    query = (
        select(AssociationRow.calling_ae_title, func.count(StudyRow.id.distinct()))
        .join(InstanceRow, InstanceRow.association_id == AssociationRow.id)
        .join(StudyRow, StudyRow.id == InstanceRow.study_id)
        .where(StudyRow.state == StudyState.COMPLETE, ~job, unmatched)
        .group_by(AssociationRow.calling_ae_title)
        .order_by(AssociationRow.calling_ae_title)
    )
    return tuple((title, count) for title, count in tx.execute(query))


def _conflicts(tx: Transaction) -> int:
    query = select(func.count(InstanceRow.study_id.distinct())).where(
        InstanceRow.state == InstanceState.CONFLICT, InstanceRow.reason == Reason.UID_CONFLICT.value
    )
    return tx.scalar(query) or 0


def _noted_of_the_latest(tx: Transaction, action: Action) -> int:
    """Count what was noted of the jobs of the latest revisions."""
    later = aliased(JobRow)
    query = (
        select(func.count())
        .select_from(AuditRow)
        .join(JobRow, JobRow.id == AuditRow.job_id)
        .where(AuditRow.action == action.value)
        .where(~exists().where(later.study_id == JobRow.study_id, later.revision > JobRow.revision))
    )
    return tx.scalar(query) or 0


def _counts(tx: Transaction, column: InstrumentedAttribute[StrEnum]) -> dict[str, int]:
    rows = tx.execute(select(column, func.count()).group_by(column)).all()
    return {str(state): count for state, count in rows}
