"""The dispatcher's rounds: what is due is sent, and a step that fails stops nothing else."""

import threading
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from node.db import report
from node.db.states import JobState, StudyState
from node.dispatch.dispatcher import Dispatcher, leader_lock
from node.settings import Settings
from node.spool.incoming import AssociationInfo, AssociationOutcome, new_association_id
from node.spool.store import Spool
from tests.support.data.radiographs import radiograph, write
from tests.support.stand_ins import NOW, Broker, Clock, steady


@pytest.fixture
def dispatcher(tmp_path, database):
    database.clock = Clock()
    settings = Settings(home=tmp_path, completion={"release_s": 0, "quiet_s": 5})
    return Dispatcher(settings, database, Spool.create(tmp_path / "spool"), Broker(), steady(database))


def arrive(dispatcher, *files, outcome=AssociationOutcome.RELEASED):
    info = AssociationInfo(new_association_id(NOW), "ROUTER", "HILUM", "127.0.0.1", NOW)
    incoming = dispatcher.spool.incoming.open(info)
    for content in files:
        temporary = dispatcher.spool.temporary_path()
        if isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            write(temporary, content)
        incoming.store(temporary)
    if outcome:
        incoming.close(outcome)
    dispatcher.database.clock.now = max(dispatcher.database.clock.now, NOW)


def studies(dispatcher):
    with dispatcher.database.read() as tx:
        return report.study_lines(tx, limit=10)


SMALL = radiograph()


@pytest.fixture(autouse=True)
def present(dispatcher):
    """Arrivals carry the real time of their files; the dispatcher's clock starts a little after."""
    from node.clock import utc_now

    dispatcher.database.clock.now = utc_now() + timedelta(seconds=1)


def test_a_round_takes_in_completes_and_sends(dispatcher):
    arrive(dispatcher, SMALL)
    dispatcher.round()
    (line,) = studies(dispatcher)
    assert (line.state, line.completion_reason, line.job_state) == (StudyState.COMPLETE, "released", JobState.QUEUED)
    assert dispatcher.sender.analyses == [(line.job_id, "cpu", "routine")]
    assert not list((dispatcher.spool.root / "incoming").iterdir())
    dispatcher.round()
    assert len(dispatcher.sender.analyses) == 1


def test_an_aborted_association_waits_for_quiet(dispatcher):
    arrive(dispatcher, SMALL, outcome=AssociationOutcome.ABORTED)
    dispatcher.round()
    assert studies(dispatcher)[0].state is StudyState.OPEN
    dispatcher.database.clock.now += timedelta(seconds=6)
    dispatcher.round()
    assert studies(dispatcher)[0].completion_reason == "quiet"


def test_with_the_broker_away_everything_else_goes_on(dispatcher):
    dispatcher.sender.away = True
    arrive(dispatcher, SMALL)
    dispatcher.round()
    (line,) = studies(dispatcher)
    assert line.job_state is JobState.QUEUED
    dispatcher.sender.away = False
    dispatcher.round()
    assert [job for job, _, _ in dispatcher.sender.analyses] == [line.job_id]


def test_a_step_is_complained_of_when_it_begins_to_fail_and_praised_when_it_recovers(dispatcher):
    arrive(dispatcher, SMALL)
    with capture_logs() as logs:
        for away in (False, True, True, True, False, False, True):
            dispatcher.sender.away = away
            dispatcher.database.clock.now += timedelta(minutes=1)
            dispatcher.round()
    said = [entry for entry in logs if entry["event"].startswith("dispatch.")]
    assert [(entry["event"], entry["log_level"], entry["step"]) for entry in said] == [
        ("dispatch.step_failed", "error", "send_analyses"),
        ("dispatch.recovered", "info", "send_analyses"),
        ("dispatch.step_failed", "error", "send_analyses"),
    ]
    assert said[0]["error"] == "away"


def test_an_error_that_nobody_foresaw_stops_its_own_step_only(dispatcher, tmp_path):
    dispatcher.settings.home.joinpath("audit-anchors.txt").mkdir()  # so that the head cannot be noted
    leftover = dispatcher.spool.root / "tmp" / "dead.lock"
    leftover.touch()
    arrive(dispatcher, SMALL)
    with capture_logs() as logs:
        dispatcher.round()
    (complaint,) = [entry for entry in logs if entry["event"] == "dispatch.step_failed"]
    assert (complaint["step"], complaint["error"].split(":")[0]) == ("anchor", "IsADirectoryError")
    assert not leftover.exists(), "the steps behind it were done"


def test_what_is_recorded_is_logged_by_its_state_and_a_repetition_as_one(dispatcher):
    arrive(dispatcher, SMALL)
    with capture_logs() as logs:
        dispatcher.round()
        arrive(dispatcher, SMALL)
        dispatcher.round()
    events = [entry["event"] for entry in logs if entry["event"].startswith("instance.")]
    assert events == ["instance.declined", "instance.repeated"]


def test_garbage_is_quarantined_and_stops_no_file_behind_it(dispatcher):
    arrive(dispatcher, b"", b"\x00" * 5000, SMALL)
    dispatcher.round()
    assert [line.images for line in studies(dispatcher)] == [1]
    assert len(list((dispatcher.spool.root / "quarantine").glob("*.dcm"))) == 2


def test_a_study_whose_file_is_gone_is_closed_and_stops_no_other(dispatcher):
    arrive(dispatcher, SMALL, outcome=None)
    arrive(dispatcher, radiograph(), outcome=None)
    dispatcher.round()
    assert {line.state for line in studies(dispatcher)} == {StudyState.OPEN}
    next((dispatcher.spool.root / "objects").rglob("*.dcm")).unlink()
    dispatcher.database.clock.now += timedelta(seconds=6)
    dispatcher.round()
    assert {line.state for line in studies(dispatcher)} == {StudyState.COMPLETE}


def test_an_archive_that_cannot_be_asked_leaves_the_other_rules(dispatcher, tmp_path):
    lost = {"certificate": tmp_path / "no.pem", "key": tmp_path / "no.key", "ca": tmp_path / "no.ca"}
    archive = {"ae_title": "A", "host": "127.0.0.1", "port": 1, "tls": lost}
    settings = Settings(
        home=tmp_path, destinations={"a": archive}, completion={"count_from": "a", "release_s": 3600, "quiet_s": 5}
    )
    asking = Dispatcher(settings, dispatcher.database, dispatcher.spool, dispatcher.sender, dispatcher.monotonic)
    arrive(asking, SMALL)
    for _ in range(3):
        asking.round()
        asking.database.clock.now += timedelta(seconds=6)
    assert studies(asking)[0].completion_reason == "quiet"


def test_a_clock_that_was_set_back_leaves_no_study_open(dispatcher):
    arrive(dispatcher, SMALL, outcome=None)
    dispatcher.round()
    dispatcher.database.clock.now -= timedelta(days=1)
    dispatcher.round()
    assert studies(dispatcher)[0].state is StudyState.COMPLETE


def test_the_head_of_the_audit_chain_is_anchored_in_a_file(dispatcher):
    from node.db import audit
    from node.dispatch import anchors

    arrive(dispatcher, SMALL)
    dispatcher.round()
    dispatcher.database.clock.now += timedelta(minutes=2)
    dispatcher.round()
    with dispatcher.database.read() as tx:
        assert anchors.read(dispatcher.settings.home)[-1] == audit.head(tx)


def test_a_gpu_worker_that_is_alive_gets_the_jobs(dispatcher):
    from node.db import processes

    with dispatcher.database.write() as tx:
        processes.beat(tx, "analysis", device="cuda")
    arrive(dispatcher, SMALL)
    dispatcher.round()
    assert dispatcher.sender.analyses[0][1] == "cuda"


def test_a_study_without_a_rule_is_recorded_and_not_analysed(dispatcher):
    object.__setattr__(dispatcher.settings, "rules", [])
    arrive(dispatcher, SMALL)
    dispatcher.round()
    (line,) = studies(dispatcher)
    assert (line.state, line.job_id) == (StudyState.COMPLETE, None)


def test_a_second_dispatcher_stands_by_until_the_first_ends(tmp_path):
    lock, order = tmp_path / "dispatch.lock", []
    first_in, end_first, stop = threading.Event(), threading.Event(), threading.Event()

    def first():
        with leader_lock(lock, stop) as chosen:
            order.append(("first", chosen))
            first_in.set()
            end_first.wait(10)

    def second():
        first_in.wait(10)
        with leader_lock(lock, stop) as chosen:
            order.append(("second", chosen))

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    first_in.wait(10)
    assert order == [("first", True)]
    end_first.set()
    for thread in threads:
        thread.join(10)
    assert order == [("first", True), ("second", True)]
