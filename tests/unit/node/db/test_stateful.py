"""Jobs, deliveries and commitments in any order of steps, late and repeated ones too: what always holds."""

import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from node.db import audit, commitments, deliveries, jobs, report, studies
from node.db.commitments import InstanceOutcome
from node.db.deliveries import Settlement
from node.db.engine import Database
from node.db.states import DeliveryState, JobState
from node.db.tables import DeliveryRow, JobRow
from node.dicom.status import Disposition
from node.errors import StaleClaim
from tests.support.rows import PUBLICATION, RESULT, arrive, reclaim
from tests.support.stand_ins import Clock

DESTINATIONS = ("pacs", "vna")
DESTINATION = st.sampled_from(DESTINATIONS)
ANSWERS = st.one_of(st.just([Disposition.ACCEPTED] * 2), st.lists(st.sampled_from(Disposition), min_size=2, max_size=2))
WAIT = st.sampled_from([5, 5000])
WAITING = {DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.STORED}


class Node(RuleBasedStateMachine):
    """A node's rows, and the workers and archives that work on them."""

    claims = Bundle("claims")
    """Claims of jobs, live and lost."""
    sendings = Bundle("sendings")
    """Claims of deliveries, live and lost."""
    requests = Bundle("requests")
    """Requests for commitment."""

    def __init__(self, template: Path) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Clock()
        url = f"sqlite:///{shutil.copy(template, self.folder)}"
        self.database = Database(url, actor="test", clock=self.clock)
        self.studies = self.results = 0

    @rule(seconds=st.sampled_from([1, 31, 61, 1000]))
    def time_passes(self, seconds):
        self.clock.now += timedelta(seconds=seconds)

    @initialize()
    def one_job_is_published(self):
        self.a_study_is_complete()
        self._publish(self._claim(0))

    @precondition(lambda self: self.studies < 3)
    @rule()
    def a_study_is_complete(self):
        self.studies += 1
        with self.database.write() as tx:
            arrive(tx, self.studies, study=f"1.2.{self.studies}")
            (study,) = studies.open_studies(tx)
            decision = studies.RoutingDecision("r", "chest", "routine", None, DESTINATIONS)
            studies.complete(tx, study.id, reason="released", decision=decision)

    @rule(target=claims, number=st.integers(0, 2))
    def a_worker_claims_a_job(self, number):
        claimed = self._claim(number)
        return multiple(claimed) if claimed else multiple()

    def _claim(self, number):
        with self.database.write() as tx:
            found = [job_id for (job_id,) in tx.query(JobRow.id).order_by(JobRow.created_at)]
            return jobs.claim(tx, found[number % len(found)], lease_s=60)

    @rule(claimed=claims)
    def a_worker_publishes(self, claimed):
        self._publish(claimed)

    def _publish(self, claimed):
        self.results += 1
        rows = [replace(RESULT, sop_instance_uid=f"2.25.{self.results}.{n}") for n in range(2)]
        with suppress(StaleClaim), self.database.write() as tx:
            jobs.publish(tx, claimed, replace(PUBLICATION, results=rows), retry_for_s=500)

    @rule(claimed=claims)
    def an_attempt_fails(self, claimed):
        with suppress(StaleClaim), self.database.write() as tx:
            jobs.retry_or_answer(tx, claimed, error="E", maximum_attempts=1, delay_s=1)

    @rule(claimed=claims)
    def a_worker_says_that_it_lives(self, claimed):
        with suppress(StaleClaim), self.database.write() as tx:
            jobs.heartbeat(tx, claimed, lease_s=60)

    @rule()
    def leases_are_reclaimed(self):
        with self.database.write() as tx:
            reclaim(tx, maximum_attempts=1)
            deliveries.reclaim(tx)

    @rule()
    def everything_is_requeued(self):
        with self.database.write() as tx:
            deliveries.requeue(tx, retry_for_s=500)
            jobs.requeue(tx)

    @rule(target=sendings, destination=DESTINATION)
    def deliveries_are_claimed(self, destination):
        return multiple(*self._claim_deliveries(destination))

    def _claim_deliveries(self, destination):
        with self.database.write() as tx:
            due = deliveries.due(tx, associations={}, resend_after_s=0)
            batches = [
                deliveries.claim(tx, one.job_id, destination, lease_s=30, threshold=3, associations=2) for one in due
            ]
        return [batch for batch in batches if batch]

    @rule(batch=sendings, answers=ANSWERS, ask=st.booleans(), wait_s=WAIT)
    def a_destination_answers_late_or_again(self, batch, answers, ask, wait_s):
        self._settle(batch, answers, ask, wait_s)

    @rule(destination=DESTINATION, answers=ANSWERS, ask=st.booleans(), wait_s=WAIT)
    def results_are_sent(self, destination, answers, ask, wait_s):
        for batch in self._claim_deliveries(destination):
            self._settle(batch, answers, ask, wait_s)

    def _settle(self, batch, answers, ask, wait_s):
        retry_at = self.clock.now + timedelta(seconds=wait_s)
        outcomes = [
            Settlement(one.id, one.token, answer, None, "", retry_at, ask)
            for one, answer in zip(batch, answers, strict=False)
        ]
        with self.database.write() as tx:
            deliveries.settle(tx, batch[0].job_id, outcomes)

    @rule(target=requests, destination=DESTINATION)
    def commitment_is_asked_for(self, destination):
        return multiple(*self._ask(destination))

    def _ask(self, destination):
        with self.database.write() as tx:
            due = deliveries.due(tx, associations={}, resend_after_s=0)
            made = [commitments.request(tx, one.job_id, destination, maximum_requests=2, patience_s=30) for one in due]
            made = [request for request in made if request is not None]
            for request in made:
                commitments.expect(tx, request.transaction_uid, until=self.clock.now)
        return made

    @rule(request=requests, answers=ANSWERS)
    def an_archive_reports_late_or_again(self, request, answers):
        self._report(request, answers)

    @rule(destination=DESTINATION, answers=ANSWERS)
    def an_archive_is_asked_and_reports(self, destination, answers):
        for request in self._ask(destination):
            self._report(request, answers)

    def _report(self, request, answers):
        outcomes = {
            uid: InstanceOutcome(sop_class, answer, None, "")
            for (sop_class, uid), answer in zip(request.instances, answers, strict=False)
        }
        with self.database.write() as tx:
            commitments.record(tx, request.transaction_uid, outcomes, retry_at=lambda *_: self.clock.now)

    @invariant()
    def a_job_is_where_its_deliveries_say_and_only_what_is_worked_on_has_a_lease(self):
        with self.database.read() as tx:
            rows = list(tx.query(DeliveryRow))
            for job in tx.query(JobRow):
                assert (job.lease_token is not None) == (job.state is JobState.RUNNING)
                states = {row.state for row in rows if row.job_id == job.id}
                match job.state:
                    case JobState.DONE:
                        assert states == {DeliveryState.ACCEPTED}
                    case JobState.UNDELIVERED:
                        assert DeliveryState.DEAD in states
                        assert not states & WAITING
                    case JobState.DELIVERING:
                        assert states & WAITING
                    case JobState.QUEUED | JobState.RUNNING | JobState.FAILED:
                        assert not states
        assert all((row.lease_token is not None) == (row.state is DeliveryState.SENDING) for row in rows)

    def teardown(self) -> None:
        with self.database.read() as tx:
            assert audit.verify(tx).problem is None
            assert sum(report.status(tx).jobs.values()) == self.studies
        self.database.close()
        shutil.rmtree(self.folder)


def test_whatever_the_order_of_steps_the_rows_agree(sqlite_template, whole):
    run_state_machine_as_test(
        lambda: Node(sqlite_template),
        settings=settings(
            max_examples=200 if whole else 20,
            stateful_step_count=60 if whole else 30,
            deadline=None,
            derandomize=not whole,
            phases=[Phase.generate],  # each step is a transaction on disk: to shrink takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
