"""What a node's parts are handed in tests: a clock that tests move, and a broker that is never there."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from node.db.engine import Database
from node.errors import BrokerUnavailable

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """Return a time after `NOW`."""
    return NOW + timedelta(seconds=seconds)


class Clock:
    """A clock that tests move."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def at(database: Database, moment: datetime) -> Database:
    """Return the same database at a moment of its own."""
    other = copy(database)
    other.clock = Clock(moment)
    return other


def steady(database: Database) -> Callable[[], float]:
    """Return a monotonic clock that goes with the clock of a database, whose time a test sets."""
    return lambda: database.clock().timestamp()


class NoBroker:
    """A sender whose broker is never there."""

    def analyse(self, job_id, *, device, priority):
        raise BrokerUnavailable("none")

    def deliver(self, job_id, destination, *, priority):
        raise BrokerUnavailable("none")


@dataclass
class Broker:
    """A broker that remembers, and can be away."""

    away: bool = False
    analyses: list[tuple[str, str, str]] = field(default_factory=list)
    deliveries: list[tuple[str, str, str]] = field(default_factory=list)

    def analyse(self, job_id, *, device, priority):
        if self.away:
            raise BrokerUnavailable("away")
        self.analyses.append((job_id, device, priority))
        return f"analysis.{device}"

    def deliver(self, job_id, destination, *, priority):
        if self.away:
            raise BrokerUnavailable("away")
        self.deliveries.append((job_id, destination, priority))
