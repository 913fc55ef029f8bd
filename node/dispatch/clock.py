"""The wall clock against the one that only goes on: who sets the clock must not stop what waits, nor end its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from node.db import moments
from node.db.engine import Database
from node.db.jobs import LONGEST_PAUSE_S
from node.db.moments import SKEW_S, LongestWaits
from node.delivery.destinations import Destination
from node.settings import Settings

log = structlog.get_logger()


@dataclass
class ClockWatch:
    """Compares both clocks from one check to the next."""

    settings: Settings
    database: Database
    monotonic: Callable[[], float]
    _last: tuple[datetime, float] | None = None

    def check(self) -> None:
        """Move the rows where the clock has jumped since the last check, and bring back what no setting produced.

        A machine that slept looks the same as a clock that was set: what waited meanwhile gets its time.
        """
        waits = longest_waits(self.settings)
        now, monotonic = self.database.clock(), self.monotonic()
        if self._last is not None:
            by_s = (now - self._last[0]).total_seconds() - (monotonic - self._last[1])
            if abs(by_s) > SKEW_S:
                with self.database.write() as tx:
                    moved = moments.follow(tx, by_s=by_s, waits=waits)
                log.warning("clock.jumped", seconds=round(by_s, 3), rows=moved)
        self._last = now, monotonic
        with self.database.read() as tx:
            found = moments.implausible(tx, waits)
        if found:
            with self.database.write() as tx:
                count = moments.bring_back(tx, waits)
            log.warning("clock.rows_brought_back", rows=count, why="they waited for moments that cannot be")


def longest_waits(settings: Settings) -> LongestWaits:
    """Return how far ahead a moment can lie by the settings."""
    delivery = settings.delivery
    pauses = [delivery.maximum_delay_s * (1 + delivery.jitter)]
    for destination in settings.destinations.values():
        if isinstance(destination, Destination):
            commitment = destination.commitment
            request_s = delivery.connect_timeout_s + 3 * delivery.response_timeout_s + commitment.wait_s
            pauses += [commitment.report_within_s, request_s]
    return LongestWaits(
        job_s=LONGEST_PAUSE_S,
        delivery_s=max(pauses),
        lease_s=settings.analysis.lease_s,
        circuit_s=delivery.breaker_open_s,
        deadline_s=delivery.retry_for_s,
    )
