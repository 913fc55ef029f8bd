"""Of many independent things the one that fails hides none of the others, is tried ever less often, and is shown."""

import sqlite3
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from node import setbacks
from node.clock import utc_now
from node.db import report
from node.db.states import JobState, StudyState
from node.dicom.part10 import identity_digest
from node.dispatch.dispatcher import Dispatcher
from node.setbacks import SET_ASIDE_AFTER, Setbacks
from node.settings import Settings
from node.spool.commitments import CommitmentReport, Reference
from node.spool.incoming import AssociationInfo, AssociationOutcome, new_association_id
from node.spool.store import Spool
from tests.support.data.radiographs import radiograph, write
from tests.support.disks import fill, small_disk, unreadable
from tests.support.rows import claimed_job, queued_job
from tests.support.stand_ins import NOW, Broker, Clock, later


class Seconds:
    """A monotonic clock that tests move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def dispatcher(tmp_path, database):
    database.clock = Clock(utc_now() + timedelta(seconds=1))
    settings = Settings(home=tmp_path, completion={"release_s": 0, "quiet_s": 5})
    made = Dispatcher(settings, database, Spool.create(tmp_path / "spool"), Broker())
    made.seconds = Seconds()
    made.setbacks = Setbacks(setbacks.note_path(tmp_path), clock=database.clock, monotonic=made.seconds)
    return made


def arrive(dispatcher, *files):
    """Return the arrived files of one association that was released."""
    info = AssociationInfo(new_association_id(NOW), "ROUTER", "HILUM", "127.0.0.1", NOW)
    incoming = dispatcher.spool.incoming.open(info)
    stored = []
    for ds in files:
        temporary = dispatcher.spool.temporary_path()
        write(temporary, ds)
        stored.append(incoming.store(temporary))
    incoming.close(AssociationOutcome.RELEASED)
    return stored


def lines(dispatcher):
    with dispatcher.database.read() as tx:
        return report.study_lines(tx, limit=10)


def test_a_file_that_cannot_be_read_stops_no_file_and_no_study_behind_it(dispatcher):
    bad, _ = arrive(dispatcher, radiograph(), radiograph())
    arrive(dispatcher, radiograph())
    with unreadable(bad):
        dispatcher.round()
        assert len(lines(dispatcher)) == 2
        assert bad.parent.exists(), "what was answered Success stays"
    dispatcher.seconds.now += 60
    dispatcher.database.clock.now += timedelta(seconds=60)
    dispatcher.round()
    assert len(lines(dispatcher)) == 3
    assert list((dispatcher.spool.root / "incoming").iterdir()) == []


def test_a_file_that_cannot_be_read_is_looked_at_ever_less_often_and_shown_as_set_aside(dispatcher, tmp_path):
    (bad,) = arrive(dispatcher, radiograph())
    with unreadable(bad), capture_logs() as logs:
        for _ in range(400):
            dispatcher.ingest()
            dispatcher.seconds.now += 0.25
        dispatcher.round()
        aside = setbacks.noted(setbacks.note_path(tmp_path))
    events = [entry["event"] for entry in logs if "step" in entry]
    assert events == ["dispatch.step_failed", "dispatch.set_aside"]
    (one,) = aside
    assert one.why == "OSError: Input/output error"
    assert SET_ASIDE_AFTER <= one.failures < 10, "not 400 times in 100 s"
    status = CliRunner().invoke(_app(), ["status"], env={"HILUM_HOME": str(tmp_path)})
    assert "set aside" in status.output and "Input/output error" in status.output
    dispatcher.seconds.now += 100
    dispatcher.round()
    assert setbacks.noted(setbacks.note_path(tmp_path)) == []


def _app():
    from workers.cli import app

    return app


def test_a_folder_that_is_none_stops_no_other(dispatcher):
    root = dispatcher.spool.root / "incoming"
    (root / "0-first").mkdir()
    (root / "0-first" / "released").touch()
    (root / "0-first" / "association.json").mkdir()  # cannot be read, and not be removed as a file
    arrive(dispatcher, radiograph())
    dispatcher.round()
    assert len(lines(dispatcher)) == 1


def test_a_row_that_the_database_refuses_costs_no_other_file_of_its_batch(dispatcher):
    first, second, third = arrive(dispatcher, radiograph(), radiograph(), radiograph())
    digest, _ = identity_digest(second)
    with sqlite3.connect(_file(dispatcher)) as db:
        db.execute(
            "CREATE TRIGGER planted BEFORE INSERT ON instances "
            f"WHEN NEW.digest = '{digest}' BEGIN SELECT RAISE(ABORT, 'planted'); END"
        )
    dispatcher.round()
    assert len(lines(dispatcher)) == 2
    assert (first.exists(), second.exists(), third.exists()) == (False, True, False)


def _file(dispatcher):
    return dispatcher.database._url.database


def test_a_full_disk_is_one_complaint_and_everything_is_taken_in_when_there_is_room(tmp_path, database):
    database.clock = Clock(utc_now() + timedelta(seconds=1))
    with small_disk(tmp_path / "spool", megabytes=24):
        settings = Settings(home=tmp_path, completion={"release_s": 0, "quiet_s": 5})
        full = Dispatcher(settings, database, Spool.create(tmp_path / "spool"), Broker())
        for _ in range(3):
            arrive(full, radiograph())
        with fill(full.spool.root), capture_logs() as logs:
            for _ in range(5):
                full.round()
        assert [e["step"] for e in logs if e["event"] == "dispatch.step_failed" and e["step"] == "ingest"] == ["ingest"]
        full.round()
        assert len(lines(full)) == 3


def test_a_report_of_commitment_that_cannot_be_read_stops_no_other(dispatcher):
    for number in range(2):
        dispatcher.spool.commitments.add_report(CommitmentReport(f"1.2.{number}", (Reference("1", "2"),), ()))
    first, second = dispatcher.spool.commitments.reports()
    with unreadable(first):
        dispatcher.round()
        assert dispatcher.spool.commitments.reports() == [first]
    dispatcher.seconds.now += 60
    dispatcher.round()
    assert dispatcher.spool.commitments.reports() == []
    assert not second.exists()


def test_a_silent_job_whose_row_cannot_be_changed_stops_no_other(dispatcher):
    bad, good = queued_job(dispatcher.database, 1), queued_job(dispatcher.database, 2)
    for job_id in (bad, good):
        claimed_job(dispatcher.database, job_id, lease_s=60)
    with sqlite3.connect(_file(dispatcher)) as db:
        db.execute(
            "CREATE TRIGGER planted BEFORE UPDATE ON jobs "
            f"WHEN NEW.id = '{bad}' BEGIN SELECT RAISE(ABORT, 'planted'); END"
        )
    dispatcher.database.clock.now = later(3600)
    dispatcher.round()
    with dispatcher.database.read() as tx:
        assert [report.job(tx, job_id).state for job_id in (bad, good)] == [JobState.RUNNING, JobState.QUEUED]


def test_a_job_that_cannot_be_marked_as_sent_stops_no_other(dispatcher):
    bad, good = queued_job(dispatcher.database, 1), queued_job(dispatcher.database, 2)
    with sqlite3.connect(_file(dispatcher)) as db:
        db.execute(
            "CREATE TRIGGER planted BEFORE UPDATE ON jobs "
            f"WHEN NEW.id = '{bad}' BEGIN SELECT RAISE(ABORT, 'planted'); END"
        )
    for _ in range(5):
        dispatcher.round()
    sent = [job_id for job_id, _, _ in dispatcher.sender.analyses]
    assert sent.count(good) == 1
    assert sent.count(bad) == 1, "not once in each round"


def test_a_sender_whose_studies_no_rule_matches_is_shown(dispatcher):
    object.__setattr__(dispatcher.settings, "rules", [])
    arrive(dispatcher, radiograph())
    dispatcher.round()
    assert lines(dispatcher)[0].state is StudyState.COMPLETE
    with dispatcher.database.read() as tx:
        assert report.status(tx).without_rule == (("ROUTER", 1),)
