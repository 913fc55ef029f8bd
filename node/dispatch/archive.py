"""How many instances an archive has of a study that still collects: one of the signs that it is complete."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from node.delivery.destinations import Destination
from node.dimse.scu import query
from node.errors import Misconfigured
from node.settings import Settings

log = structlog.get_logger()

COUNT_INTERVAL_S = 5.0
"""Pause between two questions to the archive about the same study."""

COUNTS_AT_ONCE = 2
"""Studies that the archive is asked about at the same time."""


@dataclass
class ArchiveCounts:
    """Asks the archive how many instances a study has, without making anyone wait for the answer."""

    settings: Settings
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(COUNTS_AT_ONCE, "archive-count"))
    _asked: dict[str, tuple[datetime, Future[int | None]]] = field(default_factory=dict)

    def get(self, study_instance_uid: str, now: datetime) -> int | None:
        """Return the latest answer; None while there is none."""
        name = self.settings.completion.count_from
        if name is None:
            return None
        asked = self._asked.get(study_instance_uid)
        if asked is None or (asked[1].done() and now - asked[0] > timedelta(seconds=COUNT_INTERVAL_S)):
            answer = self._result(asked[1]) if asked else None
            self._asked[study_instance_uid] = (now, self._pool.submit(self._ask, name, study_instance_uid))
            return answer
        return self._result(asked[1]) if asked[1].done() else None

    def forget(self, study_instance_uid: str) -> None:
        """Drop what is known of a study that was closed."""
        self._asked.pop(study_instance_uid, None)

    def _ask(self, name: str, study_instance_uid: str) -> int | None:
        destination = self.settings.destinations[name]
        if not isinstance(destination, Destination):
            raise Misconfigured(f"destination {name!r} answers no C-FIND")
        return query.count_instances(
            destination,
            study_instance_uid,
            calling_ae_title=self.settings.receiver.ae_title,
            timeout_s=self.settings.delivery.connect_timeout_s,
        )

    @staticmethod
    def _result(future: Future[int | None]) -> int | None:
        try:
            return future.result(timeout=0)
        except TimeoutError:
            return None
        except Exception as error:  # the count is optional: whatever keeps it from us, it is unknown
            log.warning("archive.count_unknown", error=f"{type(error).__name__}: {error}")
            return None
