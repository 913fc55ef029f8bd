"""Every state and every transition, in one table. What is not listed here cannot be written.

A *study* collects images until it is complete; each completion is a revision and creates one *job*. The job row is also
the outbox: a job that is `QUEUED` is due to be sent to the broker. A *delivery* is one result to one destination.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from node.errors import ImpossibleTransition


class InstanceState(StrEnum):
    """What became of one received SOP Instance."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"
    CONFLICT = "conflict"


class StudyState(StrEnum):
    """Whether the study still collects images."""

    OPEN = "open"
    COMPLETE = "complete"


class JobState(StrEnum):
    """One analysis of one study revision."""

    QUEUED = "queued"
    RUNNING = "running"
    DELIVERING = "delivering"
    DONE = "done"
    UNDELIVERED = "undelivered"
    FAILED = "failed"


class DeliveryState(StrEnum):
    """One result on its way to one destination."""

    PENDING = "pending"
    SENDING = "sending"
    STORED = "stored"
    """The destination has taken it, and is to commit itself to keeping it (storage commitment)."""
    ACCEPTED = "accepted"
    DEAD = "dead"


State = TypeVar("State", InstanceState, StudyState, JobState, DeliveryState)

# By kind first: members of two StrEnums with the same text are the same key of a dict.
TRANSITIONS: dict[type[StrEnum], dict[StrEnum, frozenset[StrEnum]]] = {
    InstanceState: {
        # An accepted image whose pixels turn out to be undecodable goes to quarantine.
        # To and from CONFLICT: a newer copy takes the place of the one that came first (`rerun --latest`).
        InstanceState.ACCEPTED: frozenset({InstanceState.QUARANTINED, InstanceState.CONFLICT}),
        InstanceState.DECLINED: frozenset({InstanceState.CONFLICT}),
        InstanceState.IGNORED: frozenset(),
        InstanceState.QUARANTINED: frozenset({InstanceState.CONFLICT}),
        InstanceState.CONFLICT: frozenset({InstanceState.ACCEPTED}),
    },
    StudyState: {
        StudyState.OPEN: frozenset({StudyState.COMPLETE}),
        # A late image, or `rerun`, opens the next revision.
        StudyState.COMPLETE: frozenset({StudyState.OPEN}),
    },
    JobState: {
        JobState.QUEUED: frozenset({JobState.RUNNING}),
        # To QUEUED: the lease ran out or the attempt failed. To FAILED: not even an answer could be made.
        JobState.RUNNING: frozenset({JobState.QUEUED, JobState.DELIVERING, JobState.DONE, JobState.FAILED}),
        JobState.DELIVERING: frozenset({JobState.DONE, JobState.UNDELIVERED}),
        JobState.UNDELIVERED: frozenset({JobState.DELIVERING}),
        JobState.FAILED: frozenset({JobState.QUEUED}),
        JobState.DONE: frozenset(),
    },
    DeliveryState: {
        # To DEAD: its time ran out while it waited.
        DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.DEAD}),
        DeliveryState.SENDING: frozenset(
            {DeliveryState.PENDING, DeliveryState.STORED, DeliveryState.ACCEPTED, DeliveryState.DEAD}
        ),
        # To PENDING: not committed, or nothing was reported; it is sent again.
        DeliveryState.STORED: frozenset({DeliveryState.PENDING, DeliveryState.ACCEPTED, DeliveryState.DEAD}),
        DeliveryState.ACCEPTED: frozenset(),
        # Brought back by `rerun`.
        DeliveryState.DEAD: frozenset({DeliveryState.PENDING}),
    },
}


def check(old: State, new: State) -> State:
    """Return `new` when the table allows `old` to become `new`.

    Raises
    ------
    ImpossibleTransition
        The table does not list it.
    """
    listed = TRANSITIONS[type(old)][old]
    if new not in listed:
        allowed = ", ".join(sorted(listed)) or "nothing"
        raise ImpossibleTransition(f"{type(old).__name__}: {old} cannot become {new}; allowed: {allowed}")
    return new
