"""Storage commitment: a result is delivered when the archive has committed itself, however and whenever it reports."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from typer.testing import CliRunner

from node import commitments
from node.db import audit, report
from node.db.engine import Database
from node.db.states import DeliveryState, JobState
from node.dimse.commitment import MAXIMUM_REPORT_BYTES, UnreadableReport, read_report
from node.mailbox import Asked
from node.settings import Settings
from node.spool import Spool
from tests import peers, wire
from tests.pacs import COMMITMENT, COMMITMENT_INSTANCE, SEG, SR, FakePACS
from tests.system import phantom_file, running_node, study_uid, wait_for
from tests.unit.test_delivery import Clock, NoBroker, published
from workers.cli import app
from workers.delivery import deliver_job
from workers.runtime import Networks, Runtime


@dataclass
class Setup:
    """A worker, the dispatcher's part, a receiver and an archive, joined by hand so that each step can be looked at."""

    runtime: Runtime
    pacs: FakePACS
    port: int

    def record(self) -> int:
        """Do what the dispatcher does with reports."""
        runtime = self.runtime
        return commitments.take_in(
            runtime.spool.mailbox,
            runtime.database,
            runtime.settings.delivery,
            actor="dispatch",
            clock=runtime.clock,
        )

    def lines(self, job_id: str) -> tuple[list[DeliveryState | None], JobState]:
        with self.runtime.database.read() as tx:
            return [line.state for line in report.result_lines(tx, job_id)], report.job(tx, job_id).state

    def errors(self, job_id: str) -> list[str | None]:
        with self.runtime.database.read() as tx:
            return [line.last_error for line in report.result_lines(tx, job_id)]

    def actions(self) -> list[str]:
        with self.runtime.database.read() as tx:
            return [event.action for event in audit.events(tx) if event.action.startswith("commitment.")]

    def wait(self, seconds: float) -> None:
        self.runtime.clock.now += timedelta(seconds=seconds)

    def reopen(self) -> None:
        """Forget everything that is not in the database and the spool, as a restart does."""
        self.runtime.database.close()
        self.runtime.database = Database(self.runtime.settings.resolved_database_url)
        self.runtime.spool = Spool.create(self.runtime.settings.home / "spool")


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    with FakePACS(commits="when told") as pacs:
        commitment = {"ask": True, "wait_s": 5.0, "report_within_s": 60.0, "requests": 2}
        settings = Settings(
            home=tmp_path / "home",
            receiver={"port": 0, "processes": 1},
            spool={"minimum_free_bytes": 0},
            destinations={"pacs": pacs.destination | {"commitment": commitment}},
            delivery={"connect_timeout_s": 2, "response_timeout_s": 5},
        )
        with Database(settings.resolved_database_url) as database, peers.hilum(settings) as port:
            database.migrate()
            pacs.node_port = port
            runtime = Runtime(
                settings=settings,
                database=database,
                spool=Spool.create(settings.home / "spool"),
                sender=NoBroker(),
                networks=Networks(settings.analysis, "cpu"),
                actor="test",
                clock=Clock(),
            )
            made = Setup(runtime, pacs, port)
            yield made
            made.runtime.database.close()
            made.runtime.spool.close()


def restart(setup: Setup, way: str) -> None:
    """Let the archive report in another way from now on."""
    setup.pacs.stop()
    setup.pacs.commits = way  # type: ignore[assignment]
    setup.pacs.start()


def no_wait(setup: Setup) -> None:
    """Release the association of a request at once."""
    pacs = setup.runtime.settings.destinations["pacs"]
    quick = pacs.commitment.model_copy(update={"wait_s": 0.0})
    setup.runtime.settings.destinations["pacs"] = pacs.model_copy(update={"commitment": quick})


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
    from node.dimse import commitment

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
    with setup.runtime.database.write() as tx:
        from node.db import deliveries

        deliveries.take_back(tx, actor="test", now=setup.runtime.clock.now)
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
    from node.dimse import commitment

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


def test_only_whoever_was_asked_may_commit(setup: Setup):
    no_wait(setup)
    job_id = published(setup.runtime)
    deliver_job(setup.runtime, job_id)
    (request,) = setup.pacs.requests
    assert setup.pacs.report(request, transaction_uid="2.25.1") == 0x0115
    assert setup.pacs.report(request, calling_ae_title="SOMEBODY") == 0x0115
    assert setup.record() == 0
    assert setup.lines(job_id)[0] == [DeliveryState.STORED]
    box = setup.runtime.spool.mailbox
    box.note(Asked(request.transaction_uid, "PACS", ("192.0.2.0/24",)))
    assert setup.pacs.report(request) == 0x0115
    box.note(Asked(request.transaction_uid, "PACS", ("127.0.0.0/8",)))
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

    box = setup.runtime.spool.mailbox
    box.note(Asked("2.25.5", "PACS", ()))
    box.forget_asked_before(utc_now() - timedelta(seconds=60))
    assert box.asked("2.25.5") is not None
    box.forget_asked_before(utc_now() + timedelta(seconds=60))
    assert box.asked("2.25.5") is None


# What a hostile or broken archive may send to the receiver


def encoded(ds: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return buffer.getvalue()


def information(transaction_uid: str = "2.25.5", instance: str = "2.25.1") -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = SR, instance
    ds = Dataset()
    ds.TransactionUID, ds.ReferencedSOPSequence = transaction_uid, [item]
    return ds


def nested(depth: int) -> bytes:
    """Encode Referenced SOP Sequences within each other, of undefined length."""
    head = struct.pack("<HH2sHL", 0x0008, 0x1199, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return head * depth


def associate(peer: wire.Wire, *, roles: dict[str, tuple[bool, bool]] | None = None, **options: str) -> bytes:
    """Ask for storage commitment as its provider does; the result of the presentation context."""
    peer.send(
        wire.request_pdu(
            (COMMITMENT, [wire.EXPLICIT]),
            calling="PACS",
            roles={COMMITMENT: (False, True)} if roles is None else roles,
            **options,
        )
    )
    return peer.pdu()


def say(peer: wire.Wire, content: bytes, **changes: object) -> int:
    """Send an N-EVENT-REPORT request; the status of the response."""
    options: dict[str, object] = {"sop_class": COMMITMENT, "instance": COMMITMENT_INSTANCE, "event_type": 1} | changes
    peer.send(wire.p_data(wire.command_set(0x0100, **options), command=True))  # type: ignore[arg-type]
    for start in range(0, len(content), 8192):
        last = start + 8192 >= len(content)
        peer.send(wire.p_data(content[start : start + 8192], last=last))
    return peer.status()


def test_what_is_no_report_is_refused_in_the_words_of_the_standard(setup: Setup):
    setup.runtime.spool.mailbox.note(Asked("2.25.5", "PACS", ()))
    good = encoded(information())
    both = information()
    both.FailedSOPSequence = both.ReferencedSOPSequence
    cases = [
        ({}, encoded(information("2.25.6")), 0x0115),
        ({}, good.replace(b"2.25.5", b"../../"), 0x0115),
        ({}, good.replace(b"2.25.1", b"../../"), 0x0115),
        ({}, b"\0\0", 0x0115),
        ({}, good[:-5], 0x0115),
        ({}, b"\xff" * 5000, 0x0115),
        ({}, nested(2000), 0x0115),
        ({}, encoded(Dataset()) or b"\0\0", 0x0115),
        ({"event_type": 3}, good, 0x0113),
        ({"event_type": None}, good, 0x0113),
        ({"instance": "1.2.3"}, good, 0x0112),
        ({"sop_class": wire.CR}, good, 0x0122),
        ({}, good + b"\0" * MAXIMUM_REPORT_BYTES, 0x0213),
        ({}, good, 0x0000),
    ]
    for changes, content, status in cases:
        with wire.connect(setup.port) as peer:
            associate(peer)
            assert say(peer, content, **changes) == status, (changes, content[:40])
            assert peer.release()
    assert [path.name for path, _ in setup.runtime.spool.mailbox.reports()] != []
    assert setup.record() == 1, "only the good one was kept"
    setup.runtime.spool.mailbox.note(Asked("2.25.5", "PACS", ()))
    assert peers.reachable(peers.Destination(ae_title="HILUM", host="127.0.0.1", port=setup.port))


@pytest.mark.parametrize(
    ("roles", "accepted"),
    [
        ({COMMITMENT: (False, True)}, True),
        ({COMMITMENT: (True, True)}, True),
        ({}, False),
        ({COMMITMENT: (True, False)}, False),
    ],
)
def test_only_a_provider_may_open_an_association_for_commitment(setup: Setup, roles, accepted: bool):
    from pynetdicom.pdu import A_ASSOCIATE_AC

    with wire.connect(setup.port) as peer:
        pdu = A_ASSOCIATE_AC()
        pdu.decode(associate(peer, roles=roles))
        (context,) = pdu.presentation_context
        assert (context.result == 0) is accepted
        granted = [(item.scu_role, item.scp_role) for item in pdu.user_information.role_selection.values()]
        assert granted == ([(0, 1)] if accepted else [])


def test_nothing_else_goes_over_a_context_for_commitment(setup: Setup):
    with wire.connect(setup.port) as peer:
        associate(peer)
        for operation, status in ((0x0130, 0x0211), (0x0030, 0x0122), (0x0001, 0x0122)):
            command = wire.command_set(operation, sop_class=COMMITMENT, instance=COMMITMENT_INSTANCE, data=False)
            peer.send(wire.p_data(command, command=True))
            assert peer.status() == status
        assert peer.release()


@given(st.binary(max_size=300), st.sampled_from([wire.EXPLICIT, wire.IMPLICIT]))
def test_hostile_reports_raise_nothing_but_unreadable(content: bytes, syntax: str):
    try:
        found = read_report(content, syntax)
    except UnreadableReport:
        return
    assert found.committed or found.failed


@given(st.integers(0, 200), st.integers(0, 255))
def test_mutated_reports_hold_nothing_but_uids(position: int, value: int):
    content = bytearray(encoded(information()))
    content[position % len(content)] = value
    try:
        found = read_report(bytes(content), wire.EXPLICIT)
    except UnreadableReport:
        return
    assert set(found.transaction_uid) <= set("0123456789.")


# The whole node


COMMITTING = {"ask": True, "wait_s": 0.2, "report_within_s": 20.0, "requests": 3}


def test_a_study_is_done_only_when_committed_and_every_process_may_be_killed_meanwhile(tmp_path: Path):
    source = phantom_file(tmp_path, 31)
    uid = study_uid(source)
    with FakePACS(commits="when told") as pacs:
        destination = pacs.destination | {"commitment": COMMITTING}
        with running_node(tmp_path / "node", destinations={"pacs": destination}) as node:
            pacs.node_port = node.settings.receiver.port
            assert node.send([source]) == [0]
            wait_for(lambda: pacs.requests, timeout_s=120, what=f"a request; log:\n{node.log_text()[-3000:]}")
            line = node.study(uid)
            assert line is not None and line.job_state == "delivering"
            assert {r.state for r in node.results(line)} == {DeliveryState.STORED}
            for name in ("receive", "dispatch", "work-delivery"):
                node.kill(name)
            wait_for(lambda: pacs.report(pacs.requests[-1]) == 0x0000, timeout_s=60, what="the report taken")
            line = node.wait_until_ended(uid)
            assert line.job_state == "done", node.log_text()[-3000:]
            assert len(pacs.distinct(uid, SR)) == len(pacs.distinct(uid, SEG)) == 1
            with node.database.read() as tx:
                actions = [event.action for event in audit.events(tx)]
                assert audit.verify(tx).problem is None
            assert "commitment.requested" in actions
            assert "commitment.succeeded" in actions


def test_orthanc_commits_itself(tmp_path: Path):
    """Orthanc reports on an association of its own, to the port that it has been told."""
    source, port = phantom_file(tmp_path, 32), peers.free_port()
    modalities = {"hilum": {"AET": "HILUM", "Host": "127.0.0.1", "Port": port}}
    with peers.orthanc(tmp_path / "orthanc", configuration={"DicomModalities": modalities}) as orthanc:
        destination = {
            "ae_title": orthanc.ae_title,
            "host": "127.0.0.1",
            "port": orthanc.port,
            "commitment": COMMITTING,
        }
        with running_node(tmp_path / "node", destinations={"orthanc": destination}, receiver={"port": port}) as node:
            assert node.send([source]) == [0]
            line = node.wait_until_ended(study_uid(source), timeout_s=120)
            assert line.job_state == "done", node.log_text()[-3000:]
            with node.database.read() as tx:
                found = [e for e in audit.events(tx) if e.action.startswith("commitment.")]
            assert [event.action for event in found] == ["commitment.requested", "commitment.succeeded"]
            assert found[1].detail["committed"] == 2
            assert len(orthanc.instances()) == 2
