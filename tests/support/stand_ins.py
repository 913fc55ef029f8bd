"""What a node's parts are handed in tests: a clock that tests move, and a broker that is never there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from node.errors import BrokerUnavailable

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """Return a time after `NOW`."""
    return NOW + timedelta(seconds=seconds)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class NoBroker:
    """A sender whose broker is never there."""

    def analyse(self, job_id, *, device, priority):
        raise BrokerUnavailable("none")

    def deliver(self, job_id, *, priority):
        raise BrokerUnavailable("none")
