"""Read-only views for people: how much waits, for how long, and what became of each study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from node.db import commitments
from node.db.audit import Action
from node.db.commitments import WaitingCommitments
from node.db.engine import Transaction
from node.db.states import DeliveryState, InstanceState, JobState, StudyState
from node.db.tables import AuditRow, CircuitRow, DeliveryRow, InstanceRow, JobRow, ResultRow, StudyRow, WorkerRow


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


@dataclass(frozen=True)
class StudyLine:
    """One study with its latest job."""

    id: int
    study_instance_uid: str
    state: StudyState
    revision: int
    images: int
    opened_at: datetime
    completion_reason: str | None
    job_id: str | None
    job_state: JobState | None
    priority: str | None
    finished_at: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class ResultLine:
    """One result with its way to one destination (None: to nowhere)."""

    kind: str
    profile: str
    sop_instance_uid: str
    sha256: str
    destination: str | None
    state: DeliveryState | None
    attempts: int
    last_error: str | None


@dataclass(frozen=True)
class JobReport:
    """One finished or running job with its times and its summary."""

    id: str
    state: JobState
    pipeline: str
    created_at: datetime
    received_at: datetime
    sent_at: datetime | None
    started_at: datetime | None
    analysed_at: datetime | None
    finished_at: datetime | None
    timings: dict[str, float]
    summary: dict[str, Any] | None


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


def study_lines(
    tx: Transaction, *, limit: int, study_instance_uid: str | None = None, job_state: JobState | None = None
) -> list[StudyLine]:
    """Return the newest studies first."""
    images = (
        select(func.count())
        .where(
            InstanceRow.study_id == StudyRow.id,
            InstanceRow.state.not_in([InstanceState.IGNORED, InstanceState.CONFLICT]),
        )
        .correlate(StudyRow)
        .scalar_subquery()
    )
    latest = (
        select(func.max(JobRow.revision)).where(JobRow.study_id == StudyRow.id).correlate(StudyRow).scalar_subquery()
    )
    query = (
        select(StudyRow, images, JobRow)
        .outerjoin(JobRow, (JobRow.study_id == StudyRow.id) & (JobRow.revision == latest))
        .order_by(StudyRow.id.desc())
        .limit(limit)
    )
    if study_instance_uid is not None:
        query = query.where(StudyRow.study_instance_uid == study_instance_uid)
    if job_state is not None:
        query = query.where(JobRow.state == job_state)
    return [
        StudyLine(
            id=study.id,
            study_instance_uid=study.study_instance_uid,
            state=study.state,
            revision=study.revision,
            images=count,
            opened_at=study.opened_at,
            completion_reason=study.completion_reason,
            job_id=job.id if job else None,
            job_state=job.state if job else None,
            priority=job.priority if job else None,
            finished_at=job.finished_at if job else None,
            last_error=job.last_error if job else None,
        )
        for study, count, job in tx.execute(query)
    ]


def result_lines(tx: Transaction, job_id: str) -> Sequence[ResultLine]:
    """Return the results of a job, one line for each destination."""
    query = (
        select(ResultRow, DeliveryRow)
        .outerjoin(DeliveryRow, DeliveryRow.result_id == ResultRow.id)
        .where(ResultRow.job_id == job_id)
        .order_by(ResultRow.id, DeliveryRow.id)
    )
    return [
        ResultLine(
            kind=result.kind,
            profile=result.profile,
            sop_instance_uid=result.sop_instance_uid,
            sha256=result.sha256,
            destination=delivery.destination if delivery else None,
            state=delivery.state if delivery else None,
            attempts=delivery.attempts if delivery else 0,
            last_error=delivery.last_error if delivery else None,
        )
        for result, delivery in tx.execute(query)
    ]


def job(tx: Transaction, job_id: str) -> JobReport:
    """Return one job."""
    row = tx.get_one(JobRow, job_id)
    study = tx.get_one(StudyRow, row.study_id)
    return JobReport(
        id=row.id,
        state=row.state,
        pipeline=row.pipeline,
        created_at=row.created_at,
        received_at=study.last_arrival_at,
        sent_at=row.sent_at,
        started_at=row.started_at,
        analysed_at=row.analysed_at,
        finished_at=row.finished_at,
        timings=dict(row.timings),
        summary=row.summary,
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
