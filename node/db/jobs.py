"""Jobs: the outbox of analysis messages, claims with leases, and the publication of results."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, or_, select

from node.db.audit import Action
from node.db.engine import Transaction
from node.db.states import DeliveryState, JobState
from node.db.tables import DeliveryRow, JobRow, ResultRow, StudyRow
from node.errors import StaleClaim
from node.reasons import Reason

CLOCK_SKEW_S = 2.0
"""Difference that the clocks of two hosts may have before a job counts as not yet due."""

LONGEST_PAUSE_S = 900.0
"""Longest pause before a job is tried again."""

STAT = "STAT"
URGENT_FIRST = case((JobRow.priority == STAT, 0), else_=1)


@dataclass(frozen=True)
class DueJob:
    """A job whose message, for its analysis or for its deliveries, is to be sent to the broker."""

    id: str
    priority: str


@dataclass(frozen=True)
class ClaimedJob:
    """A job that this worker holds until its lease runs out.

    `report_only` is a reason when nothing is to be computed and only the answer is to be made.
    """

    id: str
    token: str
    rule: str
    """Name of the routing rule that asked for it."""
    pipeline: str
    priority: str
    study_id: int
    study_instance_uid: str
    revision: int
    attempts: int
    faults: int
    created_at: datetime
    bundles: tuple[str, ...] | None
    destinations: tuple[str, ...]
    report_only: Reason | None
    opener: str = ""
    """Who opened the study, where another sender had opened one under its UID before; empty for the first."""


@dataclass(frozen=True)
class NewResult:
    """A result object whose bytes are already in the spool."""

    kind: str
    profile: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class WithheldResult:
    """A result that failed its preflight; its bytes are in quarantine, named by their SHA-256.

    Kind, UID and SHA-256 are None for one that could not even be made.
    """

    kind: str | None
    profile: str
    sop_instance_uid: str | None
    sha256: str | None
    faults: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What the analysis of a job has come to."""

    results: Sequence[NewResult]
    profiles: Mapping[str, str]
    """Object profile of each destination; it gets the results of that profile."""
    withheld: Sequence[WithheldResult] = ()
    """Results that must not be sent, for the audit log."""
    held_back: str | None = None
    """Why no result is made though there are destinations; None: they are made."""
    left_out: Sequence[str] = ()
    """SOP Instance UIDs of images of another patient than the one of the results, for the audit log."""
    configuration_digest: str
    bundle_digests: Mapping[str, str]
    timings: Mapping[str, float]
    """Seconds by step."""
    summary: Mapping[str, Any]
    """The outcome in words and numbers, for people."""


@dataclass(frozen=True)
class PredecessorResult:
    """A result of an earlier revision of the study, the latest of its series."""

    kind: str
    profile: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


def due(tx: Transaction, *, resend_after_s: float, window: int) -> list[DueJob]:
    """Return the jobs to send now: STAT first, and routine jobs only while fewer than `window` are under way.

    A job is due when its time has come and no message was sent for it in the last `resend_after_s`.
    """
    stale = tx.now - timedelta(seconds=resend_after_s)
    waiting = (JobRow.state == JobState.QUEUED, JobRow.due_at <= tx.now)
    unsent = or_(JobRow.sent_at.is_(None), JobRow.sent_at < stale, JobRow.sent_at < JobRow.due_at)
    under_way = tx.scalar(
        select(func.count())
        .select_from(JobRow)
        .where(*waiting, JobRow.sent_at >= stale, JobRow.sent_at >= JobRow.due_at)
    )
    query = select(JobRow.id, JobRow.priority).where(*waiting, unsent).order_by(URGENT_FIRST, JobRow.created_at)
    found = [DueJob(id_, priority) for id_, priority in tx.execute(query.limit(10 * window))]
    room = max(0, window - (under_way or 0))
    urgent = [job for job in found if job.priority == STAT]
    return urgent + [job for job in found if job.priority != STAT][:room]


def mark_sent(tx: Transaction, job_id: str, *, queue: str) -> None:
    """Note that a message for the job is in the broker."""
    job = tx.get_one(JobRow, job_id)
    first = job.sent_at is None
    job.sent_at = tx.now
    if first:
        tx.note(Action.JOB_SENT, job, queue=queue)


def claim(tx: Transaction, job_id: str, *, lease_s: float) -> ClaimedJob | None:
    """Take a queued job for the worker that asks; None when it is not there to be taken (a repeated message, say)."""
    job = tx.scalar(select(JobRow).where(JobRow.id == job_id).with_for_update())
    if job is None or job.state is not JobState.QUEUED or job.due_at > tx.now + timedelta(seconds=CLOCK_SKEW_S):
        return None
    job.state = JobState.RUNNING
    job.attempts += 1
    job.lease_owner, job.lease_token = tx.actor, str(uuid.uuid4())
    job.lease_until = tx.now + timedelta(seconds=lease_s)
    job.started_at = tx.now
    tx.note(Action.JOB_STARTED, job, attempt=job.attempts)
    return _as_claimed(tx, job)


def recorded(tx: Transaction, job_id: str) -> tuple[ClaimedJob, frozenset[str]]:
    """Return a job that was analysed as it was claimed then, though it is nobody's now, and its results' SHA-256."""
    job = tx.get_one(JobRow, job_id)
    digests = tx.scalars(select(ResultRow.sha256).where(ResultRow.job_id == job_id))
    return _as_claimed(tx, job), frozenset(digests)


def _as_claimed(tx: Transaction, job: JobRow) -> ClaimedJob:
    study = tx.get_one(StudyRow, job.study_id)
    return ClaimedJob(
        id=job.id,
        token=job.lease_token or "",
        rule=job.rule,
        pipeline=job.pipeline,
        priority=job.priority,
        study_id=job.study_id,
        study_instance_uid=study.study_instance_uid,
        revision=job.revision,
        attempts=job.attempts,
        faults=job.faults,
        created_at=job.created_at,
        bundles=tuple(job.bundles) if job.bundles is not None else None,
        destinations=tuple(job.destinations),
        report_only=Reason(job.report_only) if job.report_only else None,
        opener=_opener(tx, study),
    )


def _opener(tx: Transaction, study: StudyRow) -> str:
    before = select(StudyRow.id).where(StudyRow.study_instance_uid == study.study_instance_uid, StudyRow.id < study.id)
    return "" if tx.scalar(before.limit(1)) is None else study.opened_by


def heartbeat(tx: Transaction, claimed: ClaimedJob, *, lease_s: float) -> None:
    """Extend the lease.

    Raises
    ------
    StaleClaim
        The job is no longer ours.
    """
    _held(tx, claimed).lease_until = tx.now + timedelta(seconds=lease_s)


def predecessors(tx: Transaction, *, study_id: int, revision: int) -> tuple[PredecessorResult, ...]:
    """Return of each series of results those of the latest earlier revision that has any, the oldest first.

    A series that the revision before did not go on with is among them: an archive still has it.
    """
    query = (
        select(ResultRow, JobRow.revision)
        .join(JobRow, ResultRow.job_id == JobRow.id)
        .where(JobRow.study_id == study_id, JobRow.revision < revision)
        .order_by(JobRow.revision, ResultRow.id)
    )
    found = [(row, made_in) for row, made_in in tx.execute(query)]
    latest = {(row.profile, row.series_instance_uid): made_in for row, made_in in found}
    return tuple(
        PredecessorResult(row.kind, row.profile, row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid)
        for row, made_in in found
        if latest[row.profile, row.series_instance_uid] == made_in
    )


def publish(tx: Transaction, claimed: ClaimedJob, publication: Publication, *, retry_for_s: float) -> None:
    """Store the results and one delivery for each destination, and hand the job over to delivery.

    Raises
    ------
    StaleClaim
        Another worker holds the job now: nothing is written.
    """
    job = _held(tx, claimed)
    rows = [_row(job.id, result, tx.now) for result in publication.results]
    tx.add_all(rows)
    tx.flush()
    tx.add_all(
        DeliveryRow(
            job_id=job.id,
            result_id=row.id,
            destination=destination,
            state=DeliveryState.PENDING,
            created_at=tx.now,
            due_at=tx.now,
            retry_until=tx.now + timedelta(seconds=retry_for_s),
        )
        for destination, profile in publication.profiles.items()
        for row in rows
        if row.profile == profile
    )
    to_deliver = bool(publication.profiles) and publication.held_back is None
    job.state = JobState.DELIVERING if to_deliver else JobState.DONE
    job.analysed_at = tx.now
    job.finished_at = None if to_deliver else tx.now
    job.configuration_digest = publication.configuration_digest
    job.timings = {**job.timings, **publication.timings}
    job.summary = dict(publication.summary)
    _release(job)
    _note_publication(tx, job, publication)


def _note_publication(tx: Transaction, job: JobRow, publication: Publication) -> None:
    tx.note(
        Action.JOB_ANALYSED,
        job,
        bundles=dict(publication.bundle_digests),
        configuration_digest=publication.configuration_digest,
        results=[
            {"kind": one.kind, "profile": one.profile, "sop_instance_uid": one.sop_instance_uid, "sha256": one.sha256}
            for one in publication.results
        ],
    )
    if publication.left_out:
        left_out = list(publication.left_out)
        tx.note(Action.STUDY_DIFFERENT_PATIENTS, job, reason=Reason.DIFFERENT_PATIENTS, left_out=left_out)
    for item in publication.withheld:
        tx.note(
            Action.RESULT_WITHHELD,
            job,
            kind=item.kind,
            profile=item.profile,
            sop_instance_uid=item.sop_instance_uid,
            sha256=item.sha256,
            why="; ".join(item.faults),
        )
    if publication.held_back is not None:
        tx.note(Action.JOB_DONE, job, why=publication.held_back)
    elif not publication.profiles:
        tx.note(Action.JOB_DONE, job, why="no destination is configured; the results are kept in the node")


def retry_or_answer(
    tx: Transaction, claimed: ClaimedJob, *, error: str, maximum_attempts: int, delay_s: float
) -> JobState:
    """Give a failed attempt back: to be tried again, then to be answered as failed, then FAILED for good.

    Returns
    -------
    JobState
        QUEUED, or FAILED: the study goes unanswered.

    Raises
    ------
    StaleClaim
        Another worker holds the job now.
    """
    job = _held(tx, claimed)
    give_back(tx, job, error=error, maximum_attempts=maximum_attempts, delay_s=delay_s)
    return job.state


def defer(tx: Transaction, claimed: ClaimedJob, *, error: str, delay_s: float) -> None:
    """Give a job back under which the machine failed: it is done later, after all others, and keeps its attempts.

    Raises
    ------
    StaleClaim
        Another worker holds the job now.
    """
    put_off(tx, _held(tx, claimed), error=error, delay_s=delay_s)


def put_off(tx: Transaction, job: JobRow, *, error: str, delay_s: float) -> None:
    """Queue a running job again later, without charging it with the attempt."""
    job.last_error = error
    _release(job)
    job.state = JobState.QUEUED
    job.attempts -= 1
    job.faults += 1
    job.due_at = tx.now + timedelta(seconds=delay_s)
    tx.note(Action.JOB_DEFERRED, job, why=error, faults=job.faults)


def give_back(tx: Transaction, job: JobRow, *, error: str, maximum_attempts: int, delay_s: float) -> None:
    """Queue the job again; past the limit for a report without analysis, and past twice the limit not at all."""
    job.last_error = error
    _release(job)
    if job.attempts >= 2 * maximum_attempts:
        job.state = JobState.FAILED
        job.finished_at = tx.now
    else:
        job.state = JobState.QUEUED
        job.due_at = tx.now + timedelta(seconds=min(delay_s, LONGEST_PAUSE_S))
        if job.attempts >= maximum_attempts:
            job.report_only = Reason.ANALYSIS_FAILED
    tx.note(
        Action.JOB_FAILED if job.state is JobState.FAILED else Action.JOB_RETURNED,
        job,
        attempt=job.attempts,
        why=error,
        answer_only=job.report_only,
    )


def requeue(tx: Transaction, *, study_instance_uid: str | None = None) -> list[str]:
    """Queue failed jobs again (`rerun`), of one study or all; their ids."""
    query = select(JobRow).where(JobRow.state == JobState.FAILED).with_for_update()
    if study_instance_uid is not None:
        query = query.join(StudyRow, StudyRow.id == JobRow.study_id).where(
            StudyRow.study_instance_uid == study_instance_uid
        )
    requeued = []
    for job in tx.scalars(query):
        job.state = JobState.QUEUED
        job.attempts, job.faults, job.report_only = 0, 0, None
        job.due_at, job.finished_at = tx.now, None
        tx.note(Action.JOB_REVIVED, job)
        requeued.append(job.id)
    return requeued


def _row(job_id: str, result: NewResult, now: datetime) -> ResultRow:
    return ResultRow(
        job_id=job_id,
        kind=result.kind,
        profile=result.profile,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        series_instance_uid=result.series_instance_uid,
        sha256=result.sha256,
        size_bytes=result.size_bytes,
        created_at=now,
    )


def _held(tx: Transaction, claimed: ClaimedJob) -> JobRow:
    job = tx.scalar(select(JobRow).where(JobRow.id == claimed.id).with_for_update())
    if job is None or job.state is not JobState.RUNNING or job.lease_token != claimed.token:
        raise StaleClaim(f"job {claimed.id} is no longer held by this worker")
    return job


def _release(job: JobRow) -> None:
    job.lease_owner = job.lease_token = job.lease_until = None
