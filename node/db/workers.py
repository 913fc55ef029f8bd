"""Analysis workers that have been seen, so that jobs go to a device that is there, and those that fell silent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select

from node.db import jobs
from node.db.engine import Transaction
from node.db.moments import SKEW_S
from node.db.states import JobState
from node.db.tables import JobRow, WorkerRow

MAXIMUM_STOPS: Final = 12
"""So often in a row may all workers stop while they do one job without its being charged for it."""


def seen(tx: Transaction, device: str) -> None:
    """Note that the worker that writes is alive."""
    row = tx.get(WorkerRow, tx.actor)
    if row is None:
        tx.add(WorkerRow(id=tx.actor, device=device, started_at=tx.now, seen_at=tx.now))
    else:
        row.device, row.seen_at = device, tx.now


def devices(tx: Transaction, *, alive_s: float) -> set[str]:
    """Return the devices that have a worker seen in the last `alive_s` seconds, and not after now."""
    query = select(WorkerRow.device).where(
        WorkerRow.seen_at >= tx.now - timedelta(seconds=alive_s),
        WorkerRow.seen_at <= tx.now + timedelta(seconds=SKEW_S),
    )
    return set(tx.scalars(query))


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

    Leases are extended three times, and workers seen twice, within each `lease_s`.
    """
    seen_since = WorkerRow.seen_at > lease_until - timedelta(seconds=lease_s * 2 / 3)
    there = WorkerRow.started_at <= lease_until
    return (
        tx.scalar(select(WorkerRow.id).where(WorkerRow.id != job.lease_owner, seen_since, there).limit(1)) is not None
    )
