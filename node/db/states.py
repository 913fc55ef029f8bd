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
    ACCEPTED = "accepted"
    DEAD = "dead"


State = TypeVar("State", InstanceState, StudyState, JobState, DeliveryState)

TRANSITIONS: dict[StrEnum, frozenset[StrEnum]] = {
    # An accepted image whose pixels turn out to be undecodable goes to quarantine.
    InstanceState.ACCEPTED: frozenset({InstanceState.QUARANTINED}),
    InstanceState.DECLINED: frozenset(),
    InstanceState.IGNORED: frozenset(),
    InstanceState.QUARANTINED: frozenset(),
    InstanceState.CONFLICT: frozenset(),
    # A late image, or `rerun`, opens the next revision.
    StudyState.OPEN: frozenset({StudyState.COMPLETE}),
    StudyState.COMPLETE: frozenset({StudyState.OPEN}),
    # RUNNING -> QUEUED: the lease ran out or the attempt failed. FAILED: not even an answer could be made.
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED}),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.DELIVERING, JobState.DONE, JobState.FAILED}),
    JobState.DELIVERING: frozenset({JobState.DONE, JobState.UNDELIVERED}),
    JobState.UNDELIVERED: frozenset({JobState.DELIVERING}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.DONE: frozenset(),
    # SENDING -> PENDING: to be tried again. DEAD -> PENDING: brought back by `rerun`.
    DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.DEAD}),
    DeliveryState.SENDING: frozenset({DeliveryState.PENDING, DeliveryState.ACCEPTED, DeliveryState.DEAD}),
    DeliveryState.ACCEPTED: frozenset(),
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING}),
}


def check(old: State, new: State) -> State:
    """Return `new` when the table allows `old` to become `new`.

    Raises
    ------
    ImpossibleTransition
        The table does not list it.
    """
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(sorted(TRANSITIONS[old])) or "nothing"
        raise ImpossibleTransition(f"{type(old).__name__}: {old} cannot become {new}; allowed: {allowed}")
    return new
