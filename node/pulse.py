"""The pulse of a process in the database: that it is alive, since when, and what it is at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from node import watchdog as signs
from node.db import processes
from node.db.engine import Database
from node.db.processes import Progress
from node.errors import place_of
from node.watchdog import Watchdog

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 10.0
"""Pause between two rows; `node.health.troubles` takes a process for silent after several."""


class Pulse:
    """Writes the row of this process now and then, from a thread.

    Parameters
    ----------
    database
        For this alone; its actor names the row.
    component
        `dispatch`, `analysis`, `delivery`; `standby` is a dispatcher that waits for another one. It may change.
    device
        Of an analysis worker.
    progress
        Asked each time.
    watchdog
        Gets its signs between the rows, also where one could not be written: a database that hangs ends the signs.
    """

    def __init__(
        self,
        database: Database,
        component: str,
        *,
        device: str | None = None,
        progress: Callable[[], Progress] = Progress,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.component = component
        self._database, self._device = database, device
        self._progress, self._watchdog = progress, watchdog
        self._over = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._go_on, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it and remove the row, so that nobody misses a process that ended in order."""
        self._over.set()
        self._thread.join(INTERVAL_S)
        self._attempt(self._remove)

    def __enter__(self) -> Pulse:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _go_on(self) -> None:
        due_at = 0.0
        while not self._over.is_set():
            if time.monotonic() >= due_at:
                self._attempt(self._beat)
                due_at = time.monotonic() + INTERVAL_S
            if self._watchdog is not None:
                self._watchdog.beat()
            self._over.wait(signs.INTERVAL_S / 2)

    def _beat(self) -> None:
        progress = self._progress()
        with self._database.write() as tx:
            processes.beat(tx, self.component, device=self._device, progress=progress)

    def _remove(self) -> None:
        with self._database.write() as tx:
            processes.end(tx)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Do what needs the database, which may be away for a while; say so when that begins and when it is over."""
        try:
            step()
        except Exception as error:  # whatever it is, the work of this process does not depend on it
            if not self._failing:
                log.warning("pulse.failed", error=place_of(error))
            self._failing = True
        else:
            if self._failing:
                log.info("pulse.recovered")
            self._failing = False
