"""Stored bytes that are damaged or gone: nothing is made of them, the study is told so, and a resend heals it."""

import pytest
from pydicom import dcmread
from structlog.testing import capture_logs

from models import phantom
from node.db import audit, report, studies
from node.db.audit import Action
from node.db.states import InstanceState, JobState, StudyState
from node.dispatch.dispatcher import Dispatcher
from node.reasons import Reason
from node.spool.incoming import AssociationInfo, AssociationOutcome, new_association_id
from tests.support.results.encoded import answers
from tests.support.results.jobs import Stub, waiting
from tests.support.rows import reopen_failed
from tests.support.stand_ins import NOW, Broker, Clock
from workers.jobs.analysis import analyse_job


def rewrite(path, content):
    """Change the file that the spool holds, and not the one that was sent, whose hard link it is."""
    path.unlink()
    path.write_bytes(content)


def flip(path):
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 4000):
        data[place] ^= 0xFF
    rewrite(path, bytes(data))


def zero_second_half(path):
    data = path.read_bytes()
    rewrite(path, data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


def remove(path):
    path.unlink()


DAMAGES = [(flip, Reason.DAMAGED), (zero_second_half, Reason.DAMAGED), (remove, Reason.MISSING)]


@pytest.fixture
def job(database, tmp_path):
    runtime, job_id = waiting(database, tmp_path, Stub)
    (kept,) = (runtime.spool.root / "objects").rglob("*.dcm")
    return runtime, job_id, kept


def results(runtime, job_id):
    with runtime.database.read() as tx:
        return report.result_lines(tx, job_id)


def again(runtime, source):
    """Have the image sent once more, and a dispatcher take it in."""
    incoming = runtime.spool.incoming.open(AssociationInfo(new_association_id(NOW), "R", "H", "127.0.0.1", NOW))
    temporary = runtime.spool.temporary_path()
    temporary.write_bytes(source.read_bytes())
    incoming.store(temporary)
    incoming.close(AssociationOutcome.RELEASED)
    Dispatcher(runtime.settings, runtime.database, runtime.spool, Broker()).ingest()


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_the_study_is_answered_with_what_is_true_and_nothing_is_computed(job, damage, reason):
    runtime, job_id, kept = job
    damage(kept)
    with capture_logs() as logs:
        assert analyse_job(runtime, job_id)
    (line,) = results(runtime, job_id)
    sr = dcmread(runtime.spool.result_path(line.sha256))
    assert reason in answers(sr, "REASON")
    assert "111224" in answers(sr, "111065")  # Summary of Analyses: Failed
    assert [entry["reason"] for entry in logs if entry["log_level"] == "error"] == [reason]
    with runtime.database.read() as tx:
        assert Action.INSTANCE_LOST in [event.action for event in audit.events(tx)]
        assert report.status(tx).lost_images == 1


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_resend_repairs_the_copy_and_opens_a_revision(job, tmp_path, damage, reason):
    runtime, job_id, kept = job
    sound = kept.read_bytes()
    damage(kept)
    assert analyse_job(runtime, job_id)
    again(runtime, tmp_path / "source.dcm")
    assert kept.read_bytes() == sound
    with runtime.database.write() as tx:
        (study,) = studies.open_studies(tx)
        assert study.revision == 2
        (instance,) = studies.instances_of(tx, study.id, revision=2)
        assert (instance.state, instance.reason) == (InstanceState.ACCEPTED, None)
        assert report.status(tx).lost_images == 0
        assert Action.INSTANCE_REPAIRED in [event.action for event in audit.events(tx)]


@pytest.mark.parametrize(("damage", "_reason"), DAMAGES)
def test_a_resend_before_the_job_came_to_it_repairs_the_copy_in_silence(job, tmp_path, damage, _reason):
    runtime, job_id, kept = job
    damage(kept)
    again(runtime, tmp_path / "source.dcm")
    assert analyse_job(runtime, job_id)
    assert [line.kind for line in results(runtime, job_id)] == ["SEG", "SR"]
    with runtime.database.read() as tx:
        assert report.study_lines(tx, limit=1)[0].state is StudyState.COMPLETE


def test_a_file_that_was_put_back_by_hand_is_analysed_by_one_command_for_all(job, tmp_path):
    runtime, job_id, kept = job
    sound = kept.read_bytes()
    kept.unlink()
    assert analyse_job(runtime, job_id)
    kept.write_bytes(sound)
    dispatcher = Dispatcher(runtime.settings, runtime.database, runtime.spool, Broker())
    with runtime.database.write() as tx:
        assert reopen_failed(tx) == 1
    dispatcher.close_studies()
    dispatcher.send_analyses()
    ((again_id, _, _),) = [sent for sent in dispatcher.sender.analyses if sent[0] != job_id]
    assert analyse_job(runtime, again_id)
    assert [line.kind for line in results(runtime, again_id)] == ["SEG", "SR"]
    with runtime.database.read() as tx:
        assert report.status(tx).lost_images == 0


def test_another_image_of_the_study_is_analysed_all_the_same(database, tmp_path):
    sources = [tmp_path / "1.dcm", tmp_path / "2.dcm"]
    for number, path in enumerate(sources):
        phantom.write(path, phantom.generate(number, rows=288, columns=260), study_instance_uid="1.2.3")
    runtime, job_id = waiting(database, tmp_path, Stub, sources)
    flip(sorted((runtime.spool.root / "objects").rglob("*.dcm"))[0])
    assert analyse_job(runtime, job_id)
    found = results(runtime, job_id)
    assert [line.kind for line in found] == ["SEG", "SR"]
    assert Reason.DAMAGED in answers(dcmread(runtime.spool.result_path(found[-1].sha256)), "REASON")


# A study that is routed only after its file was lost


def test_a_study_whose_only_file_is_gone_is_answered_and_never_said_to_match_no_rule(database, tmp_path):
    runtime, _ = waiting(database, tmp_path, Stub)
    again_id = lost_before_it_was_routed(runtime)
    assert analyse_job(runtime, again_id)
    (line,) = results(runtime, again_id)
    assert Reason.MISSING in answers(dcmread(runtime.spool.result_path(line.sha256)), "REASON")


def lost_before_it_was_routed(runtime):
    """Return the job of a revision whose file went before the dispatcher came to it."""
    rule = {"name": "modality", "modality": ["CR", "DX"]}
    settings = type(runtime.settings)(
        home=runtime.settings.home, destinations=runtime.settings.destinations, rules=[rule]
    )
    dispatcher = Dispatcher(settings, runtime.database, runtime.spool, Broker())
    runtime.database.clock = Clock(NOW)
    with runtime.database.write() as tx:
        studies.reopen(tx, report.study_lines(tx, limit=1)[0].study_instance_uid)
    for kept in (runtime.spool.root / "objects").rglob("*.dcm"):
        kept.unlink()
    dispatcher.close_studies()
    with runtime.database.read() as tx:
        (line,) = report.study_lines(tx, limit=1)
        assert report.status(tx).without_rule == ()
    assert (line.revision, line.job_state) == (2, JobState.QUEUED)
    return line.job_id


def test_a_study_waits_while_the_spool_is_away_and_is_routed_when_it_is_back(database, tmp_path):
    runtime, _ = waiting(database, tmp_path, Stub)
    dispatcher = Dispatcher(runtime.settings, runtime.database, runtime.spool, Broker())
    with runtime.database.write() as tx:
        studies.reopen(tx, report.study_lines(tx, limit=1)[0].study_instance_uid)
    objects = runtime.spool.root / "objects"
    objects.rename(tmp_path / "away")
    dispatcher.close_studies()
    with runtime.database.read() as tx:
        assert report.study_lines(tx, limit=1)[0].state is StudyState.OPEN
    (tmp_path / "away").rename(objects)
    Dispatcher(runtime.settings, runtime.database, runtime.spool, Broker()).close_studies()
    with runtime.database.read() as tx:
        assert report.study_lines(tx, limit=1)[0].state is StudyState.COMPLETE
