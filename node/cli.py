"""The commands of the always-on edge: receive, dispatch, look, bring back. They import no model code."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
import typer
from rich.console import Console
from rich.table import Table

from node import log as logging
from node import settings as configuration
from node.clock import utc_now
from node.db import audit, deliveries, jobs, report, studies
from node.db.engine import Database, Transaction
from node.db.states import DeliveryState, JobState
from node.delivery.destinations import AnyDestination, Destination, WebDestination
from node.dispatch import anchors
from node.errors import HilumError, Misconfigured
from node.settings import Settings
from node.spool.store import Spool

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
console = Console()
log = structlog.get_logger()

_STATES: Final = {DeliveryState.STORED: "stored, waits for its storage commitment"}
"""Delivery states that need more than their name."""


@dataclass
class Invocation:
    """The configuration file of this call; the settings are read when a command needs them."""

    config: Path | None = None

    @property
    def settings(self) -> Settings:
        """Read the settings."""
        return configuration.load(self.config)

    def start(self, component: str) -> Settings:
        """Read the settings and set up the log of a long-running component."""
        settings = self.settings
        logging.configure(level=settings.log_level, style=settings.log_format, component=component)
        return settings

    def database(self, settings: Settings | None = None) -> Database:
        """Open the database and check its schema."""
        database = Database((settings or self.settings).resolved_database_url)
        database.require_current_schema()
        return database


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@app.command()
def receive(
    context: typer.Context,
    worker: Annotated[bool, typer.Option("--single", help="Serve in this process only, without children.")] = False,
) -> None:
    """Listen for C-STORE and C-ECHO, and make every object durable before answering Success.

    Needs neither the database nor the broker. Port, AE Title, allowed networks and TLS are settings of `receiver`
    (see docs/configuration.md); by default only this machine is let in.
    """
    from node.dimse.scp import receiver

    settings = context.obj.start("receive")
    stop = stop_event()
    receiver.run(settings, Spool.create(settings.home / "spool"), stop=stop, single=worker)


@app.command()
def dispatch(context: typer.Context) -> None:
    """Take in what was received, close complete studies, and send what is due to the broker.

    One dispatcher works at a time; a second one stands by. The broker may be away: nothing is lost, messages are sent
    when it is back.
    """
    from node.dispatch.dispatcher import Dispatcher, sole
    from node.dispatch.queue import Sender, make_app

    settings = context.obj.start("dispatch")
    stop = stop_event()
    with context.obj.database(settings) as database, sole(settings.home / "dispatch.lock", stop) as chosen:
        if chosen:
            spool = Spool.create(settings.home / "spool")
            log.info("dispatch.started")
            Dispatcher(settings, database, spool, Sender(make_app(settings)), _actor("dispatch")).run(stop)


@app.command()
def migrate(context: typer.Context) -> None:
    """Create the database's tables, or bring them to the schema of this program."""
    settings = context.obj.settings
    with Database(settings.resolved_database_url) as database:
        before, newest = database.schema_revision() if not _fresh_sqlite(settings) else (None, None)
        database.migrate()
        after, _ = database.schema_revision()
    console.print(
        f"schema: {before or 'empty'} → {after}" if before != newest or before is None else f"schema: {after}"
    )


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show what waits, for how long, and whether broker, workers and destinations are there."""
    from node.dispatch.queue import broker_alive

    settings = context.obj.settings
    with context.obj.database(settings) as database, database.read() as tx:
        found = report.status(tx)
    now = utc_now()
    spool = Spool(settings.home / "spool")
    free = spool.free_bytes() if spool.root.exists() else None
    broker = broker_alive(settings)
    if as_json:
        print_json({**_status_values(found, now), "broker": broker, "free_bytes": free})
        return
    table = Table(title=f"{settings.receiver.ae_title} on {settings.receiver.host}:{settings.receiver.port}")
    table.add_column("")
    table.add_column("counts")
    table.add_column("oldest waiting")
    table.add_row("instances", _listed(found.instances))
    table.add_row("studies", _listed(found.studies))
    waiting = ", ".join(f"{p} {_duration(age_s(at, now))}" for p, at in found.oldest_queued_at.items())
    table.add_row("jobs", _listed(found.jobs), waiting or "nothing waits")
    oldest = age_s(found.oldest_pending_delivery_at, now)
    table.add_row("deliveries", _listed(found.deliveries), _duration(oldest) if oldest is not None else "nothing waits")
    console.print(table)
    console.print(f"broker: {'answers' if broker else '[red]does not answer[/] (receiving goes on; messages wait)'}")
    space = "unknown (no spool yet)" if free is None else f"{free / 1e9:.1f} GB free"
    console.print(f"disk: {space}, watermark {settings.spool.minimum_free_bytes / 1e9:.1f} GB")
    alive = [w for w in found.workers if (age_s(w[2], now) or 0) < 3 * settings.analysis.lease_s]
    console.print("workers: " + (", ".join(f"{w} ({d})" for w, d, _ in alive) or "[red]none seen[/] (`hilum work`)"))
    for line in _status_alerts(found, now):
        console.print(line)


def _status_values(found: report.Status, now: datetime) -> dict[str, Any]:
    """Return what the rows say as plain values, ages in seconds."""
    return {
        "instances": found.instances,
        "studies": found.studies,
        "jobs": found.jobs,
        "deliveries": found.deliveries,
        "oldest_queued_s": {p: age_s(at, now) for p, at in found.oldest_queued_at.items()},
        "oldest_pending_delivery_s": age_s(found.oldest_pending_delivery_at, now),
        "waiting_for_commitment": {
            c.destination: {"results": c.deliveries, "oldest_s": age_s(c.oldest_at, now)} for c in found.commitments
        },
        "withheld": found.withheld,
        "circuits_open": [name for name, _, until in found.circuits_open if until > now],
        "workers": [{"id": w, "device": d, "seen_s": age_s(at, now)} for w, d, at in found.workers],
    }


def _status_alerts(found: report.Status, now: datetime) -> Iterator[str]:
    """Yield what an operator should look at, and what to do about it."""
    for waits in found.commitments:
        yield (
            f"waits for storage commitment: {waits.deliveries} result(s) at {waits.destination}, the oldest for "
            f"{_duration(age_s(waits.oldest_at, now))}"
        )
    for name, failures, until in found.circuits_open:
        if until > now:
            yield f"[yellow]circuit open[/]: {name} after {failures} failures, tried again at {until:%H:%M:%S}Z"
    if found.jobs.get("failed"):
        yield (
            f"[red]studies without an answer: {found.jobs['failed']}[/] (`hilum studies UID` says why, "
            "`hilum rerun --dead` tries again)"
        )
    if found.withheld:
        yield (
            f"[red]results withheld: {found.withheld}[/] (they failed the node's own checks; `hilum studies UID` says "
            "why, the objects are in quarantine)"
        )
    if found.deliveries.get("dead"):
        yield f"[red]dead letters: {found.deliveries['dead']}[/] (`hilum studies --failed`, `hilum rerun --dead`)"


@app.command("studies")
def list_studies(
    context: typer.Context,
    uid: Annotated[str | None, typer.Argument(help="Study Instance UID: show this one with results and trail.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    failed: Annotated[bool, typer.Option("--failed", help="Only those with undelivered results.")] = False,
) -> None:
    """List studies with their state, or show one study with its results and its audit trail."""
    with context.obj.database() as database, database.read() as tx:
        lines = report.study_lines(
            tx, limit=limit, study_instance_uid=uid, job_state=JobState.UNDELIVERED if failed else None
        )
        if uid is not None and not lines:
            raise Misconfigured(f"no study with the Study Instance UID {uid}")
        for line in lines:
            # One line each, whole however narrow the terminal: the UID is what `rerun` needs.
            console.print(_study_line(line), soft_wrap=True, highlight=False, markup=False)
        if not lines:
            console.print("no studies yet")
        if uid is not None:
            line = lines[0]
            if line.job_id is not None:
                _print_results(report.result_lines(tx, line.job_id))
            if line.last_error:
                console.print(f"last error: {line.last_error}", markup=False)
            for text in trail(tx, line.id):
                console.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command()
def rerun(
    context: typer.Context,
    uid: Annotated[str | None, typer.Argument(help="Study Instance UID to analyse again, as a new revision.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Bring back dead letters and failed jobs instead.")] = False,
) -> None:
    """Analyse a study again, or bring back what could not be delivered.

    `rerun UID` opens revision n+1: new objects in the same series that name their predecessors.
    `rerun UID --dead` and `rerun --dead` send the stored bytes again, of one study or of all.
    """
    if uid is None and not dead:
        raise Misconfigured("name a Study Instance UID, or give --dead for all dead letters")
    settings = context.obj.settings
    actor, now = _actor("cli"), utc_now()
    with context.obj.database(settings) as database, database.write() as tx:
        if dead:
            count = deliveries.revive(
                tx, retry_for_s=settings.delivery.retry_for_s, actor=actor, now=now, study_instance_uid=uid
            )
            revived = jobs.revive(tx, actor=actor, now=now, study_instance_uid=uid)
            console.print(f"{count} deliveries and {len(revived)} failed jobs are due again")
            return
        revision = studies.reopen(tx, str(uid), actor=actor, now=now)
    if revision is None:
        raise Misconfigured(f"no study with the Study Instance UID {uid}")
    console.print(f"revision {revision} is open and will be analysed")


@app.command()
def echo(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Destination; all if not given.")] = None,
) -> None:
    """Send C-ECHO to the destinations, to see that address, port, AE Titles and TLS are right.

    A DICOMweb service is posted an empty request instead, which shows that address, TLS and authentication are right.
    """
    settings = context.obj.settings
    if name is not None and name not in settings.destinations:
        known = ", ".join(settings.destinations) or "none configured"
        raise Misconfigured(f"no destination named {name!r}; there are: {known}")
    if not settings.destinations:
        raise Misconfigured("no destination is configured (settings `destinations`)")
    failed = False
    for key, destination in settings.destinations.items():
        if name not in (None, key):
            continue
        where = f"{key} ({destination.address})"
        try:
            _echo(settings, destination)
            console.print(f"[green]answers[/]: {where}")
        except HilumError as error:
            failed = True
            console.print(f"[red]no answer[/]: {where}: {error}")
    if failed:
        raise typer.Exit(1)


@app.command()
def explain(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="DICOM files or folders.", exists=True)],
    *,
    sender: Annotated[str, typer.Option("--from", metavar="AE", help="Calling AE Title of whoever sends it.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, one entry for each file.")] = False,
) -> None:
    """Show what this node would do with DICOM files, and why: header, eligibility, rule, priority and destinations.

    For whoever writes `rules`. Nothing is received, stored, analysed or sent. One file is explained whole; of several,
    or of a folder, there is a table. Each file is judged as if it came alone: a study is routed by its first accepted
    image.

    For example: `hilum -c hilum.yaml explain --from ER_ROUTER chest.dcm`; for a program: `hilum explain --json folder`.

    Ends with 0; with 1 if a file is no DICOM object or cannot be used; with 2 if the settings are wrong.
    """
    from node.commands import explain as command
    from node.commands.files import files_under

    settings = context.obj.settings
    found = [command.explain(path, settings, calling_ae_title=sender.strip()) for path in files_under(files)]
    if as_json:
        print_json([command.described(one, settings) for one in found])
    elif len(found) == 1:
        command.print_one(found[0], settings, console, sender_known=bool(sender))
    else:
        command.print_table(found, console)
    if not all(one.usable for one in found):
        raise typer.Exit(1)


@app.command("verify-audit")
def verify_audit(
    context: typer.Context,
    head: Annotated[str | None, typer.Option(help="A head hash noted earlier; it must still be in the chain.")] = None,
) -> None:
    """Check that no row of the audit log was edited, deleted, inserted or moved.

    The heads that the dispatcher noted in `home`/audit-anchors.txt must still be in the chain, so a log that was cut
    off or rewritten is found too. Prints the head hash: keep it elsewhere, and give it as --head the next time, for the
    case that someone rewrote that file as well.
    """
    settings = context.obj.settings
    with context.obj.database(settings) as database, database.read() as tx:
        outcome = audit.verify(tx)
        problem = outcome.problem
        noted = [anchor.hash for anchor in anchors.read(settings.home)] + ([head] if head else [])
        if problem is None and not all(audit.contains(tx, link) for link in noted):
            problem = "a head noted earlier is not in the chain: rows were cut off, or the log was rewritten"
    if problem is not None:
        console.print(f"[red]broken[/]: {problem} ({outcome.rows} rows before it hold)")
        raise typer.Exit(1)
    console.print(f"[green]intact[/]: {outcome.rows} rows")
    console.print(f"head {outcome.head}", soft_wrap=True)


def trail(tx: Transaction, study_id: int) -> list[str]:
    """Return the audit trail of a study as lines of text."""
    lines = []
    for event in audit.events(tx, study_id=study_id):
        detail = " ".join(f"{key}={_plain(value)}" for key, value in event.detail.items() if value not in (None, ""))
        lines.append(f"{event.sequence:>6} {event.at} {event.actor} {event.action} {detail}".rstrip())
    return lines


def age_s(at: datetime | None, now: datetime) -> float | None:
    """Return the age in seconds."""
    return None if at is None else round((now - at).total_seconds(), 3)


def print_json(values: object) -> None:
    """Print one JSON object to standard output."""
    sys.stdout.write(json.dumps(values, indent=1) + "\n")


def _echo(settings: Settings, destination: AnyDestination) -> None:
    """Ask one destination whether it is there."""
    from node.dicomweb import stow
    from node.dimse.scu import verification

    timeout_s = settings.delivery.connect_timeout_s
    match destination:
        case Destination():
            verification.echo(destination, calling_ae_title=settings.receiver.ae_title, timeout_s=timeout_s)
        case WebDestination():
            stow.echo(destination, timeout_s=timeout_s)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _study_line(line: report.StudyLine) -> str:
    finished = f"{line.finished_at:%H:%M:%S}" if line.finished_at else "--:--:--"
    return (
        f"{line.opened_at:%Y-%m-%d %H:%M:%S} to {finished}  {line.job_state or 'no analysis':<11}  "
        f"study {line.state}{f' ({line.completion_reason})' if line.completion_reason else ''}, "
        f"revision {line.revision}, {line.images} image(s), {line.priority or 'no priority'}  {line.study_instance_uid}"
    )


def _print_results(lines: Sequence[report.ResultLine]) -> None:
    for line in lines:
        state = "" if line.state is None else _STATES.get(line.state, str(line.state))
        where = f"{line.destination}: {state}, {line.attempts} attempt(s)" if line.destination else "no destination"
        text = f"  {line.kind:<3} {line.sop_instance_uid} sha256 {line.sha256} -> {where}"
        console.print(
            text + (f"; {line.last_error}" if line.last_error else ""), soft_wrap=True, highlight=False, markup=False
        )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _actor(component: str) -> str:
    return f"{component}@{socket.gethostname()}:{os.getpid()}"


def _fresh_sqlite(settings: Settings) -> bool:
    return settings.database_url is None and not (settings.home / "hilum.db").exists()
