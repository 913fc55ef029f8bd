"""A lease kept alive while work goes on: a thread that beats until the block ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from node.errors import StaleClaim

log = structlog.get_logger()


@dataclass
class Lease:
    """What this process knows of its lease without asking; also after it stood still for a while."""

    lease_s: float
    _confirmed_at: float = field(default_factory=time.monotonic)
    _lost: bool = False

    @property
    def holds(self) -> bool:
        """Whether nobody else can have been given the work."""
        return not self._lost and time.monotonic() - self._confirmed_at < self.lease_s

    def confirm(self, at: float) -> None:
        """Note that it was extended by a call that began at a moment of the monotonic clock."""
        self._confirmed_at = at

    def lose(self) -> None:
        """Note that somebody else has the work."""
        self._lost = True


@contextmanager
def beating(beat: Callable[[], None], *, lease_s: float) -> Iterator[Lease]:
    """Call `beat` three times within each lease; a lost lease ends the beating and shows when results are written."""
    stop, lease = threading.Event(), Lease(lease_s)

    def run() -> None:
        while not stop.wait(lease_s / 3):
            begun = time.monotonic()
            try:
                beat()
                lease.confirm(begun)
            except StaleClaim:
                lease.lose()
                return
            except Exception as error:  # the database is away: the lease may run out, and writing will notice
                log.warning("heartbeat.failed", error=type(error).__name__)

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join(timeout=5)
