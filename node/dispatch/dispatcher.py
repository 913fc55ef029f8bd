"""The dispatcher: records what was received, closes complete studies, sends what is due, reclaims what stalled.

One dispatcher works at a time for a spool; a second one waits for its lock and takes over. Each round is made of
independent steps: a broken broker, database or archive stops only the step that needs it.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final

import structlog

from node import pipelines, setbacks
from node.db import belonging, deliveries, jobs, processes, studies
from node.db.engine import UNAVAILABLE, Database
from node.db.processes import Progress
from node.db.states import InstanceState
from node.dicom.header import header_of
from node.dispatch import commitments, maintenance
from node.dispatch.archive import ArchiveCounts
from node.dispatch.clock import ClockWatch
from node.dispatch.queue import Device, Sender, associations_of
from node.dispatch.unmarked import Unmarked
from node.errors import BelongsElsewhere, BrokerUnavailable, BytesLost, Quarantined
from node.intake import ingest, routing
from node.intake.completion import CompletionReason, decide
from node.setbacks import Setbacks
from node.settings import CompletionSettings, Settings
from node.spool.store import Spool

log = structlog.get_logger()

_OF_ALL: Final = (*UNAVAILABLE, BrokerUnavailable)
"""What fails for one job or study fails for all of them."""


@dataclass
class Dispatcher:
    """One dispatcher with what it works on; `run` loops until told to stop."""

    settings: Settings
    database: Database
    spool: Spool
    sender: Sender
    monotonic: Callable[[], float] = time.monotonic
    alive: Callable[[], None] = lambda: None
    """Called whenever something was done: the loop goes on."""

    def __post_init__(self) -> None:
        self._counts = ArchiveCounts(self.settings)
        self._maintenance = maintenance.steps(self.settings, self.database, self.spool)
        self._clock = ClockWatch(self.settings, self.database, self.monotonic)
        note = setbacks.note_path(self.settings.home)
        self.setbacks = Setbacks(note, clock=self.database.clock, monotonic=self.monotonic, attempted=self.alive)
        self._unmarked = Unmarked(resend_after_s=self.settings.dispatch.resend_after_s, monotonic=self.monotonic)
        self._doing: tuple[str, datetime] | None = None
        self._steps: dict[str, datetime] = {}

    def run(self, stop: threading.Event) -> None:
        """Go round until `stop` is set."""
        while not stop.is_set():
            self.round()
            stop.wait(self.settings.dispatch.interval_s)

    def round(self) -> None:
        """Do each step once; a step that fails is logged when it begins to fail and when it recovers.

        Within a step each folder, file, report, study and job is on its own, too (`node.setbacks`). Nothing is done
        while the database belongs to another spool than the one that is here.
        """
        try:
            self._step("require_own_spool", self.require_own_spool, passing=(BelongsElsewhere,))
        except BelongsElsewhere as error:
            self.setbacks.failed("require_own_spool", str(error))
            self._step("set_aside", self.setbacks.write_note)
            return
        for step in (
            self.watch_clock,
            self.ingest,
            self.record_commitments,
            self.close_studies,
            self.reclaim,
            self.reclaim_deliveries,
            self.send_analyses,
            self.send_deliveries,
        ):
            self._step(step.__name__, step)
        for name, occasional in self._maintenance.items():
            self._step(name, partial(occasional, self.database.clock()))
        self._step("set_aside", self.setbacks.write_note)

    def progress(self) -> Progress:
        """Return what it is at, for its pulse; another thread may ask."""
        doing = self._doing
        return Progress(doing and doing[0], doing and doing[1], dict(self._steps))

    def _step(self, name: str, step: Callable[[], None], *, passing: tuple[type[Exception], ...] = ()) -> None:
        self._doing = name, self.database.clock()
        try:
            if self.setbacks.attempt(name, step, passing=passing, pauses=False):
                self._steps[name] = self.database.clock()
        finally:
            self._doing = None

    def require_own_spool(self) -> None:
        """Check that the database's files are here: the spool may have been replaced, or given to another node."""
        spool_id = self.spool.identity()
        with self.database.read() as tx:
            belonging.require(tx, spool_id)

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
            setbacks=self.setbacks,
        )

    def record_commitments(self) -> None:
        """Record what archives reported about storage commitment."""
        commitments.record_reports(
            self.spool.commitments, self.database, self.settings.delivery, setbacks=self.setbacks
        )

    def close_studies(self) -> None:
        """Close the studies that are complete, and create their jobs."""
        with self.database.read() as tx:
            waiting = studies.open_studies(tx)
        self._each("study", [str(study.id) for study in waiting], [partial(self._close, study) for study in waiting])

    def _each(self, kind: str, names: Sequence[str], steps: Sequence[Callable[[], None]]) -> None:
        """Do a step for each of several things; database and broker are everyone's, so that their failure ends it."""
        self.setbacks.keep_only(f"{kind}/", {f"{kind}/{name}" for name in names})
        for name, step in zip(names, steps, strict=True):
            self.setbacks.attempt(f"{kind}/{name}", step, passing=_OF_ALL)

    def _close(self, study: studies.OpenStudy) -> None:
        now = self.database.clock()
        if self._whole(study, self.settings.completion, now) is None:
            return
        with self.database.read() as tx:
            instances = studies.instances_of(tx, study.id, revision=study.revision)
        decision, no_rule = self._route(instances)  # reads a file, so before anyone has to wait for the write lock
        settings = self.settings.completion
        if decision is not None:
            settings = pipelines.named(decision.pipeline).completion(settings)
        reason = self._whole(study, settings, now)
        if reason is None:
            return
        with self.database.write() as tx:
            job_id = studies.complete(tx, study.id, reason=reason, decision=decision, no_rule=no_rule)
        if no_rule:
            titles = sorted({instance.calling_ae_title for instance in instances})
            log.warning("study.no_rule", calling_ae_titles=titles, why="no routing rule matches: it is not answered")
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
            recent=study.recent,
            archive_count=self._counts.get(study.study_instance_uid, now),
        )

    def reclaim(self) -> None:
        """Give jobs whose lease ran out to other workers."""
        with self.database.read() as tx:
            silent = processes.silent(tx)
        self._each("silent job", silent, [partial(self._reclaim, job_id) for job_id in silent])

    def _reclaim(self, job_id: str) -> None:
        attempts, lease_s = self.settings.analysis.maximum_attempts, self.settings.analysis.lease_s
        with self.database.write() as tx:
            reclaimed = processes.reclaim(tx, job_id, maximum_attempts=attempts, lease_s=lease_s)
        if reclaimed:
            log.warning("job.taken_back", job_id=job_id)

    def reclaim_deliveries(self) -> None:
        """Give deliveries whose lease ran out to other workers."""
        with self.database.write() as tx:
            count = deliveries.reclaim(tx)
        if count:
            log.warning("deliveries.taken_back", count=count)

    def send_analyses(self) -> None:
        """Send a message for each job that is due; committed first, sent then, marked last."""
        dispatch = self.settings.dispatch
        with self.database.read() as tx:
            due = jobs.due(tx, resend_after_s=dispatch.resend_after_s, window=dispatch.window)
            device = self._device(processes.devices(tx, alive_s=3 * self.settings.analysis.lease_s))
        self._each("job", [job.id for job in due], [partial(self._send_analysis, job, device) for job in due])

    def _send_analysis(self, job: jobs.DueJob, device: Device) -> None:
        send = partial(self.sender.analyse, job.id, device=device, priority=job.priority)
        queue = self._unmarked.send(job.id, send)
        with self.database.write() as tx:
            jobs.mark_sent(tx, job.id, queue=queue)
        self._unmarked.marked(job.id)

    def send_deliveries(self) -> None:
        """Send a message for each job and destination with something due."""
        with self.database.read() as tx:
            due = deliveries.due(
                tx,
                associations=associations_of(self.settings),
                resend_after_s=self.settings.dispatch.resend_after_s,
            )
        names = [f"{one.job_id} to {one.destination}" for one in due]
        self._each("delivery", names, [partial(self._send_delivery, one) for one in due])

    def _send_delivery(self, one: deliveries.DueDelivery) -> None:
        name = f"{one.job_id} to {one.destination}"
        self._unmarked.send(name, partial(self.sender.deliver, one.job_id, one.destination, priority=one.priority))
        with self.database.write() as tx:
            deliveries.mark_sent(tx, one.job_id, one.destination)
        self._unmarked.marked(name)

    def _route(self, instances: tuple[studies.StoredInstance, ...]) -> tuple[studies.RoutingDecision | None, bool]:
        """Route by the first image that can be read, an accepted one if there is one; also say whether no rule matched.

        Where none can be, because all are damaged or gone, the study is answered all the same: "no rule matched" is
        only said where a header was read.

        Raises
        ------
        SpoolUnavailable
            The spool cannot be read now; the study stays open.
        """
        ranked = sorted(instances, key=lambda i: (i.state is not InstanceState.ACCEPTED, i.id))
        settings = self.settings
        for instance in ranked:
            try:
                header = header_of(BytesIO(self.spool.read_received(instance.digest)))
            except (Quarantined, BytesLost):
                continue
            facts = routing.StudyFacts.of(header, instance.calling_ae_title)
            no_rule = routing.matched(facts, settings.rules) is None
            return routing.route(facts, settings.rules, settings.destinations), no_rule
        sender = ranked[0].calling_ae_title
        return routing.route_unread(sender, settings.rules, settings.destinations), False

    def _device(self, alive: set[str]) -> Device:
        if self.settings.analysis.device != "auto":
            return self.settings.analysis.device
        return "cuda" if "cuda" in alive else "cpu"


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
