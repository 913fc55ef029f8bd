"""Instances and studies: what arrived, what became of it, and when a study is complete."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from node.db import audit
from node.db.engine import Transaction
from node.db.states import InstanceState, JobState, StudyState
from node.db.tables import AssociationRow, InstanceRow, JobRow, StudyRow
from node.reasons import Reason
from node.spool.incoming import AssociationInfo, Outcome

ANSWERED = (InstanceState.ACCEPTED, InstanceState.DECLINED, InstanceState.QUARANTINED)
"""Instances that a job speaks of: analysed, or listed with the reason why not."""

SOUND = (InstanceState.ACCEPTED, InstanceState.DECLINED)
"""Instances that could be read; the first one of a SOP Instance UID counts."""


@dataclass(frozen=True)
class Arrival:
    """One durable object and the verdict on it, ready to be recorded.

    `arrival` names the file in the spool (association and number): recording it twice has no effect.
    """

    arrival: str
    association_id: str
    received_at: datetime
    digest: str
    size_bytes: int
    state: InstanceState
    reason: Reason | None = None
    detail: str | None = None
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None
    transfer_syntax_uid: str | None = None


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


def record_association(tx: Transaction, info: AssociationInfo, outcome: Outcome | None, *, now: datetime) -> None:
    """Record an association, and how it ended once that is known."""
    row = tx.get(AssociationRow, info.association_id)
    if row is None:
        row = AssociationRow(
            id=info.association_id,
            calling_ae_title=info.calling_ae_title,
            called_ae_title=info.called_ae_title,
            peer_address=info.peer_address,
            tls_subject=info.tls_subject,
            opened_at=info.opened_at,
        )
        tx.add(row)
        tx.flush()
    if outcome is not None and row.outcome is None:
        row.outcome = outcome
        certificate: dict[str, Any] = {"tls_subject": info.tls_subject} if info.tls_subject else {}
        audit.append(
            tx,
            at=now,
            actor=f"ae:{info.calling_ae_title}",
            action=f"association.{outcome}",
            association_id=info.association_id,
            peer_address=info.peer_address,
            **certificate,
        )


def record_arrival(tx: Transaction, arrival: Arrival, *, actor: str, now: datetime) -> InstanceState | None:
    """Record one object.

    The same SOP Instance UID with the same bytes is a repetition: nothing but an audit event. With other bytes it is
    kept as a CONFLICT beside the first, which stays the one that is analysed.

    Returns
    -------
    InstanceState or None
        The state recorded, or None for a repetition.
    """
    if tx.scalar(select(InstanceRow.id).where(InstanceRow.arrival == arrival.arrival)) is not None:
        return None
    study = _study_of(tx, arrival)
    same_uid = _rows_of_uid(tx, arrival.sop_instance_uid)
    facts: dict[str, Any] = {
        "calling_ae_title": tx.get_one(AssociationRow, arrival.association_id).calling_ae_title,
        "association_id": arrival.association_id,
        "sop_instance_uid": arrival.sop_instance_uid,
        "digest": arrival.digest,
        "bytes": arrival.size_bytes,
    }
    if any(row.digest == arrival.digest for row in same_uid):
        audit.append(tx, at=now, actor=actor, action="instance.repeated", study_id=study.id if study else None, **facts)
        return None
    state, reason, detail = arrival.state, arrival.reason, arrival.detail
    # A damaged copy in quarantine does not stand in the way of a sound one that is sent again.
    held = [row for row in same_uid if row.state in SOUND]
    if held and state is not InstanceState.IGNORED:
        reason, detail = Reason.UID_CONFLICT, "another object with this SOP Instance UID is held; the first one counts"
        # In a study that does not hold that other object, this one still gets an answer.
        own = study is not None and any(row.study_id == study.id for row in held)
        state = InstanceState.CONFLICT if own else InstanceState.QUARANTINED
    if state in ANSWERED and arrival.study_instance_uid is not None:
        study = _reopen(tx, study, arrival, actor=actor, now=now)
    tx.add(
        InstanceRow(
            study_id=study.id if study else None,
            association_id=arrival.association_id,
            arrival=arrival.arrival,
            sop_instance_uid=arrival.sop_instance_uid,
            sop_class_uid=arrival.sop_class_uid,
            transfer_syntax_uid=arrival.transfer_syntax_uid,
            digest=arrival.digest,
            size_bytes=arrival.size_bytes,
            state=state,
            reason=reason,
            detail=detail,
            revision=study.revision if study and state in ANSWERED else None,
            received_at=arrival.received_at,
        )
    )
    audit.append(
        tx,
        at=now,
        actor=actor,
        action=f"instance.{state}",
        study_id=study.id if study else None,
        reason=reason,
        why=detail,
        **facts,
    )
    return state


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
            .where(InstanceRow.study_id == study.id, InstanceRow.state.in_(ANSWERED))
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
            )
        )
    return found


def instances_of(tx: Transaction, study_id: int, *, revision: int) -> tuple[StoredInstance, ...]:
    """Return the instances that the job of a study's revision speaks of, in order of arrival.

    Those that came for a later revision are left out, and so is a damaged copy of an image that came sound as well.
    """
    query = (
        select(InstanceRow, AssociationRow.calling_ae_title)
        .join(AssociationRow, AssociationRow.id == InstanceRow.association_id)
        .where(InstanceRow.study_id == study_id, InstanceRow.state.in_(ANSWERED), InstanceRow.revision <= revision)
        .order_by(InstanceRow.id)
    )
    rows = tx.execute(query).all()
    sound = {row.sop_instance_uid for row, _ in rows if row.state in SOUND}
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
        if row.state in SOUND or row.sop_instance_uid not in sound
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
    tx: Transaction, study_id: int, *, reason: str, decision: RoutingDecision | None, actor: str, now: datetime
) -> str | None:
    """Close the study's revision and create its job, in one transaction with the audit events.

    Returns
    -------
    str or None
        The job's id; None where no rule asks for an analysis.
    """
    study = tx.get_one(StudyRow, study_id)
    study.state = StudyState.COMPLETE
    study.completed_at = now
    study.completion_reason = reason
    audit.append(
        tx,
        at=now,
        actor=actor,
        action="study.completed",
        study_id=study.id,
        reason=reason,
        revision=study.revision,
        rule=decision.rule if decision else None,
        why=None if decision else Reason.NO_RULE,
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
        created_at=now,
        due_at=now,
        timings={},
    )
    tx.add(job)
    audit.append(
        tx,
        at=now,
        actor=actor,
        action="job.created",
        study_id=study.id,
        job_id=job.id,
        revision=study.revision,
        rule=decision.rule,
        pipeline=decision.pipeline,
        priority=decision.priority,
        destinations=list(decision.destinations),
    )
    return job.id


def reopen(tx: Transaction, study_instance_uid: str, *, actor: str, now: datetime) -> int | None:
    """Open the next revision of a complete study (`rerun`); return its number, None if there is no such study.

    The study closes again by the ordinary rules, at once, because nothing new has to arrive.
    """
    study = tx.scalar(select(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).with_for_update())
    if study is None:
        return None
    if study.state is StudyState.COMPLETE:
        _next_revision(study, opened_at=now, last_arrival_at=study.last_arrival_at)
        audit.append(
            tx, at=now, actor=actor, action="study.reopened", study_id=study.id, revision=study.revision, reason="rerun"
        )
    return study.revision


def quarantine_pixels(tx: Transaction, instance_id: int, *, detail: str, actor: str, now: datetime) -> None:
    """Mark an accepted image whose pixels could not be decoded."""
    row = tx.get_one(InstanceRow, instance_id)
    if row.state is InstanceState.QUARANTINED:
        return
    row.state = InstanceState.QUARANTINED
    row.reason, row.detail = Reason.UNDECODABLE, detail
    audit.append(
        tx,
        at=now,
        actor=actor,
        action="instance.quarantined",
        study_id=row.study_id,
        reason=Reason.UNDECODABLE,
        why=detail,
        sop_instance_uid=row.sop_instance_uid,
        digest=row.digest,
    )


def _study_of(tx: Transaction, arrival: Arrival) -> StudyRow | None:
    if arrival.study_instance_uid is None:
        return None
    return tx.scalar(
        select(StudyRow).where(StudyRow.study_instance_uid == arrival.study_instance_uid).with_for_update()
    )


def _rows_of_uid(tx: Transaction, sop_instance_uid: str | None) -> Sequence[InstanceRow]:
    if sop_instance_uid is None:
        return ()
    return tx.scalars(select(InstanceRow).where(InstanceRow.sop_instance_uid == sop_instance_uid)).all()


def _reopen(tx: Transaction, study: StudyRow | None, arrival: Arrival, *, actor: str, now: datetime) -> StudyRow:
    """Return the open study that the arrival belongs to: new, still open, or open again as the next revision."""
    if study is None:
        study = StudyRow(
            study_instance_uid=arrival.study_instance_uid,
            state=StudyState.OPEN,
            revision=1,
            opened_at=arrival.received_at,
            last_arrival_at=arrival.received_at,
        )
        tx.add(study)
        tx.flush()
        audit.append(tx, at=now, actor=actor, action="study.opened", study_id=study.id, revision=1)
    elif study.state is StudyState.COMPLETE:
        _next_revision(study, opened_at=arrival.received_at, last_arrival_at=arrival.received_at)
        audit.append(
            tx,
            at=now,
            actor=actor,
            action="study.reopened",
            study_id=study.id,
            revision=study.revision,
            reason="late-image",
        )
    else:
        study.last_arrival_at = max(study.last_arrival_at, arrival.received_at)
    return study


def _next_revision(study: StudyRow, *, opened_at: datetime, last_arrival_at: datetime) -> None:
    study.state = StudyState.OPEN
    study.revision += 1
    study.opened_at, study.last_arrival_at = opened_at, last_arrival_at
    study.completed_at = study.completion_reason = None
