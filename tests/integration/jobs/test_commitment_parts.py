"""A report of storage commitment that comes in several parts, on the wire (PS3.4 section J.3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.db.states import DeliveryState, JobState
from tests.support.peers import wire
from tests.support.peers.commitment import Setup, joined, no_wait, restart
from tests.support.peers.event_reports import encoded, information
from tests.support.peers.pacs import COMMITMENT, COMMITMENT_INSTANCE, SR
from tests.support.rows import published
from workers.jobs.delivery import deliver_job


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with joined(tmp_path) as made:
        made.pacs.instances_per_report = 1
        yield made


def test_the_association_of_the_request_is_kept_until_the_last_part(setup: Setup) -> None:
    restart(setup, "same association")
    job_id = published(setup.runtime, results=3)
    deliver_job(setup.runtime, job_id)
    assert setup.pacs.report_statuses == [0x0000] * 3
    assert setup.record() == 3
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED] * 3, JobState.DONE)
    assert len(setup.pacs.requests) == 1


@pytest.mark.parametrize("at_once", [1, 3], ids=["one association for each", "one association for all"])
def test_parts_on_associations_of_the_archives_own_add_up(setup: Setup, at_once: int) -> None:
    no_wait(setup)
    job_id = published(setup.runtime, results=3)
    deliver_job(setup.runtime, job_id)
    (request,) = setup.pacs.requests
    for start in range(0, 3, at_once):
        assert setup.pacs.report(request, instances=request.instances[start : start + at_once]) == 0x0000
        setup.reopen()
        assert setup.record() == at_once
        done = [DeliveryState.ACCEPTED] * (start + at_once)
        assert setup.lines(job_id)[0] == [*done, *[DeliveryState.STORED] * (3 - len(done))]
    assert setup.lines(job_id)[1] is JobState.DONE


@pytest.mark.parametrize("way", ["same association", "own association"])
def test_what_no_part_speaks_of_is_asked_for_again_and_alone(setup: Setup, way: str) -> None:
    pacs = setup.runtime.settings.destinations["pacs"]
    short = pacs.commitment.model_copy(update={"wait_s": 1.0})
    setup.runtime.settings.destinations["pacs"] = pacs.model_copy(update={"commitment": short})
    setup.pacs.maximum_reports = 1
    restart(setup, way)
    job_id = published(setup.runtime, results=2)
    deliver_job(setup.runtime, job_id)
    assert setup.record() == 1
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED, DeliveryState.STORED], JobState.DELIVERING)
    setup.wait(61)
    deliver_job(setup.runtime, job_id)
    assert setup.pacs.requests[1].instances == ((SR, "2.25.2"),)
    assert len(setup.pacs.received) == 2, "asking again does not send again"
    assert setup.record() == 1
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED] * 2, JobState.DONE)


def test_one_part_may_commit_and_another_fail(setup: Setup) -> None:
    restart(setup, "same association")
    job_id = published(setup.runtime, results=2)
    setup.pacs.lost.add("2.25.2")
    deliver_job(setup.runtime, job_id)
    assert setup.record() == 2
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED, DeliveryState.PENDING], JobState.DELIVERING)
    assert "0x0112" in (setup.errors(job_id)[1] or "")
    assert {"commitment.failed"} <= set(setup.actions())


def test_parts_sent_without_waiting_for_an_answer_are_all_taken(setup: Setup) -> None:
    no_wait(setup)
    job_id = published(setup.runtime, results=2)
    deliver_job(setup.runtime, job_id)
    (request,) = setup.pacs.requests
    command = wire.command_set(0x0100, sop_class=COMMITMENT, instance=COMMITMENT_INSTANCE, event_type=1)
    parts = [encoded(information(request.transaction_uid, uid)) for _, uid in request.instances]
    with wire.connect(setup.port) as peer:
        peer.send(
            wire.request_pdu((COMMITMENT, [wire.EXPLICIT]), calling="PACS", roles={COMMITMENT: (False, True)}),
        )
        assert peer.pdu()[0] == 2
        peer.send(*(wire.p_data(command, command=True) + wire.p_data(part) for part in parts))
        assert [peer.status(), peer.status()] == [0x0000, 0x0000]
        assert peer.release()
    assert setup.record() == 2
    assert setup.lines(job_id) == ([DeliveryState.ACCEPTED] * 2, JobState.DONE)
