"""Storage commitment by the whole node: with processes that are killed meanwhile, and with Orthanc."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from node.db import audit
from node.db.states import DeliveryState
from node.dimse.archive import reserved_port
from tests.support.peers import servers
from tests.support.peers.pacs import SEG, SR, FakePACS
from tests.support.peers.system import phantom_file, running_node, study_uid
from tests.support.waiting import wait_for

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


def orthanc_that_knows(tmp_path: Path, port: int) -> AbstractContextManager[servers.Orthanc]:
    modalities = {"hilum": {"AET": "HILUM", "Host": "127.0.0.1", "Port": port}}
    return servers.orthanc(tmp_path / "orthanc", configuration={"DicomModalities": modalities})


def test_orthanc_commits_itself(tmp_path: Path):
    """Orthanc reports on an association of its own, to the port that it has been told."""
    source = phantom_file(tmp_path, 32)
    with reserved_port() as port, orthanc_that_knows(tmp_path, port) as orthanc:
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
