"""What was recorded of objects that were received: their associations, and the states of instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import select

from node.db.audit import Action
from node.db.engine import Transaction
from node.db.states import InstanceState, StudyState
from node.db.studies.received import REPORTED, HeldInstance, Placement, ReceivedInstance, StudyStep, place
from node.db.studies.revisions import is_lost, next_revision
from node.db.tables import AssociationRow, InstanceRow, StudyRow
from node.errors import BytesLost
from node.reasons import Reason
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
    """Record one object as `node.db.studies.received.place` decides; a repetition is nothing but an audit event.

    Returns
    -------
    InstanceState or None
        The state recorded, or None for a repetition.
    """
    if tx.scalar(select(InstanceRow.id).where(InstanceRow.arrival == received.arrival)) is not None:
        return None
    caller = tx.get_one(AssociationRow, received.association_id).calling_ae_title
    study = _study_of(tx, received, caller)
    placement = place(received, _held(tx, received, study, caller), study.state if study else None)
    facts: dict[str, Any] = {
        "calling_ae_title": caller,
        "association_id": received.association_id,
        "sop_instance_uid": received.sop_instance_uid,
        "digest": received.digest,
        "bytes": received.size_bytes,
    }
    if placement is None:
        tx.note(Action.INSTANCE_REPAIRED if received.repaired else Action.INSTANCE_REPEATED, study, **facts)
        return None
    study = _stepped(tx, study, received, placement.step, caller)
    if placement.repairs:
        _repair(tx, received)
        tx.note(Action.INSTANCE_REPAIRED, study, **facts)
        return None
    tx.add(_instance_row(received, placement, study))
    tx.note(_RECORDED[placement.state], study, reason=placement.reason, why=placement.detail, **facts)
    return placement.state


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


def _repair(tx: Transaction, received: ReceivedInstance) -> None:
    """Take back what was noted of an image whose bytes are there again."""
    query = select(InstanceRow).where(
        InstanceRow.sop_instance_uid == received.sop_instance_uid, InstanceRow.digest == received.digest
    )
    for row in tx.scalars(query):
        row.reason = row.detail = None


def _study_of(tx: Transaction, received: ReceivedInstance, caller: str) -> StudyRow | None:
    """Return the study that an object belongs to (`node.intake.openers`); None where there is none yet."""
    if received.study_instance_uid is None:
        return None
    query = (
        select(StudyRow)
        .where(StudyRow.study_instance_uid == received.study_instance_uid)
        .order_by(StudyRow.id)
        .with_for_update()
    )
    rows = tx.scalars(query).all()
    own = next((row for row in rows if row.opened_by == (received.opener or caller)), None)
    return own if own is not None or received.opener is not None else next(iter(rows), None)


def _held(tx: Transaction, received: ReceivedInstance, study: StudyRow | None, caller: str) -> Sequence[HeldInstance]:
    """Return what is held with an object's SOP Instance UID: of its study or sender, or with the same bytes.

    What another sender has sent under that UID to another study does not stand in its way.
    """
    if received.sop_instance_uid is None:
        return ()
    query = (
        select(InstanceRow, AssociationRow.calling_ae_title)
        .join(AssociationRow, AssociationRow.id == InstanceRow.association_id)
        .where(InstanceRow.sop_instance_uid == received.sop_instance_uid)
    )
    held = []
    for row, sender in tx.execute(query):
        is_same_study = study is not None and row.study_id == study.id
        if is_same_study or sender == caller or row.digest == received.digest:
            held.append(HeldInstance(row.digest, row.state, is_same_study, lost=is_lost(row)))
    return held


def _stepped(
    tx: Transaction, study: StudyRow | None, received: ReceivedInstance, step: StudyStep, caller: str
) -> StudyRow | None:
    """Return the study after the step that the object means for it."""
    arrived_at = received.received_at
    if step is StudyStep.OPEN:
        study = StudyRow(
            study_instance_uid=received.study_instance_uid,
            opened_by=received.opener or caller,
            state=StudyState.OPEN,
            revision=1,
            opened_at=arrived_at,
            last_arrival_at=arrived_at,
        )
        tx.add(study)
        tx.flush()
        tx.note(Action.STUDY_OPENED, study, revision=1)
    elif study is not None and step is StudyStep.REOPEN:
        next_revision(study, opened_at=arrived_at, last_arrival_at=arrived_at)
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
