"""Processes that give signs of life, the devices that are there for jobs, and the jobs of workers that fell silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select

from node.db import jobs
from node.db.engine import Transaction
from node.db.moments import SKEW_S
from node.db.states import JobState
from node.db.tables import JobRow, ProcessRow

MAXIMUM_STOPS: Final = 12
"""So often in a row may all workers stop while they do one job without its being charged for it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a process is at.

    Attributes
    ----------
    doing
        The step, and since when.
    steps
        When each step was completed last.
    """

    doing: str | None = None
    doing_since: datetime | None = None
    steps: Mapping[str, datetime] = field(default_factory=dict)


def beat(tx: Transaction, component: str, *, device: str | None = None, progress: Progress | None = None) -> None:
    """Note that the process that writes is alive."""
    row = tx.get(ProcessRow, tx.actor)
    if row is None:
        row = ProcessRow(id=tx.actor, component=component, started_at=tx.now)
        tx.add(row)
    progress = progress or Progress()
    row.component = component
    row.device, row.seen_at, row.doing, row.doing_since = device, tx.now, progress.doing, progress.doing_since
    row.steps = {name: at.isoformat() for name, at in progress.steps.items()}


def end(tx: Transaction) -> None:
    """Forget the process that writes: it ends in order."""
    tx.execute(delete(ProcessRow).where(ProcessRow.id == tx.actor))


def forget(tx: Transaction, *, silent_s: float) -> None:
    """Forget processes that have been silent for so long: they were killed, and others do their work."""
    tx.execute(delete(ProcessRow).where(ProcessRow.seen_at < tx.now - timedelta(seconds=silent_s)))


def devices(tx: Transaction, *, alive_s: float) -> set[str]:
    """Return the devices that have a worker seen in the last `alive_s` seconds, and not after now."""
    query = select(ProcessRow.device).where(
        ProcessRow.device.is_not(None),
        ProcessRow.seen_at >= tx.now - timedelta(seconds=alive_s),
        ProcessRow.seen_at <= tx.now + timedelta(seconds=SKEW_S),
    )
    return {device for device in tx.scalars(query) if device is not None}


def silent(tx: Transaction) -> list[str]:
    """Return the jobs whose lease ran out, because their worker fell silent."""
    query = select(JobRow.id).where(JobRow.state == JobState.RUNNING, JobRow.lease_until < tx.now)
    return list(tx.scalars(query.order_by(jobs.URGENT_FIRST, JobRow.created_at)))


def reclaim(tx: Transaction, job_id: str, *, maximum_attempts: int, lease_s: float) -> bool:
    """Return a job whose worker fell silent to the queue; False where it no longer has to be.

    A job that kills its worker is charged with an attempt, so that it ends. Where the whole machine stopped, or all
    workers of it, no job has killed them all: then no other worker was seen between the last sign of the silent one and
    the end of its lease, and the attempt does not count. `MAXIMUM_STOPS` bounds that, for the job that takes everything
    down with it each time.
    """
    job = tx.scalar(select(JobRow).where(JobRow.id == job_id).with_for_update())
    if job is None or job.state is not JobState.RUNNING or job.lease_until is None or job.lease_until >= tx.now:
        return False
    error = f"worker {job.lease_owner} fell silent"
    if job.faults < MAXIMUM_STOPS and not _others_went_on(tx, job, job.lease_until, lease_s):
        jobs.put_off(tx, job, error=f"{error}, and no other was there", delay_s=0.0)
    else:
        jobs.give_back(tx, job, error=error, maximum_attempts=maximum_attempts, delay_s=0.0)
    return True


def _others_went_on(tx: Transaction, job: JobRow, lease_until: datetime, lease_s: float) -> bool:
    """Tell whether another worker was seen after the silent one was gone, and was there before its lease ended.

    Leases are extended three times, and workers seen more often, within each `lease_s`.
    """
    seen_since = ProcessRow.seen_at > lease_until - timedelta(seconds=lease_s * 2 / 3)
    there = ProcessRow.started_at <= lease_until
    other = (ProcessRow.device.is_not(None), ProcessRow.id != job.lease_owner)
    return tx.scalar(select(ProcessRow.id).where(*other, seen_since, there).limit(1)) is not None
