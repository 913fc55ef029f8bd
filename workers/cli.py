"""`hilum`: one program for the node, its workers and its operator. Commands that need torch import it when they run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

import psutil
import structlog
import typer
from rich.markup import escape

from models import openmp
from models.errors import BundleRefused
from node import __version__
from node import cli as edge
from node.cli import Invocation, stop_event
from node.commands.output import Terminal, print_json
from node.commands.privacy import leave_no_core
from node.db import belonging
from node.db.engine import UNUSABLE, explained
from node.delivery.destinations import Destination
from node.delivery.profiles import OHIF
from node.dispatch.queue import Device, Queues, delivery_threads, make_app
from node.errors import HilumError, Misconfigured

app = typer.Typer(
    name="hilum",
    help=(
        "AI worker node for chest radiographs: receives by C-STORE, analyses, returns DICOM SEG and SR to the PACS.\n\n"
        "Start with `hilum up` (everything on this machine), or run `receive`, `dispatch` and `work` apart. "
        "Research use only, not for clinical use."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
console = Terminal()
log = structlog.get_logger()


def _print_version(asked: bool) -> None:
    if asked:
        console.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", envvar="HILUM_CONFIG", help="YAML file with settings, destinations and rules."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
) -> None:
    leave_no_core()
    context.obj = Invocation(config)


@app.command(rich_help_panel="Node")
def up(context: typer.Context) -> None:
    """Run the whole node in the foreground: broker, receiver, dispatcher and workers, restarted when one dies.

    Embedded by default: SQLite and a private Redis in `home`, no server needed. Ctrl-C ends it; what was received and
    not yet answered goes on at the next start.
    """
    from workers.pipelines.networks import Networks
    from workers.process.supervisor import Node

    settings = context.obj.start("up")
    Networks(settings.analysis, "cpu").check(settings.rules)
    stop = stop_event()
    node = Node(settings, context.obj.config)
    receiver = settings.receiver
    console.print(f"[bold]Hilum {__version__}[/] · research use only, not for clinical use")
    console.print(
        f"Point the PACS at   AE Title [bold]{receiver.ae_title}[/], host [bold]{_reachable_at(receiver.host)}[/], "
        f"port [bold]{receiver.port}[/]" + (" (TLS)" if receiver.tls.enabled else "")
    )
    networks = ", ".join(str(network) for network in receiver.allowed_networks)
    titles = ", ".join(receiver.allowed_calling_ae_titles) or "any calling AE Title"
    console.print(f"Lets in             {titles} from {networks}")
    for name, destination in settings.destinations.items():
        console.print(f"Results go to       {name}: {destination.address}")
    for trouble in context.obj.judge_certificates(settings):
        console.print(f"[red]{escape(str(trouble))}[/]", soft_wrap=True)
    if not settings.destinations:
        console.print("[yellow]Results go nowhere[/]: no `destinations` are configured; they are kept in the node")
    console.print(f"Data                {settings.home}")
    given = f" --config {context.obj.config.resolve()}" if context.obj.config else ""
    console.print(f"Look at it with     hilum{given} status · hilum{given} studies\n", soft_wrap=True)
    try:
        node.start()
    except HilumError:
        node.stop()
        raise
    node.run(stop)


@app.command(rich_help_panel="Node")
def work(
    context: typer.Context,
    delivery: Annotated[bool, typer.Option("--delivery", help="Deliver results instead of analysing.")] = False,
    concurrency: Annotated[
        int,
        typer.Option(
            min=0,
            help="Processes (analysis; one for each GPU) or threads (delivery); "
            "0: 1 process, or a thread for each association that `destinations` allow, at least 4.",
        ),
    ] = 0,
) -> None:
    """Run a Celery worker: analysis on the GPU or CPU, or with --delivery the return of results.

    Run at least one of each. An analysis worker takes jobs of its device's queue (`analysis.cpu`, `analysis.cuda`).
    """
    openmp.apply()
    from workers.pipelines.networks import Networks
    from workers.process import tasks

    settings = context.obj.start("deliver" if delivery else "work")
    if delivery:
        context.obj.judge_certificates(settings)
    else:
        Networks(settings.analysis, "cpu").check(settings.rules)
    with context.obj.database(settings, writable=True) as database:
        queues = Queues.of(settings, belonging.spool_of(database, settings.home / "spool").identity())
    celery = make_app(settings, queues)
    if delivery:
        tasks.register_delivery(celery, settings, queues)
        queue, pool, count = queues.delivery, "threads", concurrency or delivery_threads(settings)
    else:
        device = _device(settings.analysis.device)
        tasks.register_analysis(celery, settings, queues, device=device)
        queue, pool, count = queues.analysis(device), "prefork", concurrency or 1
    arguments = ["--quiet", "worker", "-Q", queue, "--pool", pool, "--concurrency", str(count), "--loglevel", "WARNING"]
    arguments += ["--hostname", f"{queue}.{os.getpid()}@%h", "--without-gossip", "--without-mingle"]
    log.info("worker.starting", queue=queue, pool=pool, concurrency=count)
    tasks.run(celery, arguments)


@app.command("bundles", rich_help_panel="Look")
def list_bundles(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Show the model card of this bundle.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything in the manifests, with whole digests.")] = False,
) -> None:
    """List the installed bundles with digest, figures, thresholds and terms, or print one bundle's model card."""
    from workers.commands import catalogue
    from workers.pipelines.networks import Networks

    networks = Networks(context.obj.settings.analysis, "cpu")
    found = networks.installed()
    chosen = [bundle for bundle in found if name in (None, bundle.identity.name, bundle.path.name)]
    if not chosen and name is not None:
        known = ", ".join(bundle.identity.name for bundle in found) or "none"
        raise Misconfigured(f"no bundle named {name!r} in {networks.root}; there are: {known}")
    if as_json:
        uids = catalogue.device_uids(networks, context.obj.settings.rules)
        print_json([catalogue.described(bundle, uids.get(bundle.identity.name, {})) for bundle in chosen])
        return
    if name is not None:
        for bundle in chosen:
            catalogue.print_card(bundle, console)
        return
    console.print(f"{len(found)} bundle(s) in {networks.root}, research use only", soft_wrap=True)
    catalogue.print_catalogue(found, console)
    console.print("`hilum bundles NAME` prints the model card, `hilum bundles --json` all figures", soft_wrap=True)


@app.command(rich_help_panel="Try")
def phantom(
    out: Annotated[Path, typer.Argument(help="DICOM file to write.")] = Path("phantom.dcm"),
    seed: Annotated[int, typer.Option(min=0, help="Anatomy; the same seed gives the same bytes.")] = 1,
    rows: Annotated[int, typer.Option(min=128, max=8192, help="Height in pixels.")] = 2500,
    columns: Annotated[int, typer.Option(min=128, max=8192, help="Width in pixels.")] = 2048,
    age: Annotated[int, typer.Option(min=1, max=100, help="Patient's Age in years.")] = 54,
) -> None:
    """Write a generated PA chest radiograph (DX): no patient, but anatomy enough for the whole pipeline."""
    from models import phantom as phantoms

    image = phantoms.generate(seed, rows=rows, columns=columns, age_years=age)
    phantoms.write(out, image)
    console.print(f"{out}: phantom {seed}, {rows} × {columns}")


@app.command(rich_help_panel="Try")
def analyse(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="DICOM files or folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("hilum-results"),
    *,
    profile: Annotated[
        str, typer.Option(help="Object profile, as destinations name it: ohif, strict, secondary-capture, complete ...")
    ] = OHIF.name,
    bundle: Annotated[
        list[str] | None, typer.Option(help="Run this bundle, and others named so; without it all but those by name.")
    ] = None,
    heat_maps: Annotated[
        bool, typer.Option("--heat-maps", help="Also a picture for each finding: where the network looked.")
    ] = False,
) -> None:
    """Analyse DICOM files without any PACS: writes SEG, SR, an overlay PNG and a JSON summary for each study."""
    openmp.apply()
    from workers.commands import offline
    from workers.pipelines.networks import Networks

    settings = context.obj.settings
    studies, unusable = offline.group(files)
    for path, why in unusable:
        console.print(f"[yellow]left out[/] {path}: {why}")
    if not studies:
        raise Misconfigured("no DICOM radiograph among the files given")
    if profile not in settings.object_profiles:
        raise Misconfigured(f"no profile named {profile!r}; there are: {', '.join(settings.object_profiles)}")
    networks = Networks(settings.analysis, _device(settings.analysis.device))
    heat_maps = heat_maps or settings.analysis.heat_maps
    one = partial(
        offline.analyse,
        networks=networks,
        out=out,
        profile=settings.object_profiles[profile],
        console=console,
        bundles=bundle,
        heat_maps=heat_maps,
    )
    if failed := offline.analyse_all(studies, one, console):
        console.print(f"{failed} of {len(studies)} studies failed")
        raise typer.Exit(1)


@app.command(rich_help_panel="Try")
def atrium(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="DICOM files or folders with one MR series.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("hilum-results"),
    *,
    bundle: Annotated[str, typer.Option(help="Name of the bundle, of a 3-D or a 2-D network.")] = "atrium-3d",
    series: Annotated[str | None, typer.Option(help="Series Instance UID, where there are several.")] = None,
    centre: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="A place near the middle of the atrium, in mm of the patient: to the left, back and head."),
    ] = None,
) -> None:
    """Outline the left atrium on an MR series without any PACS: writes a multi-frame SEG, a PNG and a JSON summary."""
    openmp.apply()
    from models.bundle import store
    from models.volume.atrium import VolumeAnalyser
    from node.clock import utc_now
    from workers.commands import atrium as volume

    settings = context.obj.settings.analysis
    chosen = store.named(settings.bundles or store.shipped(), bundle)
    slices = volume.series_files(files, series_uid=series)
    with console.status("analysing"):
        analyser = VolumeAnalyser(chosen, device=_device(settings.device), dtype=settings.dtype)
        analysis = volume.analyse(analyser, slices, created_at=utc_now(), centre_mm=centre)
        written = volume.write(analysis, out)
    found = analysis.findings
    console.print(f"left atrium: {found.volume_ml:.1f} ml" if analysis.result else "no left atrium was found")
    for note in found.notes:
        console.print(f"[yellow]note[/] {escape(note)}", soft_wrap=True)
    for path in written:
        console.print(f"  {path}", soft_wrap=True, highlight=False)


@app.command("profile-check", rich_help_panel="Look")
def profile_check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Destination, as the settings name it.")],
    *,
    ask_only: Annotated[
        bool, typer.Option("--ask-only", help="Send nothing: only ask what would be accepted.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Send the results of every profile, not only those of the configured one.")
    ] = False,
) -> None:
    """Send a phantom's results to a destination: what it took, what it refused, and what to configure.

    Of its own profile the results are sent, of the other profiles it is asked (nothing is stored by asking). Ends with
    0 only if the configured profile is taken whole.
    """
    openmp.apply()
    from workers.commands import profile_check as checks
    from workers.pipelines.networks import Networks

    settings = context.obj.settings
    if name not in settings.destinations:
        known = ", ".join(settings.destinations) or "none configured"
        raise Misconfigured(f"no destination named {name!r}; there are: {known}")
    destination = settings.destinations[name]
    if ask_only and not isinstance(destination, Destination):
        raise Misconfigured(
            f"destination {name!r} is a DICOMweb service, which cannot be asked what it takes: run without --ask-only"
        )
    networks = None if ask_only else Networks(settings.analysis, _device(settings.analysis.device))
    with console.status("asking") as progress:
        report = checks.check(
            settings,
            destination,
            networks=networks,
            every=every,
            progress=progress.update,
        )
    checks.print_report(report, name, settings, console)
    raise typer.Exit(0 if report.passed else 1)


@app.command(rich_help_panel="Try")
def demo(
    study: Annotated[
        list[Path] | None, typer.Argument(help="Your own DICOM files or folders; a phantom if not given.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what is left to look at.")] = Path("demo-output"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the phantom.")] = 1,
) -> None:
    """Start a node and a stand-in PACS on this machine, send a study, and show what comes back.

    Ends with 0 only if the stand-in PACS holds a SEG and an SR.
    """
    from workers.commands import demonstration

    raise typer.Exit(demonstration.run(study or [], out=out, seed=seed, console=console))


def _reachable_at(host: str) -> str:
    """Name the addresses that a peer can use where the node listens on all of them."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        return host
    kinds = {socket.AF_INET, socket.AF_INET6} if host == "::" else {socket.AF_INET}
    found = [a.address.split("%")[0] for own in psutil.net_if_addrs().values() for a in own if a.family in kinds]
    return " or ".join(address for address in found if not ip_address(address).is_loopback) or host


def _device(asked: Literal["auto", "cpu", "cuda"]) -> Device:
    """Find out whether there is a GPU, in a process of its own: CUDA must not start in one that forks."""
    if asked != "auto":
        return asked
    if not Path("/dev/nvidiactl").exists() and shutil.which("nvidia-smi") is None:
        return "cpu"
    probe = [sys.executable, "-c", "import torch; raise SystemExit(not torch.cuda.is_available())"]
    return "cuda" if subprocess.run(probe, check=False, capture_output=True).returncode == 0 else "cpu"


app.add_typer(edge.app)  # without a name: its commands stand beside those above


def main() -> None:
    """Run the command line; an expected error is one clear line and exit code 2."""
    try:
        app()
    except (HilumError, BundleRefused, OSError) as error:
        Terminal(stderr=True).print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from error
    except UNUSABLE as error:
        Terminal(stderr=True).print(f"[red]error:[/] {escape(explained(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
