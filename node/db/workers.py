"""Analysis workers that have been seen, so that jobs go to a device that is there."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from node.db.engine import Transaction
from node.db.moments import SKEW_S
from node.db.tables import WorkerRow


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
