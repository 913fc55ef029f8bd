"""Analysis workers that have been seen, so that jobs go to a device that is there."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select

from node.db.engine import Transaction
from node.db.tables import WorkerRow


def seen(tx: Transaction, worker_id: str, *, device: str, now: datetime) -> None:
    """Note that a worker is alive."""
    row = tx.get(WorkerRow, worker_id)
    if row is None:
        tx.add(WorkerRow(id=worker_id, device=device, started_at=now, seen_at=now))
    else:
        row.device, row.seen_at = device, now


def gone(tx: Transaction, worker_id: str) -> None:
    """Forget a worker that ended in order."""
    tx.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


def devices(tx: Transaction, *, now: datetime, alive_s: float) -> set[str]:
    """Return the devices that have a worker seen in the last `alive_s` seconds."""
    query = select(WorkerRow.device).where(WorkerRow.seen_at >= now - timedelta(seconds=alive_s))
    return set(tx.scalars(query))
