"""The production configuration (PostgreSQL, a Redis server, the archive asked for its count), and the operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.support.peers import databases, servers
from tests.support.peers.system import RunningNode, phantom_file, running_node, study_uid
from tests.support.waiting import wait_for
from workers.cli import app


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Orthanc]:
    with servers.orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, orthanc: servers.Orthanc, postgresql_server: str
) -> Iterator[RunningNode]:
    """Quiet time and release are out of reach, so that only the archive's count can close a study."""
    destination = {"ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.port}
    folder = tmp_path_factory.mktemp("node")
    with (
        databases.redis_server(folder / "redis") as broker,
        running_node(
            folder,
            destinations={"orthanc": destination},
            database_url=databases.new_database(postgresql_server),
            broker_url=broker,
            completion={"release_s": 300, "quiet_s": 300, "cap_s": 600, "count_from": "orthanc"},
        ) as running,
    ):
        yield running


def hilum(node: RunningNode, *arguments: str) -> str:
    outcome = CliRunner().invoke(app, ["--config", str(node.config), *arguments], env={"COLUMNS": "200"})
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


@pytest.fixture(scope="module")
def closed_by_count(node: RunningNode, orthanc: servers.Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that the archive holds too, as it does when the archive routes."""
    path = phantom_file(tmp_path_factory.mktemp("study"), 900)
    servers.storescu(orthanc.port, [path], called_ae_title=orthanc.ae_title)
    node.send([path])
    return path


def test_the_archives_count_closes_the_study_and_the_results_arrive(node, orthanc, closed_by_count):
    line = node.wait_until_ended(study_uid(closed_by_count))
    assert (line.completion_reason, line.job_state) == ("count", "done")
    assert len(orthanc.instances()) == 3


def test_a_study_that_the_archive_does_not_have_yet_stays_open(node, tmp_path):
    path = phantom_file(tmp_path, 901)
    node.send([path])
    line = wait_for(lambda: node.study(study_uid(path)))
    assert line.state == "open"
    assert line.job_id is None


def test_the_operator_sees_the_node_at_a_glance(node, closed_by_count):
    node.wait_until_ended(study_uid(closed_by_count))
    values = json.loads(hilum(node, "status", "--json"))
    assert values["broker"] is True
    assert values["jobs"]["done"] >= 1
    assert "cpu" in {one["device"] for one in values["processes"]}
    shown = hilum(node, "status")
    assert "answers" in shown
    assert "disk" in shown


def test_the_operator_sees_one_study_with_results_and_trail(node, closed_by_count):
    uid = study_uid(closed_by_count)
    node.wait_until_ended(uid)
    assert uid in hilum(node, "studies")
    shown = hilum(node, "studies", uid)
    for word in ("SEG", "SR", "accepted", "study.completed", "reason=count"):
        assert word in shown


def test_echo_reaches_the_archive(node):
    assert "answers" in hilum(node, "echo", "orthanc")


def test_the_audit_log_is_intact_and_a_forged_row_is_found(node, closed_by_count):
    node.wait_until_ended(study_uid(closed_by_count))
    assert "intact" in hilum(node, "verify-audit")
    with node.database.write() as tx:
        tx.execute(text("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only"))
        tx.execute(text("UPDATE audit_events SET actor = 'nobody' WHERE sequence = 2"))
    outcome = CliRunner().invoke(app, ["--config", str(node.config), "verify-audit"])
    assert outcome.exit_code == 1
    assert "row 2 was edited" in outcome.output


def test_wrong_names_are_answered_with_the_right_ones(node):
    import subprocess
    import sys

    for arguments, expected in (
        (["echo", "nowhere"], "there are: orthanc"),
        (["studies", "1.2.3"], "no study"),
        (["rerun", "1.2.3"], "no study"),
        (["rerun"], "--dead"),
        (["bundles", "nothing"], "no bundle named 'nothing'"),
    ):
        outcome = subprocess.run(
            [sys.executable, "-m", "workers.cli", "--config", str(node.config), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={"COLUMNS": "300", "PATH": "/usr/bin"},
        )
        assert outcome.returncode == 2
        assert expected in " ".join(outcome.stderr.split()), outcome.stderr
