"""A lease kept alive while work goes on: a thread that beats until the block ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from node.errors import StaleClaim

log = structlog.get_logger()


@contextmanager
def beating(beat: Callable[[], None], *, lease_s: float) -> Iterator[None]:
    """Call `beat` three times within each lease; a lost lease ends the beating and shows when results are written."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(lease_s / 3):
            try:
                beat()
            except StaleClaim:
                return
            except Exception as error:  # the database is away: the lease may run out, and writing will notice
                log.warning("heartbeat.failed", error=type(error).__name__)

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
