"""`hilum status`: what waits, for how long, and what an operator should look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.db.report import NodeStatus, ProcessLine
from node.health.facts import Facts
from node.health.troubles import SILENT_S, Level, Trouble, age_s, for_humans, silent_s
from node.settings import Settings

_COLOURS: Final = {Level.NOT_WORKING: "red", Level.LATE: "yellow", Level.NOTICE: "cyan"}


def print_tables(
    facts: Facts, rows: NodeStatus, troubles: Sequence[Trouble], settings: Settings, console: Console
) -> None:
    """Print what the rows say, what was found on the machine, and every trouble."""
    now = facts.now
    table = Table(title=f"{settings.receiver.ae_title} on {settings.receiver.host}:{settings.receiver.port}")
    table.add_column("")
    table.add_column("counts")
    table.add_column("oldest waiting")
    incoming = age_s(facts.oldest_incoming_at, now)
    table.add_row("incoming", f"{facts.incoming} file(s)", _waits(incoming))
    table.add_row("instances", _listed(rows.instances))
    table.add_row("studies", _listed(rows.studies))
    waiting = ", ".join(f"{p} {for_humans(age_s(at, now) or 0)}" for p, at in rows.oldest_queued_at.items())
    table.add_row("jobs", _listed(rows.jobs), waiting or "nothing waits")
    table.add_row("deliveries", _listed(rows.deliveries), _waits(age_s(rows.oldest_pending_delivery_at, now)))
    console.print(table)
    console.print(
        f"broker: {'answers' if facts.broker else '[red]does not answer[/] (receiving goes on; messages wait)'}"
    )
    space = "unknown (no spool yet)" if facts.free_bytes is None else f"{facts.free_bytes / 1e9:.1f} GB free"
    inodes = "" if facts.free_inodes is None else f", {facts.free_inodes} inodes"
    console.print(f"disk: {space}{inodes}, watermark {settings.spool.minimum_free_bytes / 1e9:.1f} GB")
    console.print(f"processes: {_processes(rows.processes, now)}", soft_wrap=True)
    print_troubles(troubles, console)


def print_troubles(troubles: Sequence[Trouble], console: Console) -> None:
    """Print one line for each trouble, the worst first."""
    for one in troubles:
        way_out = f" ({escape(one.way_out)})" if one.way_out else ""
        colour = _COLOURS[one.level]
        console.print(f"[{colour}]{escape(one.what)}[/]{way_out}", soft_wrap=True, highlight=False)


def values(facts: Facts, rows: NodeStatus, troubles: Sequence[Trouble]) -> dict[str, Any]:
    """Return everything as plain values, ages in seconds."""
    now = facts.now
    return {
        "incoming": {"files": facts.incoming, "oldest_s": age_s(facts.oldest_incoming_at, now)},
        "instances": rows.instances,
        "studies": rows.studies,
        "jobs": rows.jobs,
        "deliveries": rows.deliveries,
        "oldest_queued_s": {p: age_s(at, now) for p, at in rows.oldest_queued_at.items()},
        "oldest_pending_delivery_s": age_s(rows.oldest_pending_delivery_at, now),
        "waiting_for_commitment": {
            c.destination: {"results": c.deliveries, "oldest_s": age_s(c.oldest_at, now)} for c in rows.commitments
        },
        "conflicts": rows.conflicts,
        "different_patients": rows.different_patients,
        "withheld": rows.withheld,
        "answered_as_failed": rows.answered_as_failed,
        "lost_images": rows.lost_images,
        "deferred": rows.deferred,
        "deferred_why": rows.deferred_why,
        "without_rule": dict(rows.without_rule),
        "set_aside": [{"name": s.name, "why": s.why, "since_s": age_s(s.since, now)} for s in facts.set_aside],
        "circuits_open": [name for name, _, until in rows.circuits_open if until > now],
        "processes": [_process(one, now) for one in rows.processes],
        "refused": [
            {
                "peer_address": r.peer_address,
                "calling_ae_title": r.calling_ae_title,
                "why": r.why,
                "times": r.times,
                "last_s": age_s(r.last_at, now),
            }
            for r in facts.refused
        ],
        "broker": facts.broker,
        "free_bytes": facts.free_bytes,
        "free_inodes": facts.free_inodes,
        "troubles": [
            {"level": t.level.name.lower(), "part": t.part, "what": t.what, "way_out": t.way_out} for t in troubles
        ],
    }


def _process(one: ProcessLine, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id,
        "component": one.component,
        "device": one.device,
        "seen_s": age_s(one.seen_at, now),
        "doing": one.doing,
        "doing_s": age_s(one.doing_since, now),
        "steps": dict(one.steps),
    }


def _processes(found: Sequence[ProcessLine], now: datetime) -> str:
    alive = [one for one in found if silent_s(one, now) <= SILENT_S]
    return ", ".join(f"{one.id} ({one.device or one.component})" for one in alive) or "[red]none seen[/]"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"


def _waits(seconds: float | None) -> str:
    return "nothing waits" if seconds is None else for_humans(seconds)
