"""Jobs, deliveries and commitments in any order of events: what holds after every step, and how everything ends."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from node.db import audit, commitments, deliveries, jobs, report
from node.db.commitments import CommitmentRequest, InstanceOutcome
from node.db.deliveries import ClaimedDelivery, Settlement
from node.db.engine import Database
from node.db.jobs import ClaimedJob
from node.db.states import TRANSITIONS, DeliveryState, JobState
from node.dicom.status import Disposition
from node.errors import StaleClaim
from tests.support.rows import PUBLICATION, RESULT, queued_job, reclaim
from tests.support.stand_ins import Clock

DESTINATIONS = ("pacs", "vna")
LEASE_S, RETRY_FOR_S, THRESHOLD = 30.0, 100.0, 3
OPEN = {DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.STORED}
ENDED = {JobState.DONE, JobState.UNDELIVERED, JobState.FAILED}

State = JobState | DeliveryState


def reachable(old: State, new: State) -> bool:
    """Tell whether the table leads from one state to the other, in the at most two steps that one event may take."""
    first = {old, *TRANSITIONS[type(old)][old]}
    return new in first or any(new in TRANSITIONS[type(old)][between] for between in first)


class Lifecycle(RuleBasedStateMachine):
    """A node's database while workers, dispatcher, archives and time do what they like."""

    held = Bundle("held")
    """Jobs as workers claimed them; their leases may have run out."""
    sending = Bundle("sending")
    """Deliveries as workers claimed them."""
    asked = Bundle("asked")
    """Requests for commitment that may be reported on."""
    destination, outcome, order = st.sampled_from(DESTINATIONS), st.sampled_from(Disposition), st.integers(0, 3)

    def __init__(self, template: Path) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        path = shutil.copy(template, self.folder.name)
        self.database = Database(f"sqlite:///{path}", actor="test", clock=self.clock)
        self.jobs: list[str] = []
        self.published: set[str] = set()
        self.before: dict[object, State] = {}

    def chosen(self, order: int) -> str | None:
        return self.jobs[order % len(self.jobs)] if self.jobs else None

    @rule()
    def complete_a_study(self) -> None:
        if len(self.jobs) < 4:
            self.jobs.append(queued_job(self.database, len(self.jobs) + 1))

    @rule(seconds=st.sampled_from([1, 10, 40, 120]))
    def wait(self, seconds: int) -> None:
        self.clock.now += timedelta(seconds=seconds)

    @rule(target=held, order=order)
    def claim(self, order: int) -> object:
        job_id = self.chosen(order)
        if job_id is None:
            return multiple()
        with self.database.write() as tx:
            claimed = jobs.claim(tx, job_id, lease_s=LEASE_S)
        return multiple() if claimed is None else claimed

    @rule(claimed=held)
    def beat(self, claimed: ClaimedJob) -> None:
        with contextlib.suppress(StaleClaim), self.database.write() as tx:
            jobs.heartbeat(tx, claimed, lease_s=LEASE_S)

    @rule(claimed=held)
    def publish(self, claimed: ClaimedJob) -> None:
        """Twice at times, and by workers who have lost the job."""
        result = replace(RESULT, sop_instance_uid=f"2.25.{self.jobs.index(claimed.id) + 1}")
        with contextlib.suppress(StaleClaim), self.database.write() as tx:
            jobs.publish(tx, claimed, replace(PUBLICATION, results=(result,)), retry_for_s=RETRY_FOR_S)
            assert claimed.id not in self.published, "published twice"
            self.published.add(claimed.id)

    @rule(claimed=held)
    def fail(self, claimed: ClaimedJob) -> None:
        with contextlib.suppress(StaleClaim), self.database.write() as tx:
            jobs.retry_or_answer(tx, claimed, error="E", maximum_attempts=2, delay_s=5.0)

    @rule()
    def reclaim(self) -> None:
        with self.database.write() as tx:
            reclaim(tx, maximum_attempts=2)
            deliveries.reclaim(tx)

    @rule()
    def requeue(self) -> None:
        with self.database.write() as tx:
            jobs.requeue(tx)
            deliveries.requeue(tx, retry_for_s=RETRY_FOR_S)

    @rule(target=sending, order=order, destination=destination)
    def begin_to_send(self, order: int, destination: str) -> object:
        job_id = self.chosen(order)
        if job_id is None:
            return multiple()
        with self.database.write() as tx:
            return multiple(
                *deliveries.claim(tx, job_id, destination, lease_s=LEASE_S, threshold=THRESHOLD, associations=2)
            )

    @rule(claimed=sending, disposition=outcome, ask=st.booleans(), delay_s=st.sampled_from([5, 200]))
    def settle(self, claimed: ClaimedDelivery, disposition: Disposition, ask: bool, delay_s: int) -> None:
        retry_at = self.clock.now + timedelta(seconds=delay_s)
        settlement = Settlement(claimed.id, claimed.token, disposition, None, "", retry_at, ask_commitment=ask)
        with contextlib.suppress(StaleClaim), self.database.write() as tx:
            deliveries.settle(tx, claimed.job_id, [settlement])

    @rule(destination=destination, up=st.booleans())
    def reach(self, destination: str, up: bool) -> None:
        with self.database.write() as tx:
            if up:
                deliveries.note_success(tx, destination)
            else:
                deliveries.note_failure(tx, destination, threshold=THRESHOLD, open_s=20.0)

    @rule(target=asked, order=order, destination=destination, taken=st.sampled_from(["yes", "no", "never", "unknown"]))
    def ask(self, order: int, destination: str, taken: str) -> object:
        """Ask an archive to commit itself; `unknown`: the worker dies before it knows whether it was asked."""
        job_id = self.chosen(order)
        if job_id is None:
            return multiple()
        with self.database.write() as tx:
            request = commitments.request(tx, job_id, destination, maximum_requests=2, patience_s=10.0)
        if request is None:
            return multiple()
        with self.database.write() as tx:
            uid, again = request.transaction_uid, self.clock.now + timedelta(seconds=20)
            if taken == "yes":
                commitments.expect(tx, uid, until=again)
            elif taken != "unknown":
                retry_at = again if taken == "no" else None
                commitments.defer(tx, job_id, uid, status=None, why="W", retry_at=retry_at)
        return request

    @rule(request=consumes(asked), disposition=outcome)
    def report(self, request: CommitmentRequest, disposition: Disposition) -> None:
        outcomes = {uid: InstanceOutcome(sop, disposition, None, "") for sop, uid in request.instances}
        with self.database.write() as tx:
            later = self.clock.now + timedelta(seconds=5)
            commitments.record(tx, request.transaction_uid, outcomes, retry_at=lambda _id, _attempts: later)

    @rule(order=order, destination=destination)
    def waive(self, order: int, destination: str) -> None:
        if (job_id := self.chosen(order)) is not None:
            with self.database.write() as tx:
                commitments.waive(tx, job_id, destination)

    @invariant()
    def states_follow_the_table_and_nothing_is_lost(self) -> None:
        with self.database.read() as tx:
            now: dict[object, State] = {}
            for job_id in self.jobs:
                state = report.job(tx, job_id).state
                now[job_id] = state
                rows = report.result_lines(tx, job_id)
                assert {row.destination for row in rows} == (set(DESTINATIONS) if job_id in self.published else set())
                assert len(rows) == len({row.destination for row in rows}), "one delivery a destination"
                now |= {(job_id, row.destination): row.state for row in rows}
                self.a_job_is_what_its_deliveries_are(state, [row.state for row in rows])
        for key, state in now.items():
            assert reachable(self.before.get(key, state), state), (key, self.before[key], state)
        assert self.before.keys() <= now.keys()
        self.before = now

    def a_job_is_what_its_deliveries_are(self, state: JobState, states: list[DeliveryState | None]) -> None:
        if not states:
            assert state in {JobState.QUEUED, JobState.RUNNING, JobState.FAILED}
        elif OPEN & set(states):
            assert state is JobState.DELIVERING
        else:
            assert state is (JobState.UNDELIVERED if DeliveryState.DEAD in states else JobState.DONE)

    def let_time_run_out(self) -> None:
        self.wait(1000)
        self.reclaim()
        for destination in DESTINATIONS:
            for _ in range(THRESHOLD):
                self.reach(destination, up=False)
        self.states_follow_the_table_and_nothing_is_lost()

    def teardown(self) -> None:
        """Let the workers work and the time run out: each job has ended, each result is delivered or a dead letter."""
        try:
            self.let_time_run_out()
            for order in range(len(self.jobs)):
                if isinstance(claimed := self.claim(order), ClaimedJob):
                    self.states_follow_the_table_and_nothing_is_lost()
                    self.publish(claimed)
                    self.states_follow_the_table_and_nothing_is_lost()
            self.let_time_run_out()
            assert {self.before[job_id] for job_id in self.jobs} <= ENDED
            with self.database.read() as tx:
                assert audit.verify(tx).problem is None
        finally:
            self.database.close()
            self.folder.cleanup()


def test_whatever_happens_each_result_is_delivered_or_a_dead_letter(sqlite_template: Path, whole: bool) -> None:
    many = settings(
        max_examples=300 if whole else 15,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(lambda: Lifecycle(sqlite_template), settings=many)
