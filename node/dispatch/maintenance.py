"""What the dispatcher does now and then: it notes the head of the audit log, and removes what nothing waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from node.db import audit, processes
from node.db.engine import Database
from node.dispatch import anchors
from node.settings import Settings
from node.spool.store import Spool

INTERVAL_S: Final = 60.0
"""Pause between two times of the same step."""


PROCESS_KEPT_S: Final = 900.0
"""A process that was killed stays listed for so long."""


@dataclass
class Occasional:
    """A step that is done once in an interval; one that failed is tried again at once."""

    step: Callable[[datetime], None]
    interval_s: float = INTERVAL_S
    _done_at: datetime | None = None

    def __call__(self, now: datetime) -> None:
        """Do the step, if it is time; also where the clock was set back."""
        if self._done_at is not None and abs((now - self._done_at).total_seconds()) < self.interval_s:
            return
        self.step(now)
        self._done_at = now


def steps(settings: Settings, database: Database, spool: Spool) -> dict[str, Occasional]:
    """Return the steps by name, in the order in which they are done."""
    return {
        "anchor": Occasional(partial(anchor, settings, database)),
        "sweep": Occasional(partial(sweep, spool)),
        "forget": Occasional(partial(forget, settings, database, spool)),
    }


def anchor(settings: Settings, database: Database, now: datetime) -> None:
    """Note the head of the audit log in a file, so that `hilum verify-audit` notices rows that were cut off the end."""
    with database.read() as tx:
        head = audit.head(tx)
    anchors.note(settings.home, head, now=now)


def sweep(spool: Spool, _now: datetime) -> None:
    """Remove the unfinished files of processes that died."""
    spool.sweep_temporary()


def forget(settings: Settings, database: Database, spool: Spool, now: datetime) -> None:
    """Remove the records of requests for commitment that are too old to be reported on, and of processes long gone."""
    with database.write() as tx:
        processes.forget(tx, silent_s=PROCESS_KEPT_S)
    spool.commitments.remove_transactions_before(now - timedelta(seconds=settings.delivery.retry_for_s))
