"""The embedded node: Redis, receiver, dispatcher and workers as child processes, restarted when one dies."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
import structlog

from node import settings as configuration
from node.db import belonging
from node.db.engine import Database
from node.dispatch import embedded
from node.errors import Misconfigured
from node.identity import actor
from node.settings import ReceiverSettings, Settings
from workers.process.signs import Signs

log = structlog.get_logger()

FIRST_RESTART_DELAY_S = 0.5
MAXIMUM_RESTART_DELAY_S = 30.0
HEALTHY_AFTER_S = 10.0
DEATHS_AT_ONCE = 3
"""So many deaths soon after a start are followed by a start at once; then the pauses grow."""
STOP_TIMEOUT_S = 15.0
RECEIVER_SILENT_S = 10.0
BROKER_EVERY_S = 3.0
BROKER_MISSES = 3
"""So many unanswered pings in a row, and the broker is started again."""
_PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    output: Path | None = None
    silent_after_s: float = float("inf")
    """So long without a sign of life of it, or of a process of its own, and that one is taken for hung."""
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _soon: int = 0
    _start_again_at: float = 0.0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process; it dies with its parent."""
        stream = self.output.open("ab") if self.output else None
        try:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  one system call, no lock
                start_new_session=True,
            )
        finally:
            if stream:
                stream.close()
        self._started_at = time.monotonic()
        log.info("child.started", child=self.name, pid=self._process.pid)

    def watch(self) -> None:
        """Start the process again if it died, later each time that it dies soon."""
        if self._process is None:
            return
        code = self._process.poll()
        if code is None:
            return
        now = time.monotonic()
        if self._start_again_at == 0.0:
            self._soon = 0 if now - self._started_at > HEALTHY_AFTER_S else self._soon + 1
            growth = 2.0 ** min(max(0, self._soon - DEATHS_AT_ONCE), 30)
            delay_s = min(FIRST_RESTART_DELAY_S * growth, MAXIMUM_RESTART_DELAY_S)
            log.error("child.died", child=self.name, exit_code=code, restart_in_s=delay_s)
            self._start_again_at = now + delay_s
        elif now >= self._start_again_at:
            self._start_again_at = 0.0
            self.start()

    def end_silent(self, signs: Signs) -> None:
        """Kill what has given signs of life and gives none any more, so that it is started again.

        That may be the process itself, with all of its own, or one of those: then it starts another.
        """
        if self.pid is None:
            return
        for pid, seconds in signs.silent(self.silent_after_s).items():
            why = f"no sign of life for {seconds:.0f} s"
            if pid == self.pid:
                signs.forget(pid)
                self.end_hung(why)
            elif _descends(pid, self.pid):
                signs.forget(pid)
                log.error("child.hung", child=self.name, pid=pid, why=why)
                os.kill(pid, signal.SIGKILL)

    def end_hung(self, why: str) -> None:
        """Kill the process with all of its own."""
        if self.pid is not None:
            log.error("child.hung", child=self.name, pid=self.pid, why=why)
            os.killpg(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ask the process to end; kill it if it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@dataclass
class Node:
    """All processes of the embedded node."""

    settings: Settings
    config: Path | None
    logs: Path | None = None
    children: list[Child] = field(default_factory=list)
    _lock: IO[str] | None = None
    _signs: Signs = field(default_factory=Signs)
    _broker: BrokerWatch | None = None

    def start(self) -> None:
        """Prepare the folders and the schema, and start every process.

        Raises
        ------
        Misconfigured
            There is no Redis server, the database cannot be used or belongs to another spool, or another node works on
            the same data.
        """
        self.settings.home.mkdir(parents=True, exist_ok=True)
        self._lock = (self.settings.home / "up.lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise Misconfigured(f"another `hilum up` already runs with the data in {self.settings.home}") from error
        _require_free(self.settings.receiver)
        if self.logs:
            self.logs.mkdir(parents=True, exist_ok=True)
        with Database(self.settings.resolved_database_url, actor=actor("up")) as database:
            database.migrate()
            database.require_writable()
            belonging.spool_of(database, self.settings.home / "spool")
        if self.settings.broker_url is None:
            embedded.require_private(self.settings)
            self._broker = BrokerWatch(self._add("redis", embedded.command(self.settings)), self.settings)
            embedded.wait_until_ready(embedded.socket_path(self.settings))
            log.info("broker.ready", server=embedded.version(embedded.socket_path(self.settings)))
        patience_s = self.settings.watchdog_s
        for name, arguments, silent_after_s in (
            ("receive", ["receive"], max(patience_s / 6, RECEIVER_SILENT_S)),  # it never waits for the database
            ("dispatch", ["dispatch"], patience_s),
            ("work-analysis", ["work"], patience_s),
            ("work-delivery", ["work", "--delivery"], patience_s),
        ):
            self._add(name, [sys.executable, "-P", "-m", "workers.cli", *arguments], silent_after_s)

    def run(self, stop: threading.Event) -> None:
        """Watch the processes until told to stop, then end them in reverse order."""
        try:
            while not stop.wait(0.2):
                self._signs.read()
                for child in self.children:
                    child.watch()
                    child.end_silent(self._signs)
                if self._broker is not None:
                    self._broker.look()
        finally:
            self.stop()

    def stop(self) -> None:
        """End every process, the receiver first and Redis last."""
        for child in sorted(self.children, key=lambda c: (c.name == "redis", c.name != "receive")):
            child.stop()
        self._signs.close()
        if self._lock is not None:
            self._lock.close()

    def _add(self, name: str, command: Sequence[str], silent_after_s: float = float("inf")) -> Child:
        output = self.logs / f"{name}.log" if self.logs else None
        environment = configuration.for_children(self.config, notify=self._signs.address)
        child = Child(name, command, environment, output, silent_after_s)
        child.start()
        self.children.append(child)
        return child


@dataclass
class BrokerWatch:
    """Asks the private Redis now and then, and ends it where it does not answer, or cannot be reached any more."""

    child: Child
    settings: Settings
    _missed: int = 0
    _next_at: float = 0.0

    def look(self) -> None:
        """Ask it, if it is time."""
        if self.child.pid is None or time.monotonic() < self._next_at:
            self._missed = 0 if self.child.pid is None else self._missed
            return
        answers = embedded.answers(embedded.socket_path(self.settings))
        self._next_at = time.monotonic() + BROKER_EVERY_S
        self._missed = 0 if answers else self._missed + 1
        if self._missed >= BROKER_MISSES:
            self._missed = 0
            self.child.end_hung(f"no answer on {embedded.socket_path(self.settings)}")


def _descends(pid: int, ancestor: int) -> bool:
    try:
        return any(one.pid == ancestor for one in psutil.Process(pid).parents())
    except psutil.NoSuchProcess:
        return False


def _require_free(receiver: ReceiverSettings) -> None:
    """Say at once, and not in the log of a child, that the port is taken."""
    family = socket.AF_INET6 if ":" in receiver.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((receiver.host, receiver.port))
        except OSError as error:
            raise Misconfigured(
                f"cannot listen on {receiver.host}:{receiver.port} ({error.strerror}): is another program using it? "
                "Set `receiver.port` or `receiver.host`"
            ) from error


def _die_with_parent() -> None:
    """Ask Linux to send SIGTERM when the parent dies, so that nothing is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
