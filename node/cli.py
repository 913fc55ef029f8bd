"""The commands of the always-on edge: receive, dispatch, look, bring back. They import no model code.

Here each command declares its arguments; what the longer ones do lies in `node.commands`.
"""

from __future__ import annotations

import signal
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from node import log as logging
from node import settings as configuration
from node.clock import utc_now
from node.commands.output import Terminal, print_json
from node.commands.privacy import is_open_to_others, keep_to_this_user
from node.db import belonging, deliveries, jobs, report, studies
from node.db.engine import Database
from node.errors import Misconfigured
from node.identity import actor
from node.settings import Settings
from node.watchdog import Watchdog

if TYPE_CHECKING:
    from node.health.troubles import Trouble

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
console = Terminal()
log = structlog.get_logger()


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
        keep_to_this_user()
        logging.configure(level=settings.log_level, style=settings.log_format, component=component)
        if is_open_to_others(settings.home):
            log.warning("home.open_to_others", home=str(settings.home), way_out=f"chmod -R go= {settings.home}")
        return settings

    def judge_certificates(self, settings: Settings) -> list[Trouble]:
        """Say in the log which of this node's certificates have ended or end soon; return the same."""
        from node.health import facts, troubles

        found = list(troubles.of_certificates(facts.own_certificates(settings), utc_now()))
        for one in found:
            say = log.error if one.level is troubles.Level.NOT_WORKING else log.warning
            say("tls.certificate", why=one.what, way_out=one.way_out)
        return found

    def database(self, settings: Settings | None = None, *, component: str = "cli", writable: bool = False) -> Database:
        """Open the database for a component, and check its schema and, where asked, that it can be written."""
        keep_to_this_user()
        database = Database((settings or self.settings).resolved_database_url, actor=actor(component))
        database.require_current_schema()
        if writable:
            database.require_writable()
        return database


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@app.command(rich_help_panel="Node")
def receive(
    context: typer.Context,
    single: Annotated[bool, typer.Option("--single", help="Serve in this process only, without children.")] = False,
) -> None:
    """Listen for C-STORE and C-ECHO, and make every object durable before answering Success.

    Needs neither the database nor the broker. Port, AE Title, allowed networks and TLS are settings of `receiver`
    (see docs/configuration.md); by default only this machine is let in.
    """
    from node.dimse.scp import receiver

    settings = context.obj.start("receive")
    context.obj.judge_certificates(settings)
    stop = stop_event()
    # The database is asked only where the spool is empty: is it a new one, or is it not mounted?
    spool = belonging.spool_without(
        lambda: Database(settings.resolved_database_url, actor=actor("receive")), settings.home / "spool"
    )
    receiver.run(settings, spool, stop=stop, single=single)


@app.command(rich_help_panel="Node")
def dispatch(context: typer.Context) -> None:
    """Take in what was received, close complete studies, and send what is due to the broker.

    One dispatcher works at a time; a second one stands by. The broker may be away: nothing is lost, messages are sent
    when it is back.
    """
    from node.dispatch.dispatcher import Dispatcher, leader_lock
    from node.dispatch.queue import Queues, Sender, make_app
    from node.pulse import Pulse

    settings = context.obj.start("dispatch")
    stop = stop_event()
    watchdog = Watchdog(configuration.notify_socket())
    lock = leader_lock(settings.home / "dispatch.lock", stop)
    with context.obj.database(settings, component="dispatch", writable=True) as database:
        spool = belonging.spool_of(database, settings.home / "spool")
        queues = Queues.of(settings, spool.identity())
        sender = Sender(make_app(settings, queues), queues)
        dispatcher = Dispatcher(settings, database, spool, sender, alive=watchdog.beat)
        with Pulse(database, "standby", progress=dispatcher.progress) as pulse, lock as chosen:
            if chosen:
                log.info("dispatch.started", spool=spool.identity())
                pulse.component = "dispatch"
                dispatcher.run(stop)


@app.command(rich_help_panel="Node")
def migrate(
    context: typer.Context,
    new_spool: Annotated[
        bool,
        typer.Option(
            "--new-spool", help="The database belongs to the spool in `home` from now on: the former is lost."
        ),
    ] = False,
) -> None:
    """Create the database's tables, or bring them to the schema of this program.

    A database belongs to one spool, whose files its rows name. Where that spool is lost for good, or was replaced by
    another, `--new-spool` says so; what was in it is then answered as missing. Any process of another machine that
    still has the former one stops taking jobs.
    """
    keep_to_this_user()
    settings = context.obj.settings
    with Database(settings.resolved_database_url, actor=actor("cli")) as database:
        before, newest = database.schema_revision()
        database.migrate()
        after, _ = database.schema_revision()
        if new_spool:
            root = settings.home / "spool"
            console.print(f"the database belongs to spool {belonging.move(database, root)} in {root}", soft_wrap=True)
    console.print(
        f"schema: {before or 'empty'} → {after}" if before != newest or before is None else f"schema: {after}"
    )


@app.command("status", rich_help_panel="Look")
def show_status(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only one sentence for each trouble, and an exit code for a monitor.")
    ] = False,
    part: Annotated[
        str | None,
        typer.Option("--of", metavar="COMPONENT", help="With --check: dispatch, analysis or delivery on this host."),
    ] = None,
) -> None:
    """Show what waits, for how long, and whether broker, workers and destinations are there.

    `hilum status --check` ends with 0 if all is well, 1 if something waits too long or waits for the operator, 2 if
    something that has to work does not: the database or broker is away, a component gives no sign of life, studies are
    refused. (These are also the codes of a Nagios plugin.)
    """
    from node.commands import status
    from node.health import facts, troubles

    if part is not None and (not check or part not in troubles.COMPONENTS):
        raise Misconfigured(f"--of goes with --check and names one of {', '.join(troubles.COMPONENTS)}")
    keep_to_this_user()
    settings = context.obj.settings
    with Database(settings.resolved_database_url, actor=actor("cli")) as database:
        found = facts.look(settings, database)
    judged = troubles.judge(found, settings)
    if check:
        if part is not None:
            judged = troubles.of_component(found, part, host=socket.gethostname())
        told = [one for one in judged if one.level > troubles.Level.NOTICE]
        status.print_troubles(told, console)
        if not told:
            console.print("all is well")
        raise typer.Exit(int(troubles.worst(judged)))
    if found.rows is None:
        raise Misconfigured(found.database_error)
    if as_json:
        print_json(status.values(found, found.rows, judged))
        return
    status.print_tables(found, found.rows, judged, settings, console)


@app.command("studies", rich_help_panel="Look")
def list_studies(
    context: typer.Context,
    uid: Annotated[str | None, typer.Argument(help="Study Instance UID: show this one with results and trail.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only those undelivered, unanswered, or answered that the node failed.")
    ] = False,
) -> None:
    """List studies with their state, or show one study with its results and its audit trail."""
    from node.commands.studies import print_lines, print_results_and_trail

    with context.obj.database() as database, database.read() as tx:
        lines = report.study_lines(tx, limit=limit, study_instance_uid=uid, failed=failed)
        if uid is not None and not lines:
            raise Misconfigured(f"no study with the Study Instance UID {uid}")
        print_lines(lines, console)
        if uid is not None:
            for line in lines:
                print_results_and_trail(tx, line, console)


@app.command(rich_help_panel="Look")
def rerun(
    context: typer.Context,
    uid: Annotated[str | None, typer.Argument(help="Study Instance UID to analyse again, as a new revision.")] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Of images that came again with other bytes the newest copies count.")
    ] = False,
    dead: Annotated[bool, typer.Option("--dead", help="Bring back dead letters and failed jobs instead.")] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Analyse every study again that the node itself failed.")
    ] = False,
) -> None:
    """Analyse a study again, or bring back what could not be delivered.

    `rerun UID` opens revision n+1: new objects in the same series that name their predecessors.
    `rerun UID --latest` does so with the newest copy of each image, where an archive has corrected or merged the
    patient and has sent the study again; without it the copies that came first count.
    `rerun UID --dead` and `rerun --dead` send the stored bytes again, of one study or of all.
    `rerun --failed` analyses all studies again that got no answer, or only the answer that the analysis failed or that
    an image was damaged or missing in the node.
    """
    if failed and (uid is not None or dead):
        raise Misconfigured("--failed is for all studies that failed, and stands alone")
    if latest and (uid is None or dead or failed):
        raise Misconfigured("--latest is for one study: name its Study Instance UID")
    if uid is None and not dead and not failed:
        raise Misconfigured(
            "name a Study Instance UID, or give --dead for all dead letters, or --failed for all failed studies"
        )
    settings = context.obj.settings
    with context.obj.database(settings) as database, database.write() as tx:
        if failed:
            answered, requeued = report.answered_as_failed(tx), jobs.requeue(tx)
            for answered_uid in answered:
                studies.reopen(tx, answered_uid)
            console.print(f"{len(answered)} studies are open again as a new revision")
            console.print(f"{len(requeued)} failed jobs are due again")
            return
        if dead:
            count = deliveries.requeue(tx, retry_for_s=settings.delivery.retry_for_s, study_instance_uid=uid)
            requeued = jobs.requeue(tx, study_instance_uid=uid)
            console.print(f"{count} deliveries and {len(requeued)} failed jobs are due again")
            return
        revision = studies.reopen(tx, str(uid), latest=latest)
    if revision is None:
        raise Misconfigured(f"no study with the Study Instance UID {uid}")
    console.print(f"revision {revision} is open and will be analysed")


@app.command(rich_help_panel="Look")
def retry(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DESTINATION", help="As it is named in `destinations`.")],
) -> None:
    """Try a destination again at once, with all that waits for it: STAT first, then the oldest.

    For when an archive is known to be back, and the pause before the next attempt is long. By itself the node does the
    same upon the first success. Dead letters come back by `rerun --dead`.
    """
    settings = context.obj.settings
    if name not in settings.destinations:
        known = ", ".join(settings.destinations) or "none"
        raise Misconfigured(f"no destination {name!r} is configured; there are: {known}")
    with context.obj.database(settings) as database, database.write() as tx:
        count = deliveries.retry(tx, name)
    console.print(f"{count} deliveries to {name} are due now")


@app.command(rich_help_panel="Look")
def echo(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Destination; all if not given.")] = None,
) -> None:
    """Send C-ECHO to the destinations, to see that address, port, AE Titles and TLS are right.

    A DICOMweb service is posted an empty request instead, which shows that address, TLS and authentication are right.
    """
    from node.commands.echo import ask

    if not ask(context.obj.settings, name, console):
        raise typer.Exit(1)


@app.command(rich_help_panel="Look")
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

    Ends with 0; with 1 if there is no file, or a file is no DICOM object or cannot be used; with 2 if the settings are
    wrong. Files inside a folder that are not DICOM are listed, and count only where no DICOM file is there.
    """
    from node.commands import explain as command
    from node.commands.files import listed

    settings = context.obj.settings
    found = [command.explain(path, settings, calling_ae_title=sender.strip()) for path in listed(files)]
    if not found:
        Terminal(stderr=True).print(f"no files in {', '.join(map(str, files))}", markup=False, soft_wrap=True)
    if as_json:
        print_json([command.described(one, settings) for one in found])
    elif len(found) == 1:
        command.print_one(found[0], settings, console, sender_known=bool(sender))
    elif found:
        command.print_table(found, console)
    dicom = [one for one in found if one.verdict != command.NOT_DICOM or one.path in files]
    if not dicom or not all(one.usable for one in dicom):
        raise typer.Exit(1)


@app.command("verify-audit", rich_help_panel="Look")
def verify_audit(
    context: typer.Context,
    head: Annotated[str | None, typer.Option(help="A head hash noted earlier; it must still be in the chain.")] = None,
) -> None:
    """Check that no row of the audit log was edited, deleted, inserted or moved.

    The heads that the dispatcher noted in `home`/audit-anchors.txt must still be in the chain, so a log that was cut
    off or rewritten is found too. Prints the head hash: keep it elsewhere, and give it as --head the next time, for the
    case that someone rewrote that file as well.
    """
    from node.commands.verify_audit import check

    settings = context.obj.settings
    with context.obj.database(settings) as database, database.read() as tx:
        outcome, problem = check(tx, settings.home, head)
    if problem is not None:
        console.print(f"[red]broken[/]: {problem} ({outcome.rows} rows before it hold)")
        raise typer.Exit(1)
    console.print(f"[green]intact[/]: {outcome.rows} rows")
    console.print(f"head {outcome.head}", soft_wrap=True)
