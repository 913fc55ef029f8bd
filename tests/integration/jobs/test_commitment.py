"""Storage commitment: a result is delivered when the archive has committed itself, however and whenever it reports.

What a hostile archive may report is in `test_commitment_reports`, the whole node in `test_commitment_node`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.db import report
from node.db.states import DeliveryState, JobState
from node.settings import Settings
from node.spool.commitments import CommitmentTransaction
from tests.support.peers.commitment import Setup, joined, no_wait, restart
from tests.support.peers.pacs import SEG, SR
from tests.support.rows import published
from tests.support.waiting import wait_for
from workers.cli import app
from workers.jobs.delivery import deliver_job


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with joined(tmp_path) as made:
        yield made


@pytest.mark.parametrize("way", ["same association", "own association"])
def test_a_report_commits_whichever_way_it_comes(setup: Setup, way: str):
    restart(setup, way)
    no_wait(setup) if way == "own association" else None
    job_id = published(setup.runtime, results=2)
    deliver_job(setup.runtime, job_id)
    assert setup.lines(job_id) == ([DeliveryState.STORED] * 2, JobState.DELIVERING)
    wait_for(setup.record, what="the report")
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED] * 2, JobState.DONE)
    (request,) = setup.pacs.requests
    assert request.instances == ((SR, "2.25.1"), (SR, "2.25.2"))
    assert wait_for(lambda: setup.pacs.report_statuses) == [0x0000]
    assert setup.actions() == ["commitment.requested", "commitment.succeeded"]


def test_a_late_report_finds_its_request_after_a_restart(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    setup.reopen()
    assert setup.record() == 0
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]
    assert setup.pacs.report(setup.pacs.requests[0]) == 0x0000
    setup.reopen()
    assert setup.record() == 1
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED], JobState.DONE)


def test_a_worker_that_dies_before_it_asks_is_followed_by_one_that_does(setup: Setup, monkeypatch: pytest.MonkeyPatch):
    from node.dimse.scu import commitment

    class Killed(BaseException):
        """As if by kill -9."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    no_wait(setup)
    job_id = published(setup.runtime)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(commitment, "request", die)
        deliver_job(setup.runtime, job_id)
    setup.reopen()
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]
    setup.wait(61)
    deliver_job(setup.runtime, job_id)
    assert len(setup.pacs.requests) == 1
    assert len(setup.pacs.received) == 1, "asking again does not send again"


def test_without_a_report_it_is_asked_again_then_sent_again_then_a_dead_letter(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    seen = []
    for _ in range(6):
        deliver_job(setup.runtime, job_id)
        seen.append((len(setup.pacs.received), len(setup.pacs.requests)))
        setup.wait(61)
    # Sent, asked; asked again; given back; sent and asked; asked again; given back.
    assert seen[:3] == [(1, 1), (1, 2), (1, 2)]
    assert len({request.transaction_uid for request in setup.pacs.requests}) == len(setup.pacs.requests)
    for _ in range(2):  # its time is over: asked once more, and not reported on either
        setup.wait(3600)
        deliver_job(setup.runtime, job_id)
    assert setup.lines(job_id) == ([DeliveryState.DEAD], JobState.UNDELIVERED)
    assert setup.pacs.report(setup.pacs.requests[-1]) == 0x0000
    setup.record()
    assert setup.lines(job_id) == ([DeliveryState.DEAD], JobState.UNDELIVERED)


def test_results_are_sent_again_once_the_requests_are_used_up(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    for _ in range(2):
        deliver_job(setup.runtime, job_id)
        setup.wait(61)
    deliver_job(setup.runtime, job_id)
    assert setup.lines(job_id)[0] == [DeliveryState.PENDING]
    deliver_job(setup.runtime, job_id)
    assert (len(setup.pacs.received), len(setup.pacs.requests)) == (2, 3)
    assert "commitment.unreported" in setup.actions()


def test_what_the_archive_does_not_commit_is_sent_again(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime, results=2)
    deliver_job(setup.runtime, job_id)
    (request,) = setup.pacs.requests
    setup.pacs.received.pop()  # it has lost the second one
    assert setup.pacs.report(request) == 0x0000
    setup.record()
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED, DeliveryState.PENDING], JobState.DELIVERING)
    assert "0x0112" in (setup.errors(job_id)[1] or "")
    setup.wait(10)
    deliver_job(setup.runtime, job_id)
    assert [r.sop_instance_uid for r in setup.pacs.received] == ["2.25.1", "2.25.2"]
    assert setup.pacs.requests[1].instances == ((SR, "2.25.2"),)
    setup.pacs.report(setup.pacs.requests[1])
    setup.record()
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED] * 2, JobState.DONE)
    assert setup.actions().count("commitment.failed") == 1


def test_what_the_archive_will_never_commit_is_a_dead_letter(setup: Setup):
    no_wait(setup)
    setup.pacs.uncommitted[SR] = 0x0122
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    setup.pacs.report(setup.pacs.requests[0])
    setup.record()
    assert setup.lines(job_id) == ([DeliveryState.DEAD], JobState.UNDELIVERED)
    assert "SOP class not supported" in (setup.errors(job_id)[0] or "")


def test_an_archive_without_the_service_makes_a_dead_letter_that_says_so(setup: Setup):
    restart(setup, "no")
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    assert setup.lines(job_id) == ([DeliveryState.DEAD], JobState.UNDELIVERED)
    assert "does not accept storage commitment" in (setup.errors(job_id)[0] or "")


@pytest.mark.parametrize(
    ("status", "state"), [(0x0213, DeliveryState.STORED), (0x0110, DeliveryState.STORED), (0x0123, DeliveryState.DEAD)]
)
def test_a_request_that_is_not_taken_is_made_again_or_given_up(setup: Setup, status: int, state: DeliveryState):
    no_wait(setup)
    setup.pacs.action_status = status
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    assert setup.lines(job_id)[0] == [state]
    setup.pacs.action_status = 0x0000
    setup.wait(10)
    deliver_job(setup.runtime, job_id)
    assert len(setup.pacs.requests) == (state is DeliveryState.STORED)


def test_an_archive_that_is_away_when_it_is_to_be_asked_is_asked_later(setup: Setup, monkeypatch: pytest.MonkeyPatch):
    from node.dimse.scu import commitment

    no_wait(setup)
    job_id = published(setup.runtime)
    ask = commitment.request

    def gone(*arguments: object, **options: object) -> object:
        setup.pacs.stop()
        return ask(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(commitment, "request", gone)
        deliver_job(setup.runtime, job_id)
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]
    setup.pacs.start()
    setup.wait(10)
    deliver_job(setup.runtime, job_id)
    assert len(setup.pacs.requests) == 1


def test_an_archive_that_takes_no_request_for_long_is_not_sent_the_results_again(setup: Setup):
    no_wait(setup)
    setup.pacs.action_status = 0x0213
    job_id = published(setup.runtime)
    for seconds in (7, 13, 25):  # the waits double
        deliver_job(setup.runtime, job_id)
        setup.wait(seconds)
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]
    assert setup.actions().count("commitment.not_taken") == 3
    setup.pacs.action_status = 0x0000
    deliver_job(setup.runtime, job_id)
    assert (len(setup.pacs.received), len(setup.pacs.requests)) == (1, 1)


def test_only_whoever_was_asked_may_commit(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    (request,) = setup.pacs.requests
    assert setup.pacs.report(request, transaction_uid="2.25.1") == 0x0115
    assert setup.pacs.report(request, calling_ae_title="SOMEBODY") == 0x0115
    assert setup.record() == 0
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]
    store = setup.runtime.spool.commitments
    store.record(CommitmentTransaction(request.transaction_uid, "PACS", ("192.0.2.0/24",)))
    assert setup.pacs.report(request) == 0x0115
    store.record(CommitmentTransaction(request.transaction_uid, "PACS", ("127.0.0.0/8",)))
    assert setup.pacs.report(request) == 0x0000


def test_a_report_may_come_twice_and_counts_once(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    for _ in range(2):
        assert setup.pacs.report(setup.pacs.requests[0]) == 0x0000
    assert setup.record() == 2
    assert setup.pacs.report(setup.pacs.requests[0]) == 0x0000
    assert setup.record() == 1
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED], JobState.DONE)
    assert setup.actions().count("commitment.succeeded") == 1


def test_a_report_about_other_instances_commits_nothing(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    setup.pacs.received.clear()
    (request,) = setup.pacs.requests
    setup.pacs.uncommitted[SEG] = 0x0110
    assert setup.pacs.report(request, instances=((SEG, "2.25.77"),)) == 0x0000
    setup.record()
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]


def test_the_right_instance_of_the_wrong_class_is_not_committed(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    assert setup.pacs.report(setup.pacs.requests[0], instances=((SEG, "2.25.1"),)) == 0x0000
    setup.record()
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]


def test_the_report_of_an_earlier_request_commits_too_but_cannot_fail_a_later_one(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime, results=2)
    deliver_job(setup.runtime, job_id)
    setup.wait(61)
    deliver_job(setup.runtime, job_id)
    first, _ = setup.pacs.requests
    setup.pacs.received.pop()
    setup.pacs.report(first)
    setup.record()
    assert setup.lines(job_id)[0] == [DeliveryState.ACCEPTED, DeliveryState.STORED]


def test_results_are_accepted_where_commitment_is_not_asked_for_any_more(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    pacs = setup.runtime.settings.destinations["pacs"]
    off = pacs.commitment.model_copy(update={"ask": False})
    setup.runtime.settings.destinations["pacs"] = pacs.model_copy(update={"commitment": off})
    setup.wait(61)
    deliver_job(setup.runtime, job_id)
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED], JobState.DONE)


def test_status_tells_what_waits_for_commitment(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime, results=2)
    deliver_job(setup.runtime, job_id)
    config = setup.runtime.settings.home / "hilum.yaml"
    config.write_text(f"home: {setup.runtime.settings.home}")

    def hilum(*command: str) -> str:
        outcome = CliRunner().invoke(app, ["--config", str(config), *command])
        assert outcome.exit_code == 0, outcome.output
        return outcome.output

    assert json.loads(hilum("status", "--json"))["waiting_for_commitment"]["pacs"]["results"] == 2
    assert "waits for storage commitment: 2 result(s) at pacs" in hilum("status")
    with setup.runtime.database.read() as tx:
        (line,) = report.study_lines(tx, limit=1)
    assert hilum("studies", line.study_instance_uid).count("stored, waits for its storage commitment") == 2


def test_settings_refuse_a_node_that_would_not_let_the_report_in():
    destination = {"ae_title": "PACS", "host": "pacs", "port": 104, "commitment": {"ask": True}}
    with pytest.raises(ValueError, match="its reports would be refused"):
        Settings(destinations={"pacs": destination}, receiver={"allowed_calling_ae_titles": ["ROUTER"]})
    Settings(destinations={"pacs": destination}, receiver={"allowed_calling_ae_titles": ["ROUTER", "PACS"]})


def test_notes_of_old_requests_are_forgotten(setup: Setup):
    from node.clock import utc_now

    store = setup.runtime.spool.commitments
    store.record(CommitmentTransaction("2.25.5", "PACS", ()))
    store.remove_transactions_before(utc_now() - timedelta(seconds=60))
    assert store.find("2.25.5") is not None
    store.remove_transactions_before(utc_now() + timedelta(seconds=60))
    assert store.find("2.25.5") is None
