"""Processes that stand still and a broker that cannot be reached: told by `hilum status --check`, and replaced."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from node.dispatch import embedded
from tests.support.peers.pacs import SR, FakePACS
from tests.support.peers.system import RunningNode, phantom_file, running_node, study_uid
from tests.support.waiting import wait_for

WATCHDOG_S = 12.0


@pytest.fixture(scope="module")
def pacs() -> Iterator[FakePACS]:
    with FakePACS() as running:
        yield running


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: FakePACS) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("node")
    with running_node(folder, destinations={"pacs": pacs.destination}, watchdog_s=WATCHDOG_S) as running:
        wait_for(lambda: check(running)[0] == 0, timeout_s=90, what="a node that is well")
        yield running


def check(node: RunningNode, *options: str) -> tuple[int, str]:
    """Run `hilum status --check`."""
    command = [sys.executable, "-m", "workers.cli", "--config", str(node.config), "status", "--check", *options]
    outcome = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in outcome.stderr
    return outcome.returncode, outcome.stdout


def is_answered(node: RunningNode, pacs: FakePACS, folder: Path, seed: int) -> None:
    path = phantom_file(folder, seed)
    node.send_until_taken([path])
    assert node.wait_until_ended(study_uid(path), timeout_s=180).job_state == "done"
    assert len(pacs.distinct(study_uid(path), SR)) == 1


@pytest.mark.timeout(600)
def test_what_stands_still_is_replaced_and_work_goes_on(node: RunningNode, pacs: FakePACS, tmp_path: Path):
    parents = {name: psutil.Process(node.child(name).pid or 0) for name in ("dispatch", "work-delivery", "redis")}
    of_others = [psutil.Process(node.child(name).pid or 0).children() for name in ("receive", "work-analysis")]
    children = [next(one for one in group if "resource_tracker" not in " ".join(one.cmdline())) for group in of_others]
    for process in (*parents.values(), *children):
        process.send_signal(signal.SIGSTOP)
    for process in (*parents.values(), *children):
        wait_for(lambda one=process: not one.is_running(), timeout_s=90, what=f"the end of {process}")  # type: ignore[misc]
    is_answered(node, pacs, tmp_path, 1)
    wait_for(lambda: check(node)[0] == 0, timeout_s=120, every_s=2.0, what="a node that is well again")


@pytest.mark.timeout(600)
def test_a_broker_whose_socket_was_swept_away_is_replaced(node: RunningNode, pacs: FakePACS, tmp_path: Path):
    embedded.socket_path(node.settings).unlink()
    code, said = check(node)
    assert code == 0 or (code == 2 and "the broker does not answer" in said)  # it may be back already
    is_answered(node, pacs, tmp_path, 2)


@pytest.mark.timeout(600)
def test_a_dispatcher_that_stands_still_is_told_before_it_is_replaced(pacs: FakePACS, tmp_path: Path):
    with running_node(tmp_path / "node", destinations={"pacs": pacs.destination}, watchdog_s=600) as node:
        wait_for(lambda: check(node)[0] == 0, timeout_s=90, what="a node that is well")
        process = psutil.Process(node.child("dispatch").pid or 0)
        process.send_signal(signal.SIGSTOP)
        node.send_until_taken([phantom_file(tmp_path, 3)])
        try:
            wait_for(lambda: check(node)[0] == 2, timeout_s=180, every_s=3.0, what="status that tells")
            code, said = check(node, "--of", "dispatch")
            assert code == 2
            assert "dispatch" in said
            assert check(node, "--of", "delivery") == (0, "all is well\n")
            wait_for(lambda: "received file(s) are not taken in" in check(node)[1], timeout_s=120, every_s=3.0)
        finally:
            process.send_signal(signal.SIGCONT)
    code, said = check(node)  # it was stopped in order: nobody is missed who is listed, and nothing works
    assert code == 2
    assert "no dispatcher works: none is running" in said
    assert "no analysis worker works: none is running" in said


@pytest.mark.timeout(300)
def test_a_folder_that_has_one_called_node_is_no_trouble(
    pacs: FakePACS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "__init__.py").write_text("raise SystemExit('this is not the node')")
    monkeypatch.chdir(tmp_path)
    with running_node(tmp_path / "own", destinations={"pacs": pacs.destination}) as running:
        is_answered(running, pacs, tmp_path, 4)
