"""Revisions of studies: which are open, what one speaks of, and how it is closed or opened again."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select

from node.db.audit import Action
from node.db.engine import Transaction
from node.db.states import InstanceState, JobState, StudyState
from node.db.studies.received import REPORTED, SOUND
from node.db.tables import AssociationRow, InstanceRow, JobRow, StudyRow
from node.reasons import LOST, Reason

_RECENT: Final = timedelta(hours=1)


@dataclass(frozen=True)
class OpenStudy:
    """A study that still collects, with what the completion rules look at."""

    id: int
    study_instance_uid: str
    revision: int
    opened_at: datetime
    last_arrival_at: datetime
    instances: int
    outcomes: tuple[str | None, ...]
    recent: int = 0
    """Revisions of it that were closed within the last hour."""


@dataclass(frozen=True)
class StoredInstance:
    """One instance of a study as recorded."""

    id: int
    sop_instance_uid: str
    sop_class_uid: str
    digest: str
    state: InstanceState
    reason: Reason | None
    detail: str
    calling_ae_title: str


@dataclass(frozen=True)
class Opener:
    """Who opened a study, and the digest of its first image."""

    calling_ae_title: str
    digest: str


def openers(tx: Transaction, study_instance_uid: str) -> list[Opener]:
    """Return who opened studies under a UID, the oldest first."""
    query = (
        select(StudyRow.id, StudyRow.opened_by, InstanceRow.digest)
        .join(InstanceRow, InstanceRow.study_id == StudyRow.id)
        .where(StudyRow.study_instance_uid == study_instance_uid, InstanceRow.state.in_(REPORTED))
        .order_by(StudyRow.id, InstanceRow.id)
    )
    found: dict[int, Opener] = {}
    for study_id, opened_by, digest in tx.execute(query):
        found.setdefault(study_id, Opener(opened_by, digest))
    return list(found.values())


def open_studies(tx: Transaction) -> list[OpenStudy]:
    """Return the studies that still collect, oldest first."""
    found = []
    for study in tx.scalars(select(StudyRow).where(StudyRow.state == StudyState.OPEN).order_by(StudyRow.opened_at)):
        rows = tx.execute(
            select(AssociationRow.outcome, func.count())
            .join(InstanceRow, InstanceRow.association_id == AssociationRow.id)
            .where(InstanceRow.study_id == study.id, InstanceRow.revision == study.revision)
            .group_by(AssociationRow.id)
        ).all()
        total = tx.scalar(
            select(func.count())
            .select_from(InstanceRow)
            .where(InstanceRow.study_id == study.id, InstanceRow.state.in_(REPORTED))
        )
        found.append(
            OpenStudy(
                id=study.id,
                study_instance_uid=study.study_instance_uid,
                revision=study.revision,
                opened_at=study.opened_at,
                last_arrival_at=study.last_arrival_at,
                instances=total or 0,
                outcomes=tuple(outcome for outcome, _ in rows),
                recent=_closed_since(tx, study, tx.now - _RECENT),
            )
        )
    return found


def _closed_since(tx: Transaction, study: StudyRow, moment: datetime) -> int:
    query = select(func.count()).where(JobRow.study_id == study.id, JobRow.created_at > moment)
    return tx.scalar(query) or 0


def instances_of(tx: Transaction, study_id: int, *, revision: int) -> tuple[StoredInstance, ...]:
    """Return the instances that the job of a study's revision speaks of, in order of arrival.

    Those that came for a later revision are left out, and so is a damaged copy of an image that came sound as well,
    damaged before it came or in the node.
    """
    query = (
        select(InstanceRow, AssociationRow.calling_ae_title)
        .join(AssociationRow, AssociationRow.id == InstanceRow.association_id)
        .where(InstanceRow.study_id == study_id, InstanceRow.state.in_(REPORTED), InstanceRow.revision <= revision)
        .order_by(InstanceRow.id)
    )
    rows = tx.execute(query).all()
    sound = {row.sop_instance_uid for row, _ in rows if _is_sound(row)}
    return tuple(
        StoredInstance(
            id=row.id,
            sop_instance_uid=row.sop_instance_uid or "",
            sop_class_uid=row.sop_class_uid or "",
            digest=row.digest,
            state=row.state,
            reason=Reason(row.reason) if row.reason else None,
            detail=row.detail or "",
            calling_ae_title=caller,
        )
        for row, caller in rows
        if _is_sound(row) or row.sop_instance_uid not in sound
    )


@dataclass(frozen=True)
class RoutingDecision:
    """What the routing rules decided for a complete study; None in `complete` means: no analysis."""

    rule: str
    pipeline: str
    priority: str
    bundles: Sequence[str] | None
    destinations: Sequence[str]


def complete(
    tx: Transaction, study_id: int, *, reason: str, decision: RoutingDecision | None, no_rule: bool = True
) -> str | None:
    """Close the study's revision and create its job, in one transaction with the audit events.

    Parameters
    ----------
    no_rule
        Where there is no decision: that no rule matched, and not that a rule asks for no analysis, or that nothing
        could be read.

    Returns
    -------
    str or None
        The job's id; None where no rule asks for an analysis.
    """
    study = tx.get_one(StudyRow, study_id)
    study.state = StudyState.COMPLETE
    study.completed_at = tx.now
    study.completion_reason = reason
    tx.note(
        Action.STUDY_COMPLETED,
        study,
        reason=reason,
        revision=study.revision,
        rule=decision.rule if decision else None,
        why=Reason.NO_RULE if decision is None and no_rule else None,
    )
    if decision is None:
        return None
    job = JobRow(
        id=str(uuid.uuid4()),
        study_id=study.id,
        revision=study.revision,
        state=JobState.QUEUED,
        rule=decision.rule,
        pipeline=decision.pipeline,
        priority=decision.priority,
        bundles=list(decision.bundles) if decision.bundles is not None else None,
        destinations=list(decision.destinations),
        created_at=tx.now,
        due_at=tx.now,
        timings={},
    )
    tx.add(job)
    tx.note(
        Action.JOB_CREATED,
        job,
        revision=study.revision,
        rule=decision.rule,
        pipeline=decision.pipeline,
        priority=decision.priority,
        destinations=list(decision.destinations),
    )
    return job.id


def reopen(tx: Transaction, study_instance_uid: str, *, latest: bool = False) -> int | None:
    """Open the next revision of a complete study (`rerun`); return its number, None if there is no such study.

    The study closes again by the ordinary rules, at once, because nothing new has to arrive. Of an image of which
    several copies were received one counts: that it does so is decided by this, and is no longer asked.

    Parameters
    ----------
    latest
        The newest copy counts from now on, and not the one that came first.
    """
    query = select(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).order_by(StudyRow.id)
    found = tx.scalars(query.with_for_update()).all()
    for study in found:
        if study.state is StudyState.COMPLETE:
            next_revision(study, opened_at=tx.now, last_arrival_at=study.last_arrival_at)
            tx.note(Action.STUDY_REOPENED, study, revision=study.revision, reason="rerun")
        _choose_copies(tx, study, latest=latest)
    return max((study.revision for study in found), default=None)


def _choose_copies(tx: Transaction, study: StudyRow, *, latest: bool) -> None:
    query = select(InstanceRow).where(InstanceRow.study_id == study.id).order_by(InstanceRow.id)
    copies: dict[str | None, list[InstanceRow]] = {}
    for row in tx.scalars(query):
        if row.state is InstanceState.CONFLICT and row.reason in (Reason.UID_CONFLICT, None):
            row.reason, row.detail = None, "another copy counts"
            copies.setdefault(row.sop_instance_uid, []).append(row)
    if not latest:
        return
    for uid, others in copies.items():
        held = [row for row in study.instances if row.sop_instance_uid == uid and row.state in REPORTED]
        newest = others[-1]
        if any(row.id > newest.id for row in held):
            continue
        for row in held:
            row.state, row.reason, row.detail = InstanceState.CONFLICT, None, "a newer copy counts"
        newest.state, newest.reason, newest.detail = InstanceState.ACCEPTED, None, None
        newest.revision = study.revision
        tx.note(Action.INSTANCE_PREFERRED, study, sop_instance_uid=uid, digest=newest.digest)


def next_revision(study: StudyRow, *, opened_at: datetime, last_arrival_at: datetime) -> None:
    """Open the next revision of a complete study."""
    study.state = StudyState.OPEN
    study.revision += 1
    study.opened_at, study.last_arrival_at = opened_at, last_arrival_at
    study.completed_at = study.completion_reason = None


def is_lost(row: InstanceRow) -> bool:
    """Tell whether the bytes of an accepted image were found damaged or gone."""
    return row.state is InstanceState.ACCEPTED and row.reason in LOST


def _is_sound(row: InstanceRow) -> bool:
    return row.state in SOUND and not is_lost(row)
