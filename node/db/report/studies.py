"""What became of each study: its line in the list, its job, its results and their ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select

from node.db.audit import Action
from node.db.engine import Transaction
from node.db.states import DeliveryState, InstanceState, JobState, StudyState
from node.db.tables import AuditRow, DeliveryRow, InstanceRow, JobRow, ResultRow, StudyRow
from node.reasons import LOST, Reason


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


def study_lines(
    tx: Transaction, *, limit: int, study_instance_uid: str | None = None, failed: bool = False
) -> list[StudyLine]:
    """Return the newest studies first.

    Parameters
    ----------
    failed
        Only those with undelivered results, without an answer, whose answer says that the node failed, of which other
        copies were received, or whose images name different patients.
    """
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
    if failed:
        undone = JobRow.state.in_([JobState.UNDELIVERED, JobState.FAILED])
        query = query.where(or_(undone, _is_answered_as_failed(), *_are_of_doubt()))
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
            job_state=_job_state(study, job),
            priority=job.priority if job else None,
            finished_at=_finished_at(study, job),
            last_error=job.last_error if job else None,
        )
        for study, count, job in tx.execute(query)
    ]


def _job_state(study: StudyRow, job: JobRow | None) -> JobState | None:
    """Return the state of the study's latest job; None for a complete study whose present revision has none."""
    if job is None or (study.state is StudyState.COMPLETE and job.revision != study.revision):
        return None
    return job.state


def _finished_at(study: StudyRow, job: JobRow | None) -> datetime | None:
    """Return when the study's present revision was finished: the job of an earlier one says nothing about it."""
    return job.finished_at if job is not None and job.revision == study.revision else None


def answered_as_failed(tx: Transaction) -> list[str]:
    """Return the studies whose latest answer says no more than that the node failed, by Study Instance UID.

    Those whose analysis failed, and those of which an image was damaged or gone in the node.
    """
    return list(tx.scalars(_answered_as_failed().order_by(StudyRow.id)))


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


def _answered_as_failed() -> Select[Any]:
    return select(StudyRow.study_instance_uid).where(StudyRow.state == StudyState.COMPLETE, _is_answered_as_failed())


def _is_answered_as_failed() -> ColumnElement[bool]:
    """Return the condition that the answer to a study's latest revision says no more than that the node failed."""
    job = (
        exists()
        .correlate(StudyRow)
        .where(
            JobRow.study_id == StudyRow.id,
            JobRow.revision == StudyRow.revision,
            JobRow.report_only == Reason.ANALYSIS_FAILED,
            JobRow.state.in_([JobState.DELIVERING, JobState.DONE, JobState.UNDELIVERED]),
        )
    )
    lost = (
        exists()
        .correlate(StudyRow)
        .where(
            InstanceRow.study_id == StudyRow.id,
            InstanceRow.state == InstanceState.ACCEPTED,
            InstanceRow.reason.in_(sorted(LOST)),
        )
    )
    return or_(job, lost)


def _are_of_doubt() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions that copies of an image differ, and that the latest revision has different patients."""
    copies = (
        exists()
        .correlate(StudyRow)
        .where(
            InstanceRow.study_id == StudyRow.id,
            InstanceRow.state == InstanceState.CONFLICT,
            InstanceRow.reason == Reason.UID_CONFLICT.value,
        )
    )
    noted = select(AuditRow.job_id).where(AuditRow.action == Action.STUDY_DIFFERENT_PATIENTS.value)
    return copies, JobRow.id.in_(noted)
