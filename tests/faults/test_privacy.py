"""A node started with the most careless umask keeps everything to its user, and its processes leave no core dump."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from node.delivery.destinations import Destination
from node.delivery.outcome import OutgoingFile
from node.dicom.header import read_header
from node.dimse.archive import reserved_port
from node.dimse.scu import storage
from tests.support.data.tiny_bundles import segmenter
from tests.support.peers.pacs import FakePACS
from tests.support.peers.processes import listening
from tests.support.peers.system import phantom_file
from tests.support.peers.wire import DX
from tests.support.waiting import wait_for

_CARELESS = """
import os, runpy, sys
os.umask(0)
sys.argv[0] = "hilum"
runpy.run_module("workers.cli", run_name="__main__")
"""


def others_may(folder: Path) -> list[str]:
    return [
        str(path) for path in (folder, *folder.rglob("*")) if path.lstat().st_mode & 0o077 and not path.is_symlink()
    ]


@pytest.mark.timeout(300)
def test_what_a_node_writes_is_for_its_user_alone(tmp_path: Path):
    bundles = segmenter(tmp_path / "bundles").parent
    with FakePACS() as pacs, reserved_port() as port:
        config = tmp_path / "hilum.yaml"
        values = {
            "home": str(tmp_path / "home"),
            "receiver": {"port": port},
            "spool": {"minimum_free_bytes": 0},
            "analysis": {"bundles": str(bundles), "device": "cpu"},
            "completion": {"release_s": 0.3, "quiet_s": 1.0},
            "destinations": {"pacs": pacs.destination},
        }
        config.write_text(yaml.safe_dump(values))
        log = (tmp_path / "log").open("wb")
        command = [sys.executable, "-c", _CARELESS, "--config", str(config), "up"]
        up = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        try:
            to = Destination(ae_title="HILUM", host="127.0.0.1", port=port)
            path = phantom_file(tmp_path, 1)
            file = OutgoingFile(DX, read_header(path).sop_instance_uid, path)
            wait_for(lambda: listening(port), timeout_s=60, what="the receiver")
            (outcome,) = storage.send(
                to, [file], calling_ae_title="ROUTER", connect_timeout_s=10, response_timeout_s=60
            )
            assert outcome.status == 0
            wait_for(lambda: pacs.received, timeout_s=120, what="a result")
            processes = psutil.Process(up.pid).children(recursive=True)
            limits = {one.rlimit(psutil.RLIMIT_CORE)[0] for one in processes}
            left = others_may(tmp_path / "home")
        finally:
            up.terminate()
            up.wait(60)
            log.close()
    assert limits == {0}
    assert left == []


@pytest.mark.parametrize("command", [["migrate"], ["status", "--check"], ["studies"]])
def test_commands_keep_what_they_make_to_their_user(tmp_path: Path, command: list[str]):
    home = tmp_path / "home"
    environment = {**os.environ, "HILUM_HOME": str(home)}
    if command != ["migrate"]:
        subprocess.run([sys.executable, "-m", "workers.cli", "migrate"], env=environment, check=True)
    subprocess.run([sys.executable, "-c", _CARELESS, *command], env=environment, check=False, capture_output=True)
    assert home.exists()
    assert others_may(home) == []


@pytest.mark.timeout(120)
def test_a_home_that_others_may_enter_is_said_at_start(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    environment = {**os.environ, "HILUM_HOME": str(home), "HILUM_LOG_FORMAT": "json", "HILUM_RECEIVER__PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "receive", "--single"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "home.open_to_others" in line
        assert "chmod -R go=" in line
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate()
