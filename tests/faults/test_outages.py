"""Broker, PACS and disk go away for a while; messages and studies come twice; associations break."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from node.db.audit import Action
from node.db.report import StudyLine
from node.db.states import JobState
from node.dicom.header import read_header
from node.dispatch.queue import Queues, Sender, make_app
from node.reasons import Reason
from node.spool.store import Spool
from tests.support.peers import wire
from tests.support.peers.pacs import SEG, SR, FakePACS
from tests.support.peers.system import RunningNode, dataset_bytes, phantom_file, running_node, study_uid
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def pacs() -> Iterator[FakePACS]:
    with FakePACS() as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: FakePACS) -> Iterator[RunningNode]:
    """One node for all tests here; each sends studies of its own."""
    folder = tmp_path_factory.mktemp("node")
    with running_node(folder, destinations={"pacs": pacs.destination}) as running:
        yield running


def assert_answered_once(node: RunningNode, pacs: FakePACS, path: Path) -> None:
    line = node.wait_until_ended(study_uid(path))
    assert line.job_state == "done"
    assert len(pacs.distinct(study_uid(path), SEG)) == 1
    assert len(pacs.distinct(study_uid(path), SR)) == 1


def recorded(node: RunningNode, action: Action, paths: Iterable[Path]) -> bool:
    """Tell whether the audit log has an event of this kind for each of these instances."""
    wanted = {read_header(path).sop_instance_uid for path in paths}
    return wanted <= {event.detail["sop_instance_uid"] for event in node.events(action)}


def completed(node: RunningNode, paths: list[Path]) -> list[StudyLine]:
    """Return the studies of these files once each has a job; until then nothing."""
    lines = [node.study(study_uid(path)) for path in paths]
    return [line for line in lines if line and line.job_id] if all(line and line.job_id for line in lines) else []


def test_with_the_broker_dead_receiving_goes_on_and_all_is_processed_when_it_is_back(node, pacs, tmp_path):
    files = [phantom_file(tmp_path, seed) for seed in (101, 102, 103)]
    broker = node.child("redis")
    command, broker.command = broker.command, ["false"]
    node.kill("redis")
    wait_for(lambda: broker.pid is None)
    for path in files:
        assert node.send([path]) == [0x0000]
    wait_for(lambda: all((line := node.study(study_uid(p))) and line.job_state == "queued" for p in files))
    broker.command = command
    for path in files:
        assert_answered_once(node, pacs, path)


def test_a_dead_pacs_delays_delivery_and_not_analysis(node, pacs, tmp_path):
    path = phantom_file(tmp_path, 110)
    pacs.stop()
    try:
        node.send([path])
        wait_for(lambda: (line := node.study(study_uid(path))) and line.job_state is JobState.DELIVERING)
        results = wait_for(
            lambda: (
                (found := node.results(node.study(study_uid(path)))) and max(r.attempts for r in found) > 1 and found
            )
        )
        assert all(result.last_error for result in results)
    finally:
        pacs.start()
    assert_answered_once(node, pacs, path)


def test_a_refusing_pacs_makes_dead_letters_that_rerun_brings_back(node, pacs, tmp_path):
    from typer.testing import CliRunner

    from workers.cli import app

    path = phantom_file(tmp_path, 111)
    pacs.statuses[SEG] = 0xA900
    try:
        node.send([path])
        line = node.wait_until_ended(study_uid(path))
    finally:
        pacs.statuses.clear()
    assert line.job_state is JobState.UNDELIVERED
    assert {(r.kind, r.state) for r in node.results(line)} == {("SEG", "dead"), ("SR", "accepted")}
    outcome = CliRunner().invoke(app, ["--config", str(node.config), "rerun", study_uid(path), "--dead"])
    assert outcome.exit_code == 0, outcome.output
    wait_for(lambda: node.study(study_uid(path)).job_state is JobState.DONE)
    assert_answered_once(node, pacs, path)


def test_a_pacs_out_of_resources_is_tried_again(node, pacs, tmp_path):
    path = phantom_file(tmp_path, 112)
    pacs.statuses[SR] = 0xA700
    node.send([path])
    wait_for(
        lambda: (
            (line := node.study(study_uid(path))) and line.job_id and any(r.attempts >= 2 for r in node.results(line))
        )
    )
    pacs.statuses.clear()
    assert_answered_once(node, pacs, path)


def test_the_same_study_sent_twice_is_answered_once(node, pacs, tmp_path):
    path = phantom_file(tmp_path, 120)
    assert node.send([path]) == [0x0000]
    assert_answered_once(node, pacs, path)
    assert node.send([path]) == [0x0000]
    wait_for(lambda: recorded(node, Action.INSTANCE_REPEATED, [path]), what="the repetition is recorded")
    line = node.study(study_uid(path))
    assert (line.revision, line.images, line.state, line.job_state) == (1, 1, "complete", "done")
    assert_answered_once(node, pacs, path)


def test_repeated_messages_do_nothing_twice(node, pacs, tmp_path):
    path = phantom_file(tmp_path, 121)
    node.send([path])
    line = wait_for(lambda: (found := node.study(study_uid(path))) and found.job_id and found)
    queues = Queues.of(node.settings, Spool(node.settings.home / "spool").identity())
    sender = Sender(make_app(node.settings, queues), queues)
    for _ in range(5):
        sender.analyse(line.job_id, device="cpu", priority="routine")
        sender.deliver(line.job_id, "pacs", priority="routine")
    assert_answered_once(node, pacs, path)
    for _ in range(5):
        sender.analyse(line.job_id, device="cpu", priority="STAT")
        sender.deliver(line.job_id, "pacs", priority="routine")
    behind = phantom_file(tmp_path, 122)  # it is answered when the workers are through with the messages before it
    node.send([behind])
    assert_answered_once(node, pacs, behind)
    arrived = pacs.of_study(study_uid(path))
    assert (len(arrived[SEG]), len(arrived[SR])) == (1, 1)


def test_an_association_aborted_in_mid_object_leaves_nothing_and_the_resent_image_counts(node, pacs, tmp_path):
    path = phantom_file(tmp_path, 130, rows=1024, columns=900)
    header, content = read_header(path), dataset_bytes(path)
    temporary = node.settings.home / "spool" / "tmp"
    command = wire.command_set(sop_class=header.sop_class_uid, instance=header.sop_instance_uid)
    with wire.connect(node.settings.receiver.port) as peer:
        peer.associate((header.sop_class_uid, [header.transfer_syntax_uid]))
        peer.send(wire.p_data(command, command=True), wire.p_data(content[:100_000], last=False))
        wait_for(lambda: [f for f in temporary.rglob("*.part") if f.stat().st_size > 90_000], what="half an object")
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    wait_for(lambda: not list(temporary.rglob("*.part")), what="no unfinished file is left")
    assert node.study(study_uid(path)) is None
    assert node.send([path]) == [0x0000]
    assert_answered_once(node, pacs, path)


def test_a_late_image_opens_the_next_revision_in_the_same_series(node, pacs, tmp_path):
    first = phantom_file(tmp_path, 140)
    uid = study_uid(first)
    second = tmp_path / "second.dcm"
    ds = dcmread(first)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SOPInstanceUID[:60]}.2"
    ds.InstanceNumber = 2
    ds.save_as(second)
    node.send([first])
    node.wait_until_ended(uid)
    node.send([second])
    line = node.wait_until_ended(uid, revision=2)
    assert (line.revision, line.images, line.job_state) == (2, 2, "done")
    reports = [dcmread(r.path, stop_before_pixels=True) for r in node.results(line) if r.kind == "SR"]
    assert len(reports) == 1
    assert len(pacs.distinct(uid, SR)) == 2
    assert reports[0].PredecessorDocumentsSequence


def test_rerun_makes_a_new_revision(node, pacs, tmp_path):
    from typer.testing import CliRunner

    from workers.cli import app

    path = phantom_file(tmp_path, 141)
    node.send([path])
    node.wait_until_ended(study_uid(path))
    outcome = CliRunner().invoke(app, ["--config", str(node.config), "rerun", study_uid(path)])
    assert outcome.exit_code == 0, outcome.output
    line = node.wait_until_ended(study_uid(path), revision=2)
    assert line.job_state == "done"
    assert len(pacs.distinct(study_uid(path), SR)) == 2


def test_an_image_with_the_same_uid_and_other_bytes_is_kept_and_changes_nothing(node, pacs, tmp_path):
    path = phantom_file(tmp_path, 142)
    node.send([path])
    assert_answered_once(node, pacs, path)
    ds = dcmread(path)
    ds.StudyDescription = "altered"
    altered = tmp_path / "altered.dcm"
    ds.save_as(altered)
    assert node.send([altered]) == [0x0000]
    (event,) = wait_for(lambda: node.events(Action.INSTANCE_CONFLICT))
    assert event.detail["reason"] == Reason.UID_CONFLICT
    line = node.study(study_uid(path))
    assert (line.revision, line.images) == (1, 1)
    assert_answered_once(node, pacs, path)


def test_our_own_results_sent_back_are_ignored(node, pacs, tmp_path):
    path = phantom_file(tmp_path, 143)
    node.send([path])
    line = node.wait_until_ended(study_uid(path))
    results = [result.path for result in node.results(line)]
    assert node.send(results) == [0x0000, 0x0000]
    wait_for(lambda: recorded(node, Action.INSTANCE_IGNORED, results), what="both results are recorded")
    line = node.study(study_uid(path))
    assert (line.revision, line.state) == (1, "complete")
    assert_answered_once(node, pacs, path)


def test_under_the_disk_watermark_images_are_refused_and_nothing_is_kept(tmp_path, pacs):
    path = phantom_file(tmp_path, 150)
    with running_node(
        tmp_path / "node",
        destinations={"pacs": pacs.destination},
        refuses=True,
        spool={"minimum_free_bytes": 1 << 60},
    ) as node:
        from node.errors import PeerUnavailable

        with pytest.raises(PeerUnavailable):
            node.send([path])
        assert node.study(study_uid(path)) is None
        assert not list((node.settings.home / "spool" / "incoming").iterdir())


def test_stat_overtakes_routine_in_the_queue(tmp_path, pacs):
    """With the worker stopped a queue builds up; the STAT study, sent last, is analysed first."""
    rules = [
        {"name": "er", "calling_ae_title": ["ER"], "priority": "STAT"},
        {"name": "rest"},
    ]
    with running_node(tmp_path / "node", destinations={"pacs": pacs.destination}, rules=rules) as node:
        worker = node.child("work-analysis")
        command, worker.command = worker.command, ["false"]
        node.kill("work-analysis")
        routine = [phantom_file(tmp_path, seed) for seed in range(160, 166)]
        for path in routine:
            node.send([path])
        stat = phantom_file(tmp_path, 170)
        node.send([stat], calling_ae_title="ER")
        lines = wait_for(lambda: completed(node, [*routine, stat]), what="jobs for all")
        jobs = {line.job_id for line in lines}
        wait_for(lambda: jobs <= {event.job_id for event in node.events(Action.JOB_SENT)}, what="messages for all")
        worker.command = command
        for path in [stat, *routine]:
            node.wait_until_ended(study_uid(path), timeout_s=120)
        order = [received.study_instance_uid for received in pacs.received if received.sop_class_uid == SR]
        ours = [uid for uid in order if uid in {study_uid(p) for p in [*routine, stat]}]
        assert ours.index(study_uid(stat)) <= 1, "at most the one study that the worker held already came before"
