"""A whole node under test: real processes, a real broker, a configuration of its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from models import phantom
from node import settings as configuration
from node.db import audit, report
from node.db.audit import Action
from node.db.engine import Database
from node.db.report import StudyLine
from node.db.states import JobState
from node.delivery.destinations import Destination
from node.delivery.outcome import OutgoingFile
from node.dicom.header import read_header
from node.dicom.part10 import read_meta
from node.dimse.archive import reserved_port
from node.dimse.scu import storage, verification
from node.errors import PeerUnavailable
from node.settings import Settings
from node.spool.store import Spool
from tests.support.peers.processes import listening
from tests.support.waiting import wait_for
from workers.process.supervisor import Child, Node

ENDED = {JobState.DONE, JobState.UNDELIVERED, JobState.FAILED}


@dataclass(frozen=True)
class StoredResult(report.ResultLine):
    """A result, and where its bytes lie."""

    path: Path


@dataclass
class RunningNode:
    """One node with its processes."""

    settings: Settings
    config: Path
    supervisor: Node
    database: Database
    logs: Path

    @property
    def address(self) -> Destination:
        """Where it listens."""
        receiver = self.settings.receiver
        return Destination(ae_title=receiver.ae_title, host=receiver.host, port=receiver.port)

    def child(self, name: str) -> Child:
        """Return one supervised process."""
        return next(child for child in self.supervisor.children if child.name == name)

    def kill(self, name: str, *, grandchild: bool = False) -> None:
        """Send SIGKILL to a process, or to a child of it (a pool process, a receiver process)."""
        pid = self.child(name).pid
        if pid is None:
            return
        victims = psutil.Process(pid).children() if grandchild else [psutil.Process(pid)]
        for victim in victims[:1]:
            os.kill(victim.pid, signal.SIGKILL)

    def send(self, files: Sequence[Path], *, calling_ae_title: str = "ROUTER") -> list[int | None]:
        """Send files over one association and return the statuses."""
        outcomes = storage.send(
            self.address,
            [_outgoing(path) for path in files],
            calling_ae_title=calling_ae_title,
            connect_timeout_s=10,
            response_timeout_s=120,
        )
        return [outcome.status for outcome in outcomes]

    def send_until_taken(self, files: Sequence[Path], *, timeout_s: float = 120.0) -> None:
        """Send as a router does: again and again until every file was answered with Success."""
        left = list(files)

        def attempt() -> bool:
            nonlocal left
            try:
                statuses = self.send(left)
            except PeerUnavailable:
                return False
            left = [path for path, status in zip(left, statuses, strict=True) if status != 0x0000]
            return not left

        wait_for(attempt, timeout_s=timeout_s, every_s=0.2, what="every file taken")

    def study(self, uid: str) -> StudyLine | None:
        """Return the study's line, if there is one."""
        with self.database.read() as tx:
            lines = report.study_lines(tx, limit=1, study_instance_uid=uid)
        return lines[0] if lines else None

    def wait_until_ended(self, uid: str, *, revision: int = 1, timeout_s: float = 90.0) -> StudyLine:
        """Wait until the study's revision has ended, one way or the other."""

        def ended() -> StudyLine | None:
            line = self.study(uid)
            done = line and line.revision >= revision and line.job_state in ENDED and line.state == "complete"
            return line if done else None

        found: StudyLine = wait_for(ended, timeout_s=timeout_s, what=f"study {uid} ended (now: {self.study(uid)})")
        return found

    def results(self, line: StudyLine) -> Sequence[StoredResult]:
        """Return the results of the study's latest job."""
        assert line.job_id is not None
        spool = Spool(self.settings.home / "spool")
        with self.database.read() as tx:
            found = report.result_lines(tx, line.job_id)
        return [StoredResult(**vars(result), path=spool.result_path(result.sha256)) for result in found]

    def events(self, action: Action) -> list[audit.AuditEvent]:
        """Return the events of one kind in the audit log."""
        with self.database.read() as tx:
            return [event for event in audit.events(tx) if event.action == action]

    def log_text(self) -> str:
        """Return everything that any process has logged."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.logs.glob("*.log")))


@contextmanager
def running_node(
    folder: Path, *, destinations: dict[str, Any], refuses: bool = False, **overrides: Any
) -> Iterator[RunningNode]:
    """Start a node in `folder`; settings in `overrides` replace the quick defaults of tests.

    `refuses` says that it will let nobody in, so that it is ready as soon as it listens.
    """
    with reserved_port() as port:
        config = _configuration(folder, destinations, port, overrides)
        settings = configuration.load(config)
        stop = threading.Event()
        supervisor = Node(settings, config, logs=folder / "logs")
        supervisor.start()
        watcher = threading.Thread(target=supervisor.run, args=(stop,))
        watcher.start()
        node = RunningNode(
            settings, config, supervisor, Database(settings.resolved_database_url, actor="test"), folder / "logs"
        )
        try:
            _await_receiver(node, refuses=refuses)
            yield node
        finally:
            node.database.close()
            stop.set()
            watcher.join()


def _configuration(folder: Path, destinations: dict[str, Any], port: int, overrides: dict[str, Any]) -> Path:
    """Write the configuration of a node whose times are short."""
    values: dict[str, Any] = {
        "home": str(folder / "home"),
        "log_format": "json",
        "receiver": {"port": port},
        "spool": {"minimum_free_bytes": 0},
        "completion": {"release_s": 0.3, "quiet_s": 2.0, "cap_s": 60.0},
        "dispatch": {"interval_s": 0.1, "resend_after_s": 3.0},
        "analysis": {"lease_s": 6.0, "device": "cpu"},
        "delivery": {
            "first_delay_s": 0.5,
            "maximum_delay_s": 2.0,
            "breaker_open_s": 1.0,
            "connect_timeout_s": 5.0,
            "response_timeout_s": 20.0,
        },
        "destinations": destinations,
    }
    for name, value in overrides.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "hilum.yaml"
    config.write_text(yaml.safe_dump(values))
    return config


def _await_receiver(node: RunningNode, *, refuses: bool) -> None:
    try:
        wait_for(lambda: listening(node.settings.receiver.port) if refuses else _answers(node))
    except AssertionError as error:
        raise AssertionError(f"the receiver does not answer; log:\n{node.log_text()}") from error


def phantom_file(folder: Path, seed: int, *, rows: int = 512, columns: int = 450, **options: Any) -> Path:
    """Write a small phantom as its own study."""
    path = folder / f"phantom-{seed}.dcm"
    phantom.write(path, phantom.generate(seed, rows=rows, columns=columns), **options)
    return path


def study_uid(path: Path) -> str:
    """Return the Study Instance UID of a file."""
    return read_header(path).study_instance_uid


def dataset_bytes(path: Path) -> bytes:
    """Return what a C-STORE carries of a Part 10 file: everything after the File Meta Information."""
    with path.open("rb") as file:
        read_meta(file)
        return file.read()


def _outgoing(path: Path) -> OutgoingFile:
    header = read_header(path)
    return OutgoingFile(header.sop_class_uid, header.sop_instance_uid, path)


def _answers(node: RunningNode) -> bool:
    if not listening(node.settings.receiver.port):
        return False
    try:
        verification.echo(node.address, calling_ae_title="TEST", timeout_s=2)
    except PeerUnavailable:
        return False
    return True
