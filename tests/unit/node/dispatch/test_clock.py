"""A clock that is set: what waits goes with it, and nothing waits for a moment that cannot be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from node.db import deliveries, jobs, report
from node.db.audit import Action
from node.dispatch.clock import ClockWatch
from node.settings import Settings
from tests.support.rows import NOW, RESULT, claimed_job, publish, queued_job, reclaim
from tests.support.stand_ins import Clock

HOUR, DAYS = 3600.0, 4 * 86400.0


class Watched:
    """A node's rows with both of its clocks in the test's hand."""

    def __init__(self, database, tmp_path):
        self.database, self.passed_s = database, 0.0
        database.clock = Clock(NOW)
        settings = Settings(home=tmp_path, destinations={"pacs": {"ae_title": "P", "host": "h", "port": 104}})
        self.settings = settings
        self.watch = ClockWatch(settings, database, lambda: self.passed_s)
        self.watch.check()

    def set(self, seconds: float) -> None:
        """Set the wall clock by so much, while half a second passes."""
        self.database.clock.now += timedelta(seconds=seconds + 0.5)
        self.passed_s += 0.5
        self.watch.check()

    def restart(self, seconds: float) -> None:
        """Set the wall clock while no dispatcher runs."""
        self.database.clock.now += timedelta(seconds=seconds)
        self.watch = ClockWatch(self.settings, self.database, lambda: self.passed_s)
        self.watch.check()


@pytest.fixture
def watched(any_database, tmp_path):
    return Watched(any_database, tmp_path)


def deferred(database) -> str:
    """A delivery that was tried, and is to be tried again in a minute, to a destination whose circuit is open."""
    now = database.clock.now
    job_id = queued_job(database)
    result = replace(RESULT, sop_instance_uid="2.25.1")
    claimed = claimed_job(database, job_id, now=now)
    publish(database, claimed, now=now, profiles={"pacs": "ohif"}, results=[result])
    with database.write() as tx:
        (delivery,) = deliveries.claim(tx, job_id, "pacs", lease_s=30, threshold=3, associations=2)
        again = tx.now + timedelta(seconds=60)
        outcome = deliveries.Settlement(delivery.id, delivery.token, deliveries.Disposition.RETRY, None, "", again)
        deliveries.settle(tx, job_id, [outcome])
        deliveries.note_failure(tx, "pacs", threshold=1, open_s=30)
    return job_id


def due_after(database, seconds: float) -> list[str]:
    with database.read() as tx:
        tx.now += timedelta(seconds=seconds)
        return [one.job_id for one in deliveries.due(tx, associations={}, resend_after_s=20)]


@pytest.mark.parametrize("jump", [HOUR, -HOUR, DAYS, -DAYS])
def test_what_waits_is_due_as_it_was_before_the_clock_was_set(watched, jump):
    job_id = deferred(watched.database)
    watched.set(jump)
    assert due_after(watched.database, 58) == []
    assert due_after(watched.database, 61) == [job_id]


def test_a_clock_that_was_ahead_and_is_set_right_leaves_nothing_behind_it(watched):
    watched.set(HOUR)
    job_id = deferred(watched.database)
    watched.set(-HOUR)
    assert due_after(watched.database, 61) == [job_id]


def test_moments_that_no_setting_could_have_produced_have_come(watched):
    watched.restart(DAYS)
    job_id = deferred(watched.database)
    watched.restart(-DAYS)
    assert due_after(watched.database, 1) == [job_id]


def test_a_job_that_is_to_be_tried_again_in_four_days_is_tried_now(watched):
    watched.restart(DAYS)
    job_id = queued_job(watched.database)
    with watched.database.write() as tx:
        claimed = jobs.claim(tx, job_id, lease_s=30)
        jobs.retry_or_answer(tx, claimed, error="E", maximum_attempts=3, delay_s=5)
    watched.restart(-DAYS)
    with watched.database.read() as tx:
        assert [job.id for job in jobs.due(tx, resend_after_s=20, window=9)] == [job_id]


def test_a_jump_of_days_buries_nothing_that_waits(watched):
    job_id = deferred(watched.database)
    watched.set(DAYS)
    with watched.database.write() as tx:
        deliveries.note_failure(tx, "pacs", threshold=1, open_s=30)
    with watched.database.read() as tx:
        assert report.result_lines(tx, job_id)[0].state == "pending"


def test_a_running_job_keeps_its_lease(watched):
    job_id = queued_job(watched.database)
    claimed = claimed_job(watched.database, job_id)
    watched.set(HOUR)
    with watched.database.write() as tx:
        assert reclaim(tx, maximum_attempts=3) == []
        jobs.heartbeat(tx, claimed, lease_s=30)


def test_a_jump_is_in_the_audit_log_and_a_clock_that_goes_on_is_not(watched):
    watched.set(0)
    watched.set(HOUR)
    with watched.database.read() as tx:
        from node.db import audit

        (event,) = [one for one in audit.events(tx) if one.action == Action.CLOCK_JUMPED]
    assert event.detail["seconds"] == pytest.approx(HOUR)
