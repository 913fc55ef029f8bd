"""The circuit breaker of a destination, as workers see it."""

from __future__ import annotations

from node.db import deliveries
from workers.jobs.runtime import Runtime


def note(runtime: Runtime, destination: str, *, reached: bool) -> bool:
    """Count an attempt to reach a destination; return whether its circuit is open now."""
    settings = runtime.settings.delivery
    with runtime.database.write() as tx:
        if reached:
            deliveries.note_success(tx, destination)
            return False
        return deliveries.note_failure(
            tx,
            destination,
            threshold=settings.breaker_failures,
            open_s=settings.breaker_open_s,
        )
