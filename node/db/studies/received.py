"""What becomes of a received object beside what is held already: a repetition, a conflict, an image of a revision.

Decided from values alone; `node.db.studies` looks them up and writes down what was decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.db.states import InstanceState, StudyState
from node.reasons import Reason

REPORTED = (InstanceState.ACCEPTED, InstanceState.DECLINED, InstanceState.QUARANTINED)
"""Instances that a job speaks of: analysed, or listed with the reason why not."""

SOUND = (InstanceState.ACCEPTED, InstanceState.DECLINED)
"""Instances that could be read; the first one of a SOP Instance UID counts."""


@dataclass(frozen=True)
class ReceivedInstance:
    """One durable object and the verdict on it, ready to be recorded.

    `arrival` names the file in the spool (association and number): recording it twice has no effect.
    """

    arrival: str
    association_id: str
    received_at: datetime
    digest: str
    size_bytes: int
    state: InstanceState
    reason: Reason | None = None
    detail: str | None = None
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None
    transfer_syntax_uid: str | None = None
    opener: str | None = None
    """Calling AE Title of whoever opened the study that it belongs to; None: its own sender, or the first one."""
    repaired: bool = False
    """The copy of it that the spool held was damaged, and has been replaced."""


@dataclass(frozen=True)
class HeldInstance:
    """An object with the same SOP Instance UID that is recorded already."""

    digest: str
    state: InstanceState
    same_study: bool
    """Whether it is of the study that the received one names."""
    lost: bool = False
    """Its bytes were found damaged or gone."""


class StudyStep(StrEnum):
    """What an object does to its study."""

    NONE = "none"
    OPEN = "open"
    """It is the first one of the study."""
    EXTEND = "extend"
    """The study still collects."""
    REOPEN = "reopen"
    """The study was complete: the next revision begins."""


@dataclass(frozen=True)
class Placement:
    """How an object is to be recorded."""

    state: InstanceState
    reason: Reason | None
    detail: str | None
    step: StudyStep
    repairs: bool = False
    """The object is recorded already, and this gives it back the bytes that it had lost."""


def place(received: ReceivedInstance, held: Sequence[HeldInstance], study: StudyState | None) -> Placement | None:
    """Decide how to record an object; None: the same bytes are recorded, it is a repetition.

    With other bytes it is a conflict with the one that came first, which stays the one that is analysed. Where that one
    is of another study, this one is quarantined, so that its own study still gets an answer.

    Parameters
    ----------
    held
        What is recorded with its SOP Instance UID.
    study
        State of the study that it names; None: nothing was recorded of that study.
    """
    for other in held:
        if other.digest == received.digest:
            step = _step(received, other.state, study)
            return Placement(other.state, None, None, step, repairs=True) if other.lost else None
    # A damaged copy does not stand in the way of a sound one that is sent again.
    sound = [other for other in held if other.state in SOUND and not other.lost]
    if not sound or received.state is InstanceState.IGNORED:
        return Placement(received.state, received.reason, received.detail, _step(received, received.state, study))
    state = InstanceState.CONFLICT if any(other.same_study for other in sound) else InstanceState.QUARANTINED
    why = "another object with this SOP Instance UID is held; the first one counts"
    # A copy that is no use decides nothing, so that nobody is asked about it.
    is_no_use = received.state is InstanceState.QUARANTINED and state is InstanceState.CONFLICT
    reason = received.reason if is_no_use else Reason.UID_CONFLICT
    return Placement(state, reason, why, _step(received, state, study))


def _step(received: ReceivedInstance, state: InstanceState, study: StudyState | None) -> StudyStep:
    if state not in REPORTED or received.study_instance_uid is None:
        return StudyStep.NONE
    match study:
        case None:
            return StudyStep.OPEN
        case StudyState.OPEN:
            return StudyStep.EXTEND
        case StudyState.COMPLETE:
            return StudyStep.REOPEN
