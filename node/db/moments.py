"""Moments that rows wait for: they follow a clock that jumps, and none is believed that no setting could produce.

A row says when it is to be tried again, until when its worker holds it, and when its time is over. Each of these is a
moment of the wall clock, which may be set by hours at any time; what is past for good (when something was received,
sent, done) is left as it was noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from node.db.audit import Action
from node.db.engine import Transaction
from node.db.states import DeliveryState, JobState
from node.db.tables import CircuitRow, DeliveryRow, JobRow

SKEW_S: Final = 5.0
"""Difference of two clocks, or step of one, that is nobody's business."""

_WAITING_JOB = JobRow.state.in_((JobState.QUEUED, JobState.RUNNING))
_WAITING_DELIVERY = DeliveryRow.state.in_((DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.STORED))


@dataclass(frozen=True)
class LongestWaits:
    """The longest that each kind of moment may lie ahead by the settings, in seconds."""

    job_s: float
    delivery_s: float
    lease_s: float
    circuit_s: float
    deadline_s: float


@dataclass(frozen=True)
class _Moment:
    """A column that waits for a moment, in the rows that still do."""

    column: InstrumentedAttribute[Any]
    of: ColumnElement[bool]
    ahead_s: float


def follow(tx: Transaction, *, by_s: float, waits: LongestWaits) -> int:
    """Move what rows wait for with a clock that has jumped; return how many rows moved.

    Forward, what lies behind the clock now was ahead of it or had just come: it is late by the jump and not more. What
    a worker has written since the jump lies ahead of the new clock, and stays. Back, what lies ahead comes nearer.
    """
    by = timedelta(seconds=by_s)
    moved = 0
    for moment in _moments(waits):
        ahead = moment.column > tx.now
        moved += _move(tx, moment, ~ahead if by_s > 0 else ahead, by)
    if by_s > 0:
        written_before = DeliveryRow.retry_until <= tx.now - by + timedelta(seconds=waits.deadline_s)
        moved += _move(tx, _Moment(DeliveryRow.retry_until, _WAITING_DELIVERY, 0.0), written_before, by)
    tx.note(Action.CLOCK_JUMPED, seconds=round(by_s, 3), rows=moved)
    return moved


def implausible(tx: Transaction, waits: LongestWaits) -> bool:
    """Say whether a row waits for a moment that no setting could have produced."""
    return any(
        tx.scalar(select(1).where(moment.of, _impossible(moment, tx.now)).limit(1)) for moment in _moments(waits)
    )


def bring_back(tx: Transaction, waits: LongestWaits) -> int:
    """Let what is implausible have come now; return how many rows.

    The clock was ahead when they were written, and was set right while nobody watched it.
    """
    count = 0
    for moment in _moments(waits):
        table = moment.column.class_
        done = tx.execute(
            update(table).where(moment.of, _impossible(moment, tx.now)).values({moment.column: tx.now}),
            execution_options={"synchronize_session": False},
        )
        count += done.rowcount  # type: ignore[attr-defined]  # of every UPDATE
    if count:
        tx.note(Action.CLOCK_JUMPED, rows=count, why="moments that no setting could have produced")
    return count


def _moments(waits: LongestWaits) -> Iterator[_Moment]:
    yield _Moment(JobRow.due_at, _WAITING_JOB, waits.job_s)
    yield _Moment(JobRow.sent_at, _WAITING_JOB, 0.0)
    yield _Moment(JobRow.lease_until, _WAITING_JOB, waits.lease_s)
    yield _Moment(DeliveryRow.due_at, _WAITING_DELIVERY, waits.delivery_s)
    yield _Moment(DeliveryRow.sent_at, _WAITING_DELIVERY, 0.0)
    yield _Moment(DeliveryRow.lease_until, _WAITING_DELIVERY, waits.lease_s)
    yield _Moment(CircuitRow.open_until, CircuitRow.open_until.is_not(None), waits.circuit_s)


def _impossible(moment: _Moment, now: datetime) -> ColumnElement[bool]:
    return moment.column > now + timedelta(seconds=moment.ahead_s + SKEW_S)


def _move(tx: Transaction, moment: _Moment, which: ColumnElement[bool], by: timedelta) -> int:
    """Add to a column; in Python, as no two kinds of database add to a moment in the same words."""
    table = moment.column.class_
    (key,) = table.__mapper__.primary_key
    found = tx.execute(select(key, moment.column).where(moment.of, and_(moment.column.is_not(None), which))).all()
    if found:
        tx.execute(update(table), [{key.name: id_, moment.column.key: value + by} for id_, value in found])
    return len(found)
