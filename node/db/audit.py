"""The audit log: append-only, each row holding the hash of the row before.

`hash = SHA-256(previous hash | canonical JSON of the row)`. The last link is also kept in `audit_head`, so that rows
cut off the end are noticed. Database triggers refuse UPDATE and DELETE. Someone who can rewrite the whole database can
rewrite the whole chain: the dispatcher notes the head in a file (`node.dispatch.anchors`), and `hilum verify-audit`
compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from node.db.tables import AuditHeadRow, AuditRow

GENESIS = "0" * 64
HEAD_ID = 1


class Action(StrEnum):
    """Everything that is written to the audit log. The text of an entry never changes: old rows hold it."""

    ASSOCIATION_RELEASED = "association.released"
    ASSOCIATION_ABORTED = "association.aborted"
    INSTANCE_ACCEPTED = "instance.accepted"
    INSTANCE_DECLINED = "instance.declined"
    INSTANCE_IGNORED = "instance.ignored"
    INSTANCE_QUARANTINED = "instance.quarantined"
    INSTANCE_CONFLICT = "instance.conflict"
    INSTANCE_REPEATED = "instance.repeated"
    INSTANCE_LOST = "instance.lost"
    """The stored bytes of an image were damaged or gone when a job came to them."""
    INSTANCE_REPAIRED = "instance.repaired"
    """Bytes that were damaged or gone are there again: they were sent again, or put back."""
    INSTANCE_PREFERRED = "instance.preferred"
    """The newest copy of an image counts from now on (`rerun --latest`)."""
    STUDY_OPENED = "study.opened"
    STUDY_REOPENED = "study.reopened"
    """A late image, or `rerun`, opened the next revision."""
    STUDY_COMPLETED = "study.completed"
    STUDY_DIFFERENT_PATIENTS = "study.different_patients"
    """Images of the study name different patients, and nothing of it was analysed."""
    JOB_CREATED = "job.created"
    JOB_SENT = "job.sent"
    JOB_STARTED = "job.started"
    JOB_ANALYSED = "job.analysed"
    JOB_RETURNED = "job.returned"
    """An attempt failed, or its worker fell silent."""
    JOB_DEFERRED = "job.deferred"
    """The machine failed, which is none of the job's attempts."""
    JOB_FAILED = "job.failed"
    JOB_REVIVED = "job.revived"
    """Queued again by `rerun --dead` or `rerun --failed`."""
    JOB_DONE = "job.done"
    JOB_UNDELIVERED = "job.undelivered"
    RESULT_WITHHELD = "result.withheld"
    """A result failed its preflight and was quarantined."""
    DELIVERY_STORED = "delivery.stored"
    DELIVERY_ACCEPTED = "delivery.accepted"
    DELIVERY_DEFERRED = "delivery.deferred"
    DELIVERY_DEAD = "delivery.dead"
    DELIVERY_REVIVED = "delivery.revived"
    """Due again by `rerun --dead`."""
    CIRCUIT_OPENED = "circuit.opened"
    CIRCUIT_CLOSED = "circuit.closed"
    """By `hilum retry`."""
    SPOOL_ADOPTED = "spool.adopted"
    """The database belongs to this spool from now on: they met for the first time, or by `migrate --new-spool`."""
    CLOCK_JUMPED = "clock.jumped"
    """What rows wait for was moved with the clock, or brought back to it."""
    COMMITMENT_REQUESTED = "commitment.requested"
    COMMITMENT_NOT_TAKEN = "commitment.not_taken"
    COMMITMENT_UNREPORTED = "commitment.unreported"
    COMMITMENT_SUCCEEDED = "commitment.succeeded"
    COMMITMENT_FAILED = "commitment.failed"
    COMMITMENT_WITHOUT_EFFECT = "commitment.without_effect"


@dataclass(frozen=True)
class AuditEvent:
    """One link of the chain as stored."""

    sequence: int
    at: str
    actor: str
    action: str
    study_id: int | None
    job_id: str | None
    detail: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class Verification:
    """Outcome of a check of the chain: `problem` is None when every link holds."""

    rows: int
    head: str
    problem: str | None


def append(
    session: Session,
    *,
    at: datetime,
    actor: str,
    action: Action,
    study_id: int | None = None,
    job_id: str | None = None,
    **detail: Any,
) -> None:
    """Add one event in the caller's transaction; `node.db.engine.Transaction.note` is the short way.

    Parameters
    ----------
    actor
        Who: a component and its process, an AE Title, or a user of the command line.
    action
        What.
    detail
        Why and with what: JSON values only, and never a patient attribute.
    """
    last = session.execute(select(AuditHeadRow).where(AuditHeadRow.id == HEAD_ID).with_for_update()).scalar_one()
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    sequence = last.sequence + 1
    link = _link(last.hash, sequence, moment, actor, action.value, study_id, job_id, text)
    session.add(
        AuditRow(
            sequence=sequence,
            at=moment,
            actor=actor,
            action=action.value,
            study_id=study_id,
            job_id=job_id,
            detail=text,
            previous_hash=last.hash,
            hash=link,
        )
    )
    last.sequence, last.hash = sequence, link
    session.flush()


def events(session: Session, *, study_id: int | None = None, job_id: str | None = None) -> Iterator[AuditEvent]:
    """Yield events in order, of one study or job if asked."""
    query = select(AuditRow).order_by(AuditRow.sequence)
    if study_id is not None:
        query = query.where(AuditRow.study_id == study_id)
    if job_id is not None:
        query = query.where(AuditRow.job_id == job_id)
    for row in session.execute(query.execution_options(yield_per=1000)).scalars():
        yield AuditEvent(
            row.sequence,
            row.at,
            row.actor,
            row.action,
            row.study_id,
            row.job_id,
            json.loads(row.detail),
            row.hash,
        )


@dataclass(frozen=True)
class Head:
    """The last link of the chain at some moment: number of rows, and hash."""

    sequence: int
    hash: str


def head(session: Session) -> Head:
    """Return the last link of the chain."""
    row = session.get_one(AuditHeadRow, HEAD_ID)
    return Head(row.sequence, row.hash)


def contains(session: Session, link: str) -> bool:
    """Say whether a hash noted earlier is (still) a link of the chain."""
    return link == GENESIS or session.scalar(select(AuditRow.sequence).where(AuditRow.hash == link)) is not None


def verify(session: Session) -> Verification:
    """Walk the whole chain and name the first row that was edited, removed, inserted or moved."""
    rows, last = 0, GENESIS
    query = select(AuditRow).order_by(AuditRow.sequence).execution_options(yield_per=1000)
    try:
        with closing(session.execute(query).scalars()) as found:
            for row in found:
                problem = _problem(row, expected=rows + 1, previous=last)
                if problem is not None:
                    return Verification(rows, last, problem)
                rows, last = row.sequence, row.hash
        noted = session.get(AuditHeadRow, HEAD_ID)
    except (DBAPIError, TypeError, ValueError) as error:
        # Someone wrote what the columns cannot hold, or took a table away.
        return Verification(rows, last, f"what follows row {rows} cannot be read ({type(error).__name__})")
    if noted is None:
        return Verification(rows, last, "the head of the chain is missing")
    if (noted.sequence, noted.hash) != (rows, last):
        return Verification(
            rows, last, f"the chain ends at row {rows}, its head says {noted.sequence}: rows were cut off"
        )
    return Verification(rows, last, None)


def _problem(row: AuditRow, *, expected: int, previous: str) -> str | None:
    """Say what is wrong with a row that should be number `expected` and follow the link `previous`."""
    if row.sequence != expected:
        return f"row {expected} is missing: the next row found is {row.sequence}"
    if row.previous_hash != previous:
        return f"row {row.sequence} does not follow row {row.sequence - 1}"
    link = _link(previous, row.sequence, row.at, row.actor, row.action, row.study_id, row.job_id, row.detail)
    return None if link == row.hash else f"row {row.sequence} was edited: its hash does not match"


def _link(previous: str, *columns: int | str | None) -> str:
    """Hash the previous link and the row's columns, in the order of the table."""
    row = json.dumps(columns, ensure_ascii=False)
    return hashlib.sha256(f"{previous}|{row}".encode()).hexdigest()
