"""`hilum status`: what waits, for how long, and what an operator should look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.db import report
from node.setbacks import Setback
from node.settings import Settings


def print_tables(
    found: report.NodeStatus,
    settings: Settings,
    now: datetime,
    console: Console,
    *,
    broker: bool,
    free_bytes: int | None,
    aside: Sequence[Setback] = (),
) -> None:
    """Print what the rows say, whether the broker answers, and how much of the disk is free.

    Parameters
    ----------
    free_bytes
        None: there is no spool yet.
    aside
        What the dispatcher has set aside.
    """
    table = Table(title=f"{settings.receiver.ae_title} on {settings.receiver.host}:{settings.receiver.port}")
    table.add_column("")
    table.add_column("counts")
    table.add_column("oldest waiting")
    table.add_row("instances", _listed(found.instances))
    table.add_row("studies", _listed(found.studies))
    waiting = ", ".join(f"{p} {_duration(_age_s(at, now))}" for p, at in found.oldest_queued_at.items())
    table.add_row("jobs", _listed(found.jobs), waiting or "nothing waits")
    oldest = _age_s(found.oldest_pending_delivery_at, now)
    table.add_row("deliveries", _listed(found.deliveries), _duration(oldest) if oldest is not None else "nothing waits")
    console.print(table)
    console.print(f"broker: {'answers' if broker else '[red]does not answer[/] (receiving goes on; messages wait)'}")
    space = "unknown (no spool yet)" if free_bytes is None else f"{free_bytes / 1e9:.1f} GB free"
    console.print(f"disk: {space}, watermark {settings.spool.minimum_free_bytes / 1e9:.1f} GB")
    alive = [w for w in found.workers if (_age_s(w[2], now) or 0) < 3 * settings.analysis.lease_s]
    console.print("workers: " + (", ".join(f"{w} ({d})" for w, d, _ in alive) or "[red]none seen[/] (`hilum work`)"))
    for line in (*_alerts(found, now), *_set_aside(aside)):
        console.print(line, soft_wrap=True)


def values(found: report.NodeStatus, now: datetime, aside: Sequence[Setback] = ()) -> dict[str, Any]:
    """Return what the rows say as plain values, ages in seconds."""
    return {
        "instances": found.instances,
        "studies": found.studies,
        "jobs": found.jobs,
        "deliveries": found.deliveries,
        "oldest_queued_s": {p: _age_s(at, now) for p, at in found.oldest_queued_at.items()},
        "oldest_pending_delivery_s": _age_s(found.oldest_pending_delivery_at, now),
        "waiting_for_commitment": {
            c.destination: {"results": c.deliveries, "oldest_s": _age_s(c.oldest_at, now)} for c in found.commitments
        },
        "withheld": found.withheld,
        "answered_as_failed": found.answered_as_failed,
        "lost_images": found.lost_images,
        "deferred": found.deferred,
        "deferred_why": found.deferred_why,
        "without_rule": dict(found.without_rule),
        "set_aside": [{"name": one.name, "why": one.why, "since_s": _age_s(one.since, now)} for one in aside],
        "circuits_open": [name for name, _, until in found.circuits_open if until > now],
        "workers": [{"id": w, "device": d, "seen_s": _age_s(at, now)} for w, d, at in found.workers],
    }


def _alerts(found: report.NodeStatus, now: datetime) -> Iterator[str]:
    """Yield what an operator should look at, and what to do about it."""
    for waits in found.commitments:
        yield (
            f"waits for storage commitment: {waits.deliveries} result(s) at {waits.destination}, the oldest for "
            f"{_duration(_age_s(waits.oldest_at, now))}"
        )
    for name, failures, until in found.circuits_open:
        if until > now:
            yield f"[yellow]circuit open[/]: {name} after {failures} failures, tried again at {until:%H:%M:%S}Z"
    if found.jobs.get("failed"):
        yield (
            f"[red]studies without an answer: {found.jobs['failed']}[/] (`hilum studies UID` says why, "
            "`hilum rerun --dead` tries again)"
        )
    if found.answered_as_failed:
        yield (
            f"[red]studies answered that the node failed: {found.answered_as_failed}[/] (`hilum studies --failed`, "
            "`hilum rerun --failed` analyses them all again)"
        )
    if found.lost_images:
        yield (
            f"[red]images damaged or missing in the spool: {found.lost_images}[/] (have them sent again, or put them "
            "back and `hilum rerun --failed`)"
        )
    if found.deferred:
        yield (
            f"[red]jobs that wait for the machine: {found.deferred}[/], the last because: "
            f"{escape(found.deferred_why or 'unknown')}"
        )
    for title, count in found.without_rule:
        yield (
            f"[yellow]studies of {escape(title)} that no routing rule matched: {count}[/] (not answered; see `rules`, "
            "then `hilum rerun UID`)"
        )
    if found.withheld:
        yield (
            f"[red]results withheld: {found.withheld}[/] (they failed the node's own checks; `hilum studies UID` says "
            "why, the objects are in quarantine)"
        )
    if found.deliveries.get("dead"):
        yield f"[red]dead letters: {found.deliveries['dead']}[/] (`hilum studies --failed`, `hilum rerun --dead`)"


def _set_aside(aside: Sequence[Setback]) -> Iterator[str]:
    """Yield what fails again and again, and is tried now and then."""
    for one in aside:
        often = f"failed {one.failures} times since {one.since:%Y-%m-%d %H:%M:%S}Z"
        yield f"[red]set aside[/]: {escape(one.name)}, {often}: {escape(one.why)}"


def _age_s(at: datetime | None, now: datetime) -> float | None:
    """Return the age in seconds; none where the clock was set back since."""
    return None if at is None else max(0.0, round((now - at).total_seconds(), 3))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
