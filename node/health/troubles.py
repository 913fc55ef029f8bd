"""What an operator should know of the node, one sentence for each thing, with the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from node.db.report import NodeStatus, ProcessLine
from node.health.facts import Certificate, Facts
from node.settings import Settings

SILENT_S: Final = 60.0
"""Several pulses (`node.pulse.INTERVAL_S`) without one, and a process counts as silent."""
STEP_LATE_S: Final = 60.0
STEP_HUNG_S: Final = 300.0
INCOMING_LATE_S: Final = 60.0
LATE_S: Final = {"STAT": 300.0, "routine": 1800.0}
"""Waiting times of jobs that are late, by priority."""
DELIVERY_LATE_S: Final = 1800.0
MINIMUM_INODES: Final = 1000
EXPIRES_SOON: Final = timedelta(days=30)


class Level(IntEnum):
    """How bad it is; also the exit code of `hilum status --check`."""

    NOTICE = 0
    """Worth knowing."""
    LATE = 1
    """Something waits too long, or waits for the operator."""
    NOT_WORKING = 2
    """Something that has to work now does not."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing.

    Attributes
    ----------
    part
        What it concerns: `database`, `broker`, `spool`, `receiver`, `tls`, `studies`, or a component of `node.pulse`.
    what
        The sentence, without the way out; no attribute of a patient.
    way_out
        What to do about it.
    """

    level: Level
    part: str
    what: str
    way_out: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.way_out})" if self.way_out else self.what


def judge(facts: Facts, settings: Settings) -> list[Trouble]:
    """Return the troubles, the worst first."""
    found = list(_of_the_machine(facts, settings))
    if facts.rows is None:
        found.append(Trouble(Level.NOT_WORKING, "database", facts.database_error))
    else:
        for look in (_processes, _waiting, _rows):
            found += look(facts.rows, facts.now, settings)
    return sorted(found, key=lambda trouble: -trouble.level)


def of_component(facts: Facts, component: str, *, host: str) -> list[Trouble]:
    """Return the troubles of one component on one host, for a probe of its container: it, and the database."""
    if facts.rows is None:
        return [Trouble(Level.NOT_WORKING, "database", facts.database_error)]
    wanted = ("dispatch", "standby") if component == "dispatch" else (component,)
    here = [one for one in facts.rows.processes if one.component in wanted and f"@{host}:" in one.id]
    if not any(silent_s(one, facts.now) <= SILENT_S for one in here):
        return [Trouble(Level.NOT_WORKING, component, f"no process of {component} on {host} gives a sign of life")]
    return []


def of_certificates(certificates: Iterable[Certificate], now: datetime) -> Iterator[Trouble]:
    """Yield which of this node's own certificates have ended, end soon, or cannot be read."""
    for one in certificates:
        way_out = f"renew {one.path} and restart"
        if one.ends_at is None:
            yield Trouble(Level.NOT_WORKING, "tls", f"the certificate of {one.purpose} cannot be read", str(one.path))
        elif one.ends_at <= now:
            said = f"the certificate of {one.purpose} expired on {one.ends_at:%Y-%m-%d}"
            yield Trouble(Level.NOT_WORKING, "tls", said, way_out)
        elif one.ends_at - now < EXPIRES_SOON:
            said = f"the certificate of {one.purpose} expires on {one.ends_at:%Y-%m-%d}"
            yield Trouble(Level.LATE, "tls", said, way_out)


def worst(troubles: Iterable[Trouble]) -> Level:
    """Return the worst level; NOTICE where there is nothing."""
    return max((trouble.level for trouble in troubles), default=Level.NOTICE)


def for_humans(seconds: float) -> str:
    """Say a duration."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def age_s(at: datetime | None, now: datetime) -> float | None:
    """Return the age in seconds; none where the clock was set back since."""
    return None if at is None else max(0.0, round((now - at).total_seconds(), 3))


def _of_the_machine(facts: Facts, settings: Settings) -> Iterator[Trouble]:
    if not facts.broker:
        yield Trouble(
            Level.NOT_WORKING, "broker", "the broker does not answer", "receiving goes on, messages wait: see its log"
        )
    watermark = settings.spool.minimum_free_bytes
    if facts.free_bytes is None:
        yield Trouble(
            Level.NOT_WORKING, "spool", "there is no spool", f"is {settings.home} mounted, and was the node started?"
        )
    elif facts.free_bytes < watermark:
        yield Trouble(
            Level.NOT_WORKING,
            "spool",
            f"the receivers refuse studies: {facts.free_bytes / 1e9:.1f} GB free, under {watermark / 1e9:.1f} GB",
            "free the disk, senders try again",
        )
    if facts.free_inodes is not None and facts.free_inodes < MINIMUM_INODES:
        yield Trouble(
            Level.NOT_WORKING, "spool", f"the spool's file system has {facts.free_inodes} inodes left", "free some"
        )
    waits_s = age_s(facts.oldest_incoming_at, facts.now)
    if waits_s is not None and waits_s > INCOMING_LATE_S:
        yield Trouble(
            Level.LATE,
            "dispatch",
            f"{facts.incoming} received file(s) are not taken in, the oldest for {for_humans(waits_s)}",
            "is the dispatcher running? its log says what fails",
        )
    for one in facts.set_aside:
        yield Trouble(
            Level.LATE,
            "dispatch",
            f"set aside: {one.name}, failed {one.failures} times since {one.since:%Y-%m-%d %H:%M:%S}Z: {one.why}",
        )
    for refused in facts.refused:
        title = refused.calling_ae_title or "unread"
        yield Trouble(
            Level.NOTICE,
            "receiver",
            f"refused {refused.times} time(s), last {for_humans(age_s(refused.last_at, facts.now) or 0)} ago: "
            f"{title} from {refused.peer_address}: {refused.why}",
        )
    yield from of_certificates(facts.certificates, facts.now)


@dataclass(frozen=True)
class _Expected:
    """A component that there has to be."""

    component: str
    title: str
    command: str
    waiting: Callable[[NodeStatus], int]
    """How much it has to do: without it, that stands still."""


COMPONENTS: Final = ("dispatch", "analysis", "delivery")
_EXPECTED: Final = (
    _Expected("dispatch", "dispatcher", "hilum dispatch", lambda rows: 1),
    _Expected(
        "analysis",
        "analysis worker",
        "hilum work",
        lambda rows: rows.jobs.get("queued", 0) + rows.jobs.get("running", 0),
    ),
    _Expected(
        "delivery",
        "delivery worker",
        "hilum work --delivery",
        lambda rows: rows.deliveries.get("pending", 0) + rows.deliveries.get("sending", 0),
    ),
)


def _processes(rows: NodeStatus, now: datetime, settings: Settings) -> Iterator[Trouble]:
    for expected in _EXPECTED:
        there = [one for one in rows.processes if one.component == expected.component]
        silent = [one for one in there if silent_s(one, now) > SILENT_S]
        if len(silent) == len(there) and (expected.component != "delivery" or settings.destinations):
            last = min((silent_s(one, now) for one in there), default=None)
            seen = "none is running" if last is None else f"the last sign of life is {for_humans(last)} old"
            level = Level.NOT_WORKING if expected.waiting(rows) else Level.LATE
            way_out = f"start `{expected.command}`, or see its log"
            yield Trouble(level, expected.component, f"no {expected.title} works: {seen}", way_out)
        else:
            for one in silent:
                said = f"{one.id} gives no sign of life for {for_humans(silent_s(one, now))}"
                yield Trouble(Level.LATE, expected.component, said, "others work; see its log, or start it again")
        for one in there:
            at_it_s = age_s(one.doing_since, now) or 0.0
            if one not in silent and at_it_s > STEP_LATE_S:
                level = Level.NOT_WORKING if at_it_s > STEP_HUNG_S else Level.LATE
                said = f"the {expected.title} has been at the step `{one.doing}` for {for_humans(at_it_s)}"
                yield Trouble(level, expected.component, said, "it may wait for a lock or for the disk: see its log")


def silent_s(process: ProcessLine, now: datetime) -> float:
    """Return since when a process gives no sign of life; one of the future was given before a clock was set."""
    return abs((now - process.seen_at).total_seconds())


def _waiting(rows: NodeStatus, now: datetime, _settings: Settings) -> Iterator[Trouble]:
    for priority, at in rows.oldest_queued_at.items():
        waits_s = age_s(at, now) or 0.0
        if waits_s > LATE_S.get(priority, DELIVERY_LATE_S):
            said = f"the oldest {priority} study waits for its analysis for {for_humans(waits_s)}"
            yield Trouble(Level.LATE, "analysis", said, "are there enough workers? `hilum studies` lists what waits")
    waits_s = age_s(rows.oldest_pending_delivery_at, now) or 0.0
    if waits_s > DELIVERY_LATE_S:
        said = f"the oldest result waits for its delivery for {for_humans(waits_s)}"
        yield Trouble(Level.LATE, "delivery", said, "`hilum echo` asks destinations, `hilum retry` tries one at once")
    for waits in rows.commitments:
        yield Trouble(
            Level.NOTICE,
            "delivery",
            f"waits for storage commitment: {waits.deliveries} result(s) at {waits.destination}, the oldest for "
            f"{for_humans(age_s(waits.oldest_at, now) or 0)}",
        )
    for name, failures, until in rows.circuits_open:
        if until > now:
            said = f"circuit open: {name} after {failures} failures, tried again at {until:%H:%M:%S}Z"
            yield Trouble(Level.LATE, "delivery", said, f"`hilum echo {name}` says what it answers")


def _rows(rows: NodeStatus, _now: datetime, _settings: Settings) -> Iterator[Trouble]:
    """Yield what waits for the operator."""
    counted = (
        (
            rows.jobs.get("failed", 0),
            "studies without an answer",
            "`hilum studies UID` says why, `hilum rerun --dead` tries again",
        ),
        (
            rows.answered_as_failed,
            "studies answered that the node failed",
            "`hilum studies --failed`, `hilum rerun --failed` analyses them all again",
        ),
        (
            rows.lost_images,
            "images damaged or missing in the spool",
            "have them sent again, or put them back and `hilum rerun --failed`",
        ),
        (
            rows.conflicts,
            "studies of which images came again with other bytes, as after a merge of patients",
            "the first copies count; `hilum rerun UID --latest` takes the newest, `hilum rerun UID` keeps the first; "
            "`hilum studies --failed` lists them",
        ),
        (
            rows.different_patients,
            "studies whose images name different patients",
            "nothing of them is analysed, and no result was replaced; `hilum studies --failed` lists them",
        ),
        (
            rows.withheld,
            "results withheld",
            "they failed the node's own checks; `hilum studies UID` says why, the objects are in quarantine",
        ),
        (rows.deliveries.get("dead", 0), "dead letters", "`hilum studies --failed`, `hilum rerun --dead`"),
    )
    for count, what, way_out in counted:
        if count:
            yield Trouble(Level.LATE, "studies", f"{what}: {count}", way_out)
    if rows.deferred:
        why = rows.deferred_why or "unknown"
        yield Trouble(
            Level.LATE, "analysis", f"jobs that wait for the machine: {rows.deferred}, the last because: {why}"
        )
    for title, count in rows.without_rule:
        yield Trouble(
            Level.NOTICE,
            "studies",
            f"studies of {title} that no routing rule matched: {count}",
            "not answered; see `rules`, then `hilum rerun UID`",
        )
