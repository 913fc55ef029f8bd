"""The demonstration: a whole node and a stand-in PACS on this machine, one study through both, and what came of it."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from models import phantom
from models.image import pixels
from node import log as logging
from node import settings as configuration
from node.commands.files import files_under
from node.commands.studies import trail
from node.db import report
from node.db.engine import Database
from node.db.states import JobState
from node.delivery.destinations import Destination
from node.delivery.outcome import OutgoingFile
from node.delivery.profiles import OHIF
from node.dicom.contexts import CLASS_BY_UID
from node.dicom.header import Header, read_header
from node.dicom.kinds import ResultKind
from node.dicom.part10 import encode_meta, read_meta
from node.dimse.archive import StandInArchive, reserved_port, stand_in
from node.dimse.scu import storage, verification
from node.errors import HilumError, Misconfigured, PeerUnavailable, Quarantined
from node.identity import actor
from node.reasons import Reason
from node.settings import Settings
from workers.commands import terminal
from workers.process.supervisor import Node
from workers.results.readback import findings_of_segs, source_of_seg
from workers.results.rendering.overlay import overlay_png
from workers.results.text.summary_form import Summary

TIMEOUT_S = 300.0
ENDED = (JobState.DONE, JobState.UNDELIVERED, JobState.FAILED)
EXIT_COMPLETE, EXIT_INCOMPLETE = 0, 1


@dataclass(frozen=True)
class SentFile:
    """One file to send, with what its header says."""

    path: Path
    header: Header


def run(files: Sequence[Path], *, out: Path, seed: int, console: Console) -> int:
    """Run the demonstration; return the exit code: 0 only if the stand-in PACS holds a SEG and an SR."""
    logging.configure(level="error", component="demo")
    configuration.forget_environment(but="ANALYSIS")  # device and arithmetic are those of a real node too
    if out.exists():
        if not (out / ".hilum-demo").exists():
            raise Misconfigured(f"{out} exists and was not made by the demo; choose another folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / ".hilum-demo").touch()
    sources = _own(files, out, console) if files else [_phantom(out, seed)]
    with (
        tempfile.TemporaryDirectory(prefix="hilum-demo-", ignore_cleanup_errors=True) as home,
        stand_in(out / "pacs") as pacs,
        reserved_port() as port,
        _progress(console) as say,
    ):
        settings, config = _settings(Path(home), out, port, pacs.port)
        say("starting the node (receiver, dispatcher, workers)")
        with _node(settings, config, out / "logs"):
            _wait_for_receiver(settings)
            say(f"sending {len(sources)} image(s) by C-STORE")
            sent_at = time.monotonic()
            _send(settings, sources, console)
            database = Database(settings.resolved_database_url, actor=actor("demo"))
            uids = sorted({source.header.study_instance_uid for source in sources})
            finished = _follow(database, uids, say)
            wall_s = time.monotonic() - sent_at
            say("reading what the PACS holds")
            complete = [_report(database, uid, sources, pacs=pacs, out=out, console=console) for uid in uids]
            database.close()
    console.print(f"from the first C-STORE to the last result in the PACS: {wall_s:.1f} s")
    console.print("[dim]Research use only, not for clinical use.[/]")
    if not finished:
        console.print(f"[red]Not everything was answered within {TIMEOUT_S:.0f} s[/]; the logs are in {out / 'logs'}")
    return EXIT_COMPLETE if finished and all(complete) else EXIT_INCOMPLETE


def _phantom(out: Path, seed: int) -> SentFile:
    path = out / "source" / "phantom.dcm"
    path.parent.mkdir(parents=True)
    made = phantom.generate(seed)
    phantom.write(path, made)
    return SentFile(path, read_header(path))


def _own(files: Sequence[Path], out: Path, console: Console) -> list[SentFile]:
    """Copy the user's files, each announced as what its data set says it is; say which cannot be sent."""
    folder = out / "source"
    folder.mkdir(parents=True)
    sources: list[SentFile] = []
    for path in files_under(files):
        try:
            header = read_header(path)
            if header.sop_class_uid not in CLASS_BY_UID:
                raise Quarantined(Reason.NOT_A_RADIOGRAPH, f"SOP class {header.sop_class_uid} is not taken by the node")
            copy = folder / f"{len(sources) + 1:03d}.dcm"
            _copy(path, copy, header)
        except (Quarantined, OSError) as error:
            console.print(f"[yellow]left out[/] {escape(str(path))}: {escape(str(error))}")
            continue
        sources.append(SentFile(copy, header))
    if not sources:
        raise Misconfigured("none of the files given is a DICOM image that can be sent")
    return sources


def _copy(path: Path, target: Path, header: Header) -> None:
    """Copy a file with File Meta Information that agrees with its data set, as a sender must announce it."""
    with path.open("rb") as source, target.open("wb") as copy:
        read_meta(source)
        meta = encode_meta(
            sop_class_uid=header.sop_class_uid,
            sop_instance_uid=header.sop_instance_uid,
            transfer_syntax_uid=header.transfer_syntax_uid,
            source_ae_title="DEMO",
        )
        copy.write(meta)
        shutil.copyfileobj(source, copy)


def _settings(home: Path, out: Path, port: int, pacs_port: int) -> tuple[Settings, Path]:
    config = out / "hilum.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "home": str(home),
                "receiver": {"port": port},
                "spool": {"minimum_free_bytes": 64 << 20},
                "destinations": {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": pacs_port}},
            }
        )
    )
    return configuration.load(config), config


@contextmanager
def _node(settings: Settings, config: Path, logs: Path) -> Iterator[None]:
    stop = threading.Event()
    node = Node(settings, config, logs=logs)
    try:
        node.start()
        watcher = threading.Thread(target=node.run, args=(stop,), name="supervisor")
        watcher.start()
    except HilumError:
        node.stop()
        raise
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _own_destination(settings: Settings) -> Destination:
    receiver = settings.receiver
    return Destination(ae_title=receiver.ae_title, host=receiver.host, port=receiver.port)


def _wait_for_receiver(settings: Settings) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            verification.echo(_own_destination(settings), calling_ae_title="DEMO", timeout_s=2)
            return
        except PeerUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _send(settings: Settings, sources: Sequence[SentFile], console: Console) -> None:
    outcomes = storage.send(
        _own_destination(settings),
        [OutgoingFile(s.header.sop_class_uid, s.header.sop_instance_uid, s.path) for s in sources],
        calling_ae_title="DEMO",
        connect_timeout_s=settings.delivery.connect_timeout_s,
        response_timeout_s=settings.delivery.response_timeout_s,
    )
    refused = [outcome for outcome in outcomes if outcome.status != 0x0000]
    if len(refused) == len(outcomes):
        raise PeerUnavailable(f"the node took none of {len(outcomes)} images: {refused[0].detail}")
    for outcome in refused:
        console.print(f"[yellow]not taken[/] {outcome.sop_instance_uid}: {outcome.detail}")


def _follow(database: Database, uids: Sequence[str], say: Callable[[str], None]) -> bool:
    """Say where the studies are until all have ended; False when they have not in time."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        with database.read() as tx:
            lines = [line for uid in uids for line in report.study_lines(tx, limit=1, study_instance_uid=uid)]
        states = [line.job_state for line in lines]
        if len(lines) == len(uids) and all(state in ENDED for state in states):
            return True
        say(_stage(states, len(uids)))
        time.sleep(0.1)
    return False


def _stage(states: Sequence[JobState | None], expected: int) -> str:
    if len(states) < expected or any(state is None for state in states):
        return "received; waiting until the study is complete"
    ended = sum(state in ENDED for state in states)
    many = f" ({ended} of {expected} studies ended)" if expected > 1 else ""
    if any(state is JobState.QUEUED for state in states):
        return "queued for a worker" + many
    if any(state is JobState.RUNNING for state in states):
        return "analysing" + many
    return "returning SEG and SR to the PACS" + many


def _report(
    database: Database, uid: str, sources: Sequence[SentFile], *, pacs: StandInArchive, out: Path, console: Console
) -> bool:
    """Print and keep what came of one study; return whether the PACS holds a SEG and an SR of it."""
    folder = out / "study" if len({s.header.study_instance_uid for s in sources}) == 1 else out / f"study-{uid}"
    folder.mkdir()
    segs, srs = (pacs.holds(OHIF.sop_class(kind).sop_class_uid, uid) for kind in (ResultKind.SEG, ResultKind.SR))
    paths: dict[str, list[Path]] = defaultdict(list)
    own = [source for source in sources if source.header.study_instance_uid == uid]
    for kind, found in (("source", [source.path for source in own]), ("seg", segs), ("sr", srs)):
        for number, path in enumerate(found, start=1):
            name = folder / (f"{kind}.dcm" if len(found) == 1 else f"{kind}-{number}.dcm")
            shutil.copyfile(path, name)
            paths[kind].append(name)
    with database.read() as tx:
        (line,) = report.study_lines(tx, limit=1, study_instance_uid=uid)
        job = report.job(tx, line.job_id) if line.job_id else None
        (folder / "audit.txt").write_text("\n".join(trail(tx, line.id)) + "\n", encoding="utf-8")
    if job is not None and job.summary is not None:
        terminal.print_summary(cast(Summary, job.summary), console)
        terminal.print_timings(terminal.stages(job), console)
    of_image: dict[str, list[Path]] = defaultdict(list)
    for seg in paths["seg"]:
        of_image[source_of_seg(seg)].append(seg)
    for number, (image_uid, found) in enumerate(of_image.items(), start=1):
        outlined = findings_of_segs(found, srs[0] if srs else None)
        source = next(s for s in own if s.header.sop_instance_uid == image_uid)
        name = folder / ("overlay.png" if len(of_image) == 1 else f"overlay-{number}.png")
        radiograph = pixels.read(source.path)
        overlay_png(radiograph, outlined, name)
        paths["overlay"].append(name)
    terminal.print_files(
        {
            "source": (paths["source"], "any DICOM viewer"),
            "seg": (paths["seg"], "OHIF, Weasis or 3D Slicer, together with the source"),
            "sr": (paths["sr"], "dsrdump FILE, or the SR panel of the viewer"),
            "overlay": (paths["overlay"], "any picture viewer"),
            "audit": ([folder / "audit.txt"], "any text editor"),
        },
        console,
    )
    if not segs:
        console.print(f"[yellow]The PACS holds no SEG of study {uid}[/]: the SR says why.", soft_wrap=True)
    if not srs:
        console.print(f"[red]The PACS holds no SR of study {uid}.[/]", soft_wrap=True)
    return bool(segs and srs)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    said = ""
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def say(text: str) -> None:
            nonlocal said
            progress.update(task, description=text)
            if text != said and not console.is_terminal:
                console.print(f"… {text}", highlight=False)
            said = text

        yield say
