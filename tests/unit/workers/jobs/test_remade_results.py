"""Results whose stored bytes are damaged or gone: the same bytes are made again, and sent."""

import hashlib
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from node.db import report
from node.db.states import DeliveryState, JobState
from node.settings import Settings
from tests.support.peers.pacs import SEG, FakePACS
from tests.support.results.jobs import Stub, analysed
from tests.support.stand_ins import NOW, Clock
from workers.jobs.delivery import deliver_job


class Counted(Stub):
    loads = 0

    def loaded(self, pipeline, chosen):
        Counted.loads += 1
        return super().loaded(pipeline, chosen)


@pytest.fixture
def job(database, tmp_path):
    with FakePACS() as pacs:
        runtime, job_id = analysed(database, tmp_path, Counted)
        runtime.settings = Settings(home=tmp_path, destinations={"pacs": pacs.destination})
        runtime.database.clock = Clock(NOW)
        Counted.loads = 0
        yield runtime, job_id, pacs


def lines(runtime, job_id):
    with runtime.database.read() as tx:
        return report.result_lines(tx, job_id), report.job(tx, job_id).state


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("lose", [damage, lambda path: path.unlink()], ids=["damaged", "gone"])
def test_a_lost_result_is_made_again_byte_for_byte_from_the_kept_findings(job, lose):
    runtime, job_id, _ = job
    found, _ = lines(runtime, job_id)
    paths = [runtime.spool.result_path(line.sha256) for line in found]
    lose(paths[0])
    lose(paths[1])
    with capture_logs() as logs:
        assert deliver_job(runtime, job_id) == 2
    assert lines(runtime, job_id)[1] is JobState.DONE
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == [line.sha256 for line in found]
    assert Counted.loads == 0
    assert [entry["event"] for entry in logs if entry["event"].startswith("result.")][:2] == [
        "result.damaged",
        "result.made_again",
    ]


def test_what_cannot_be_made_again_is_a_dead_letter_with_the_true_reason(job):
    runtime, job_id, _ = job
    found, _ = lines(runtime, job_id)
    for line in found:
        runtime.spool.result_path(line.sha256).unlink()
    for kept in (runtime.spool.root / "objects").rglob("*.dcm"):
        kept.unlink()
    with capture_logs() as logs:
        deliver_job(runtime, job_id)
    found, state = lines(runtime, job_id)
    assert state is JobState.UNDELIVERED
    assert all("gone from the spool, and it could not be made again" in line.last_error for line in found)
    assert "result.lost" in [entry["event"] for entry in logs if entry["log_level"] == "critical"]


def test_a_folder_of_results_that_is_away_makes_no_dead_letter(job, tmp_path):
    runtime, job_id, _ = job
    results = runtime.spool.root / "results"
    results.rename(tmp_path / "away")
    deliver_job(runtime, job_id)
    found, _ = lines(runtime, job_id)
    assert {line.state for line in found} == {DeliveryState.PENDING}
    assert "fault of this machine" in found[0].last_error
    with runtime.database.read() as tx:
        assert report.status(tx).circuits_open == (), "the archive has done nothing"
    (tmp_path / "away").rename(results)
    runtime.database.clock.now += timedelta(seconds=10)
    assert deliver_job(runtime, job_id) == 2
    assert lines(runtime, job_id)[1] is JobState.DONE


@pytest.mark.parametrize("status", [0xC000, 0xC123, 0x0122])
def test_an_answer_that_may_be_no_refusal_gets_a_few_tries(job, status):
    runtime, job_id, pacs = job
    pacs.statuses[SEG] = status
    states = []
    for _ in range(4):
        deliver_job(runtime, job_id)
        states.append({line.kind: line.state for line in lines(runtime, job_id)[0]}["SEG"])
        runtime.database.clock.now += timedelta(minutes=5)
    assert states == [DeliveryState.PENDING] * 3 + [DeliveryState.DEAD]


def test_an_archive_that_was_only_starting_gets_the_result(job):
    runtime, job_id, pacs = job
    pacs.statuses[SEG] = 0xC001
    deliver_job(runtime, job_id)
    pacs.statuses.clear()
    runtime.database.clock.now += timedelta(minutes=5)
    deliver_job(runtime, job_id)
    assert lines(runtime, job_id)[1] is JobState.DONE
