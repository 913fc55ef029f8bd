"""The dispatcher: takes in what arrived, closes complete studies, sends what is due, takes back what stalled.

One dispatcher works at a time for a spool; a second one waits for its lock and takes over. Each round is made of
independent steps: a broken broker, database or archive stops only the step that needs it.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from node.clock import Clock, utc_now
from node.db import audit, deliveries, jobs, studies, workers
from node.db.engine import Database
from node.db.states import InstanceState
from node.delivery.destinations import Destination
from node.dicom.header import read_header
from node.dimse.scu import query
from node.dispatch import anchors, commitments
from node.dispatch.queue import Device, Sender
from node.errors import HilumError, Misconfigured, Quarantined
from node.intake import ingest, routing
from node.intake.completion import decide
from node.settings import Settings
from node.spool.store import Spool

log = structlog.get_logger()

COUNT_INTERVAL_S = 5.0
"""Pause between two questions to the archive about the same study."""

ANCHOR_INTERVAL_S = 60.0
"""Pause between two notes of the audit chain's head."""
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


@dataclass
class Dispatcher:
    """One dispatcher with what it works on; `run` loops until told to stop."""

    settings: Settings
    database: Database
    spool: Spool
    sender: Sender
    actor: str
    clock: Clock = utc_now

    def __post_init__(self) -> None:
        self._counts = ArchiveCounts(self.settings)
        self._failing: set[str] = set()
        self._anchored_at: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        """Go round until `stop` is set."""
        while not stop.is_set():
            self.round()
            stop.wait(self.settings.dispatch.interval_s)

    def round(self) -> None:
        """Do each step once; a step that fails is logged when it begins to fail and when it recovers."""
        for step in (
            self.take_in,
            self.take_in_commitments,
            self.close_studies,
            self.take_back,
            self.send_analyses,
            self.send_deliveries,
            self.anchor,
        ):
            self._attempt(step, step.__name__)

    def take_in(self) -> None:
        """Record what the receivers made durable."""
        ingest.take_in(
            self.spool,
            self.database,
            maximum_bytes=self.settings.spool.maximum_object_bytes,
            actor=self.actor,
            clock=self.clock,
        )

    def take_in_commitments(self) -> None:
        """Record what archives reported about storage commitment."""
        commitments.take_in(
            self.spool.commitments, self.database, self.settings.delivery, actor=self.actor, clock=self.clock
        )

    def close_studies(self) -> None:
        """Close the studies that are complete, and create their jobs."""
        with self.database.read() as tx:
            waiting = studies.open_studies(tx)
        for study in waiting:
            self._attempt(partial(self._close, study), f"close study {study.id}")

    def _close(self, study: studies.OpenStudy) -> None:
        now = self.clock()
        reason = decide(
            self.settings.completion,
            now=now,
            opened_at=study.opened_at,
            last_arrival_at=study.last_arrival_at,
            outcomes=study.outcomes,
            held=study.instances,
            archive_count=self._counts.get(study.study_instance_uid, now),
        )
        if reason is None:
            return
        with self.database.read() as tx:
            instances = studies.instances_of(tx, study.id, revision=study.revision)
        decision = self._route(instances)  # reads a file, so before anyone has to wait for the write lock
        with self.database.write() as tx:
            job_id = studies.complete(tx, study.id, reason=reason, decision=decision, actor=self.actor, now=now)
        self._counts.forget(study.study_instance_uid)
        log.info("study.completed", job_id=job_id, reason=reason, revision=study.revision)

    def take_back(self) -> None:
        """Give jobs and deliveries of silent workers to others."""
        now = self.clock()
        with self.database.write() as tx:
            taken = jobs.take_back(
                tx, maximum_attempts=self.settings.analysis.maximum_attempts, actor=self.actor, now=now
            )
            returned = deliveries.take_back(tx, actor=self.actor, now=now)
        for job_id in taken:
            log.warning("job.taken_back", job_id=job_id)
        if returned:
            log.warning("deliveries.taken_back", count=returned)

    def send_analyses(self) -> None:
        """Send a message for each job that is due; committed first, sent then, marked last."""
        now = self.clock()
        dispatch = self.settings.dispatch
        with self.database.read() as tx:
            due = jobs.due(tx, now=now, resend_after_s=dispatch.resend_after_s, window=dispatch.window)
            device = self._device(workers.devices(tx, now=now, alive_s=3 * self.settings.analysis.lease_s))
        for job in due:
            queue = self.sender.analyse(job.id, device=device, priority=job.priority)
            with self.database.write() as tx:
                jobs.mark_sent(tx, job.id, queue=queue, actor=self.actor, now=self.clock())

    def send_deliveries(self) -> None:
        """Send a message for each job with results that are due."""
        now = self.clock()
        with self.database.read() as tx:
            due = deliveries.due_jobs(
                tx, now=now, resend_after_s=self.settings.dispatch.resend_after_s, window=self.settings.dispatch.window
            )
        for job in due:
            self.sender.deliver(job.id, priority=job.priority)
            with self.database.write() as tx:
                deliveries.mark_sent(tx, job.id, now=self.clock())

    def anchor(self) -> None:
        """Note the head of the audit chain in a file, so that `hilum verify-audit` misses rows cut off the end.

        Leftovers of dead processes, and notes of requests for commitment that nothing waits for any more, are swept at
        the same pace.
        """
        now = self.clock()
        if self._anchored_at is not None and abs((now - self._anchored_at).total_seconds()) < ANCHOR_INTERVAL_S:
            return
        with self.database.read() as tx:
            anchors.note(self.settings.home, audit.head(tx), now=now)
        self.spool.sweep_temporary()
        self.spool.commitments.remove_transactions_before(now - timedelta(seconds=self.settings.delivery.retry_for_s))
        self._anchored_at = now

    def _route(self, instances: tuple[studies.StoredInstance, ...]) -> studies.RoutingDecision | None:
        """Route by the first image that can be read, an accepted one if there is one."""
        ranked = sorted(instances, key=lambda i: (i.state is not InstanceState.ACCEPTED, i.id))
        for instance in ranked:
            header = None
            try:
                header = read_header(self.spool.received_path(instance.digest))
            except (Quarantined, OSError):
                if instance is not ranked[-1]:
                    continue
            facts = routing.StudyFacts.of(header, instance.calling_ae_title)
            return routing.route(facts, self.settings.rules, self.settings.destinations)
        return None

    def _device(self, alive: set[str]) -> Device:
        if self.settings.analysis.device != "auto":
            return self.settings.analysis.device
        return "cuda" if "cuda" in alive else "cpu"

    def _attempt(self, step: Callable[[], None], name: str) -> None:
        try:
            step()
        except HilumError as error:
            self._complain(name, str(error))
        except Exception as error:  # a round must go on: what failed is logged, and tried again in the next one
            self._complain(name, f"{type(error).__name__}: {error}")
        else:
            if name in self._failing:
                self._failing.discard(name)
                log.info("dispatch.recovered", step=name)

    def _complain(self, name: str, error: str) -> None:
        if name not in self._failing:
            self._failing.add(name)
            log.error("dispatch.step_failed", step=name, error=error)


@contextmanager
def sole(lock: Path, stop: threading.Event) -> Iterator[bool]:
    """Wait for the dispatcher's lock; yields False when told to stop before it was free."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        waiting = False
        while not stop.is_set():
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waiting:
                    log.info("dispatch.standby", why="another dispatcher works on this spool")
                    waiting = True
                stop.wait(1.0)
                continue
            yield True
            return
        yield False
