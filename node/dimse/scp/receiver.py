"""The receiver as deployed: N processes on one port, started anew when one dies.

The processes are spawned, never forked, and end with this one: each holds a pipe whose other end is here.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

import structlog

from node.dimse.scp.server import serve
from node.errors import HilumError, Misconfigured
from node.log import configure
from node.settings import Settings, notify_socket
from node.spool.store import Spool
from node.watchdog import Watchdog

log = structlog.get_logger(__name__)

START_TIMEOUT_S: Final = 30.0
RESTART_DELAY_S: Final = 1.0
STARTS: Final = 3
STOP_TIMEOUT_S: Final = 15.0


def run(
    settings: Settings,
    spool: Spool,
    *,
    stop: threading.Event,
    single: bool = False,
    ready: Callable[[int], None] = lambda _port: None,
) -> None:
    """Receive until `stop` is set.

    Parameters
    ----------
    spool
        Opened with `Spool.create`.
    single
        Serve in this process, without children.
    ready
        Called with the port once connections are accepted; not where `stop` is set before.

    Raises
    ------
    Misconfigured
        The address is in use or a process cannot start.
    """
    if single:
        spool.sweep_temporary()
        serve(settings, spool, stop=stop, ready=ready)
        return
    with _reserve(settings.receiver.host, settings.receiver.port) as reserved:
        port = int(reserved.getsockname()[1])
        bound = settings.model_copy(update={"receiver": settings.receiver.model_copy(update={"port": port})})
        children = [_Child(bound, spool.root) for _ in range(settings.receiver.processes)]
        try:
            for index, child in enumerate(children):
                children[index] = _started(child, stop)
            if not stop.is_set():
                ready(port)
            watchdog = Watchdog(notify_socket())
            while not stop.is_set():
                watchdog.beat()
                wait([child.process.sentinel for child in children], timeout=0.2)
                children = [child if child.process.is_alive() else _replace(child, stop) for child in children]
        finally:
            for child in children:
                child.ask_to_stop()
            for child in children:
                child.end()


def _started(child: _Child, stop: threading.Event) -> _Child:
    """Wait until a process accepts connections, and start another for one that is killed meanwhile, a few times.

    Raises
    ------
    Misconfigured
        It cannot start, or is killed each time.
    """
    for _ in range(STARTS):
        if child.await_ready(stop) or stop.wait(RESTART_DELAY_S):  # a signal to the whole group sets `stop` in a moment
            return child
        log.error("receiver.died", exit_code=child.process.exitcode)
        child.end()
        child = _Child(child.settings, child.root)
    child.end()
    raise Misconfigured(f"a receiver process did not start: exit code {child.process.exitcode}")


def _replace(child: _Child, stop: threading.Event) -> _Child:
    """Start a process for one that died, not faster than once in `RESTART_DELAY_S`."""
    child.end()
    if stop.is_set():
        return child
    log.error("receiver.died", exit_code=child.process.exitcode)
    stop.wait(max(0.0, child.started + RESTART_DELAY_S - time.monotonic()))
    return _Child(child.settings, child.root)


class _Child:
    """One receiver process."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self.settings, self.root, self.started = settings, root, time.monotonic()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_run, args=(settings, root, theirs), name="hilum-receiver")
        self.process.start()
        theirs.close()

    def await_ready(self, stop: threading.Event) -> bool:
        """Wait until it accepts connections, or `stop` is set; False: it was killed.

        Raises
        ------
        Misconfigured
            It cannot start.
        """
        while not (answered := self._pipe.poll(0.1)) and time.monotonic() < self.started + START_TIMEOUT_S:
            if stop.is_set():
                return True
        try:
            answer = self._pipe.recv() if answered else "no answer"
        except (EOFError, OSError):
            self.process.join(STOP_TIMEOUT_S)
            answer = f"exit code {self.process.exitcode}"
        killed = (self.process.exitcode or 0) < 0
        if answer != "ready" and not killed and not stop.is_set():
            raise Misconfigured(f"a receiver process did not start: {answer}")
        return not killed

    def ask_to_stop(self) -> None:
        """Close its pipe, which tells it to go down."""
        self._pipe.close()

    def end(self) -> None:
        """Wait for its end, and enforce it."""
        self._pipe.close()
        self.process.join(STOP_TIMEOUT_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _reserve(host: str, port: int) -> socket.socket:
    """Bind the port, without listening, so that port 0 is resolved once and nobody else takes it meanwhile.

    SO_REUSEPORT would let a second receiver share the port of a first unnoticed; so it is bound without it once.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            address = (address[0], probe.getsockname()[1], *address[2:])
        reserved = socket.socket(family, socket.SOCK_STREAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        raise Misconfigured(f"cannot use {host} port {port}: {error.strerror}") from error
    return reserved


def _run(settings: Settings, root: Path, pipe: Pipe) -> None:
    """Body of a receiver process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Watchdog(notify_socket()).start()
    threading.Thread(target=_await_end_of, args=(pipe, stop), daemon=True).start()
    configure(level=settings.log_level, style=settings.log_format, component="receive")
    spool = Spool(root)
    spool.sweep_temporary()
    try:
        serve(settings, spool, stop=stop, ready=lambda _port: _say(pipe, "ready"))
    except HilumError as error:
        _say(pipe, str(error))
        raise SystemExit(1) from error
    finally:
        spool.close()


def _say(pipe: Pipe, word: str) -> None:
    """Tell the parent, if it is still there."""
    with contextlib.suppress(OSError):
        pipe.send(word)


def _await_end_of(pipe: Pipe, stop: threading.Event) -> None:
    """Set `stop` when the parent closes its end or dies."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    stop.set()
