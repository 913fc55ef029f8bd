"""Instances and studies: what was received, what became of it, and when a study is complete."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select

from node.db.audit import Action
from node.db.engine import Transaction
from node.db.received import REPORTED, SOUND, HeldInstance, Placement, ReceivedInstance, StudyStep, place
from node.db.states import InstanceState, JobState, StudyState
from node.db.tables import AssociationRow, InstanceRow, JobRow, StudyRow
from node.errors import BytesLost
from node.reasons import LOST, Reason
from node.spool.incoming import AssociationInfo, AssociationOutcome

_ENDED: Final = {
    AssociationOutcome.RELEASED: Action.ASSOCIATION_RELEASED,
    AssociationOutcome.ABORTED: Action.ASSOCIATION_ABORTED,
}

_RECORDED: Final = {
    InstanceState.ACCEPTED: Action.INSTANCE_ACCEPTED,
    InstanceState.DECLINED: Action.INSTANCE_DECLINED,
    InstanceState.IGNORED: Action.INSTANCE_IGNORED,
    InstanceState.QUARANTINED: Action.INSTANCE_QUARANTINED,
    InstanceState.CONFLICT: Action.INSTANCE_CONFLICT,
}


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


def record_association(tx: Transaction, info: AssociationInfo, outcome: AssociationOutcome | None) -> None:
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
        tx.note(
            _ENDED[outcome],
            actor=f"ae:{info.calling_ae_title}",
            association_id=info.association_id,
            peer_address=info.peer_address,
            **certificate,
        )


def record_instance(tx: Transaction, received: ReceivedInstance) -> InstanceState | None:
    """Record one object as `node.db.received.place` decides; a repetition is nothing but an audit event.

    Returns
    -------
    InstanceState or None
        The state recorded, or None for a repetition.
    """
    if tx.scalar(select(InstanceRow.id).where(InstanceRow.arrival == received.arrival)) is not None:
        return None
    study = _study_of(tx, received)
    placement = place(received, _held(tx, received, study), study.state if study else None)
    facts: dict[str, Any] = {
        "calling_ae_title": tx.get_one(AssociationRow, received.association_id).calling_ae_title,
        "association_id": received.association_id,
        "sop_instance_uid": received.sop_instance_uid,
        "digest": received.digest,
        "bytes": received.size_bytes,
    }
    if placement is None:
        tx.note(Action.INSTANCE_REPAIRED if received.repaired else Action.INSTANCE_REPEATED, study, **facts)
        return None
    study = _stepped(tx, study, received, placement.step)
    if placement.repairs:
        _repair(tx, received)
        tx.note(Action.INSTANCE_REPAIRED, study, **facts)
        return None
    tx.add(_instance_row(received, placement, study))
    tx.note(_RECORDED[placement.state], study, reason=placement.reason, why=placement.detail, **facts)
    return placement.state


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
            )
        )
    return found


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


def reopen(tx: Transaction, study_instance_uid: str) -> int | None:
    """Open the next revision of a complete study (`rerun`); return its number, None if there is no such study.

    The study closes again by the ordinary rules, at once, because nothing new has to arrive.
    """
    study = tx.scalar(select(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).with_for_update())
    if study is None:
        return None
    if study.state is StudyState.COMPLETE:
        _next_revision(study, opened_at=tx.now, last_arrival_at=study.last_arrival_at)
        tx.note(Action.STUDY_REOPENED, study, revision=study.revision, reason="rerun")
    return study.revision


def quarantine_pixels(tx: Transaction, instance_id: int, *, detail: str) -> None:
    """Mark an accepted image whose pixels could not be decoded."""
    row = tx.get_one(InstanceRow, instance_id)
    if row.state is InstanceState.QUARANTINED:
        return
    row.state = InstanceState.QUARANTINED
    row.reason, row.detail = Reason.UNDECODABLE, detail
    tx.note(
        Action.INSTANCE_QUARANTINED,
        row.study,
        reason=Reason.UNDECODABLE,
        why=detail,
        sop_instance_uid=row.sop_instance_uid,
        digest=row.digest,
    )


def note_copy(tx: Transaction, instance_id: int, lost: BytesLost | None) -> None:
    """Note that the node's copy of an image was found lost, or (None) that it was found sound where it had been lost.

    An accepted image then says why it could not be analysed; what was decided of others stays.
    """
    row = tx.get_one(InstanceRow, instance_id)
    if row.state is InstanceState.ACCEPTED:
        row.reason, row.detail = (Reason(lost.reason), lost.detail) if lost else (None, None)
    tx.note(
        Action.INSTANCE_LOST if lost else Action.INSTANCE_REPAIRED,
        row.study,
        reason=lost.reason if lost else None,
        why=lost.detail if lost else "its bytes are there again",
        sop_instance_uid=row.sop_instance_uid,
        digest=row.digest,
    )


def _is_sound(row: InstanceRow) -> bool:
    return row.state in SOUND and not _is_lost(row)


def _is_lost(row: InstanceRow) -> bool:
    return row.state is InstanceState.ACCEPTED and row.reason in LOST


def _repair(tx: Transaction, received: ReceivedInstance) -> None:
    """Take back what was noted of an image whose bytes are there again."""
    query = select(InstanceRow).where(
        InstanceRow.sop_instance_uid == received.sop_instance_uid, InstanceRow.digest == received.digest
    )
    for row in tx.scalars(query):
        row.reason = row.detail = None


def _study_of(tx: Transaction, received: ReceivedInstance) -> StudyRow | None:
    if received.study_instance_uid is None:
        return None
    return tx.scalar(
        select(StudyRow).where(StudyRow.study_instance_uid == received.study_instance_uid).with_for_update()
    )


def _held(tx: Transaction, received: ReceivedInstance, study: StudyRow | None) -> Sequence[HeldInstance]:
    if received.sop_instance_uid is None:
        return ()
    rows = tx.scalars(select(InstanceRow).where(InstanceRow.sop_instance_uid == received.sop_instance_uid))
    return [
        HeldInstance(row.digest, row.state, study is not None and row.study_id == study.id, lost=_is_lost(row))
        for row in rows
    ]


def _stepped(tx: Transaction, study: StudyRow | None, received: ReceivedInstance, step: StudyStep) -> StudyRow | None:
    """Return the study after the step that the object means for it."""
    arrived_at = received.received_at
    if step is StudyStep.OPEN:
        study = StudyRow(
            study_instance_uid=received.study_instance_uid,
            state=StudyState.OPEN,
            revision=1,
            opened_at=arrived_at,
            last_arrival_at=arrived_at,
        )
        tx.add(study)
        tx.flush()
        tx.note(Action.STUDY_OPENED, study, revision=1)
    elif study is not None and step is StudyStep.REOPEN:
        _next_revision(study, opened_at=arrived_at, last_arrival_at=arrived_at)
        tx.note(Action.STUDY_REOPENED, study, revision=study.revision, reason="late-image")
    elif study is not None and step is StudyStep.EXTEND:
        study.last_arrival_at = max(study.last_arrival_at, arrived_at)
    return study


def _instance_row(received: ReceivedInstance, placement: Placement, study: StudyRow | None) -> InstanceRow:
    return InstanceRow(
        study_id=study.id if study else None,
        association_id=received.association_id,
        arrival=received.arrival,
        sop_instance_uid=received.sop_instance_uid,
        sop_class_uid=received.sop_class_uid,
        transfer_syntax_uid=received.transfer_syntax_uid,
        digest=received.digest,
        size_bytes=received.size_bytes,
        state=placement.state,
        reason=placement.reason,
        detail=placement.detail,
        revision=study.revision if study and placement.state in REPORTED else None,
        received_at=received.received_at,
    )


def _next_revision(study: StudyRow, *, opened_at: datetime, last_arrival_at: datetime) -> None:
    study.state = StudyState.OPEN
    study.revision += 1
    study.opened_at, study.last_arrival_at = opened_at, last_arrival_at
    study.completed_at = study.completion_reason = None
