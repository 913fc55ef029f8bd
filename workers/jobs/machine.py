"""Whether this process's machine can do a job at all: a spool to read and write, room for results, sound bundles.

Asked before each job is claimed, so that no job is begun that could only be given back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from models.errors import BundleRefused
from node.errors import Misconfigured, SpoolUnavailable
from node.spool.store import Spool
from workers.pipelines.networks import Networks

log = structlog.get_logger()

ROOM_BYTES: Final = 4 << 20
"""Free space without which no analysis is begun; the findings and results of a radiograph take about 1 MB."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 15.0


class Machine:
    """What was last seen of the machine; while it is unwell, it is looked at again after a pause that grows."""

    def __init__(self, spool: Spool, networks: Networks, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._spool, self._networks, self._monotonic = spool, networks, monotonic
        self._guard = threading.Lock()
        self._doubted = False
        self._trouble: str | None = None
        self._pause_s, self._look_again_at = FIRST_PAUSE_S, 0.0

    def is_well(self) -> bool:
        """Look at the machine; that it stops doing jobs is said once, and so is that it goes on."""
        with self._guard:
            if self._trouble is not None and self._monotonic() < self._look_again_at:
                return False
            trouble = self._look()
            if trouble is not None:
                self._pause(trouble)
            elif self._trouble is not None:
                log.info("worker.goes_on", was=self._trouble)
                self._pause_s = FIRST_PAUSE_S
            self._trouble = trouble
            return trouble is None

    def doubt(self, error: BaseException) -> None:
        """Have the bundles looked at, too, before the next job: reading them all is too much for each time."""
        if isinstance(error, BundleRefused | Misconfigured):
            with self._guard:
                self._doubted = True

    def _look(self) -> str | None:
        try:
            self._spool.require_usable(room_bytes=ROOM_BYTES)
            if self._doubted:
                self._networks.installed()
                self._doubted = False
        except (SpoolUnavailable, BundleRefused, Misconfigured) as error:
            return str(error)
        except OSError as error:
            return f"the bundles cannot be read: {error.strerror}"
        return None

    def _pause(self, trouble: str) -> None:
        if self._trouble is None:
            log.critical("worker.stopped_taking_jobs", why=trouble, jobs="wait, and are not charged with it")
            self._pause_s = FIRST_PAUSE_S
        self._look_again_at = self._monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
