"""The dispatcher: records what was received, closes complete studies, sends what is due, reclaims what stalled.

One dispatcher works at a time for a spool; a second one waits for its lock and takes over. Each round is made of
independent steps: a broken broker, database or archive stops only the step that needs it.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from node import pipelines
from node.db import deliveries, jobs, studies, workers
from node.db.engine import Database
from node.db.states import InstanceState
from node.dicom.header import read_header
from node.dispatch import commitments, maintenance
from node.dispatch.archive import ArchiveCounts
from node.dispatch.clock import ClockWatch
from node.dispatch.queue import Device, Sender, associations_of
from node.errors import HilumError, Quarantined
from node.intake import ingest, routing
from node.intake.completion import CompletionReason, decide
from node.settings import CompletionSettings, Settings
from node.spool.store import Spool

log = structlog.get_logger()


@dataclass
class Dispatcher:
    """One dispatcher with what it works on; `run` loops until told to stop."""

    settings: Settings
    database: Database
    spool: Spool
    sender: Sender
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._counts = ArchiveCounts(self.settings)
        self._maintenance = maintenance.steps(self.settings, self.database, self.spool)
        self._clock = ClockWatch(self.settings, self.database, self.monotonic)
        self._failing: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Go round until `stop` is set."""
        while not stop.is_set():
            self.round()
            stop.wait(self.settings.dispatch.interval_s)

    def round(self) -> None:
        """Do each step once; a step that fails is logged when it begins to fail and when it recovers."""
        for step in (
            self.watch_clock,
            self.ingest,
            self.record_commitments,
            self.close_studies,
            self.reclaim,
            self.send_analyses,
            self.send_deliveries,
        ):
            self._attempt(step, step.__name__)
        for name, occasional in self._maintenance.items():
            self._attempt(partial(occasional, self.database.clock()), name)

    def watch_clock(self) -> None:
        """Let what rows wait for follow a clock that was set, and believe no moment that cannot be."""
        self._clock.check()

    def ingest(self) -> None:
        """Record what the receivers made durable."""
        ingest.ingest(
            self.spool,
            self.database,
            rules=self.settings.rules,
            maximum_bytes=self.settings.spool.maximum_object_bytes,
        )

    def record_commitments(self) -> None:
        """Record what archives reported about storage commitment."""
        commitments.record_reports(self.spool.commitments, self.database, self.settings.delivery)

    def close_studies(self) -> None:
        """Close the studies that are complete, and create their jobs."""
        with self.database.read() as tx:
            waiting = studies.open_studies(tx)
        for study in waiting:
            self._attempt(partial(self._close, study), f"close study {study.id}")

    def _close(self, study: studies.OpenStudy) -> None:
        now = self.database.clock()
        if self._whole(study, self.settings.completion, now) is None:
            return
        with self.database.read() as tx:
            instances = studies.instances_of(tx, study.id, revision=study.revision)
        decision = self._route(instances)  # reads a file, so before anyone has to wait for the write lock
        settings = self.settings.completion
        if decision is not None:
            settings = pipelines.named(decision.pipeline).completion(settings)
        reason = self._whole(study, settings, now)
        if reason is None:
            return
        with self.database.write() as tx:
            job_id = studies.complete(tx, study.id, reason=reason, decision=decision)
        self._counts.forget(study.study_instance_uid)
        log.info("study.completed", job_id=job_id, reason=reason, revision=study.revision)

    def _whole(self, study: studies.OpenStudy, settings: CompletionSettings, now: datetime) -> CompletionReason | None:
        """Say why a study is complete by these settings; None: it is not."""
        return decide(
            settings,
            now=now,
            opened_at=study.opened_at,
            last_arrival_at=study.last_arrival_at,
            outcomes=study.outcomes,
            held=study.instances,
            archive_count=self._counts.get(study.study_instance_uid, now),
        )

    def reclaim(self) -> None:
        """Give jobs and deliveries whose lease ran out to other workers."""
        with self.database.write() as tx:
            job_ids = jobs.reclaim(tx, maximum_attempts=self.settings.analysis.maximum_attempts)
            count = deliveries.reclaim(tx)
        for job_id in job_ids:
            log.warning("job.taken_back", job_id=job_id)
        if count:
            log.warning("deliveries.taken_back", count=count)

    def send_analyses(self) -> None:
        """Send a message for each job that is due; committed first, sent then, marked last."""
        dispatch = self.settings.dispatch
        with self.database.read() as tx:
            due = jobs.due(tx, resend_after_s=dispatch.resend_after_s, window=dispatch.window)
            device = self._device(workers.devices(tx, alive_s=3 * self.settings.analysis.lease_s))
        for job in due:
            queue = self.sender.analyse(job.id, device=device, priority=job.priority)
            with self.database.write() as tx:
                jobs.mark_sent(tx, job.id, queue=queue)

    def send_deliveries(self) -> None:
        """Send a message for each job and destination with something due."""
        with self.database.read() as tx:
            due = deliveries.due(
                tx,
                associations=associations_of(self.settings),
                resend_after_s=self.settings.dispatch.resend_after_s,
            )
        for one in due:
            self.sender.deliver(one.job_id, one.destination, priority=one.priority)
            with self.database.write() as tx:
                deliveries.mark_sent(tx, one.job_id, one.destination)

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
def leader_lock(lock: Path, stop: threading.Event) -> Iterator[bool]:
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
