"""Child processes: restarted when they die, ended when asked, and what stops a node from starting."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from node.errors import Misconfigured
from node.settings import Settings
from tests.support.waiting import wait_for
from workers.process import supervisor
from workers.process.signs import Signs
from workers.process.supervisor import Child, Node

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def child(tmp_path):
    made = Child("sleeper", SLEEPER, dict(os.environ), tmp_path / "log")
    made.start()
    yield made
    made.stop()


def watched(child):
    child.watch()
    return child.pid


def test_a_child_that_died_is_started_again(child):
    first = child.pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: child.pid is None)
    assert wait_for(lambda: watched(child)) != first


def test_a_child_that_keeps_dying_is_started_later_each_time(child):
    child.command = ["false"]
    os.kill(child.pid, signal.SIGKILL)
    wait_for(lambda: child.pid is None)
    with capture_logs() as logs:
        wait_for(lambda: (watched(child), len(pauses(logs)) >= supervisor.DEATHS_AT_ONCE + 2)[1], timeout_s=30)
    first = supervisor.FIRST_RESTART_DELAY_S
    expected = [*([first] * supervisor.DEATHS_AT_ONCE), 2 * first, 4 * first]
    assert pauses(logs)[: len(expected)] == expected


def test_two_kills_in_a_row_are_no_crash_loop(child):
    with capture_logs() as logs:
        for number in (1, 2):
            os.kill(child.pid, signal.SIGKILL)
            wait_for(lambda: (watched(child), len(pauses(logs)) == number and child.pid)[1])  # noqa: B023
    assert set(pauses(logs)) == {supervisor.FIRST_RESTART_DELAY_S}


def pauses(logs):
    return [line["restart_in_s"] for line in logs if line["event"] == "child.died"]


def test_signs_of_life_end_with_a_process_that_stands_still_and_nobody_else_is_blamed(tmp_path):
    signs = Signs()
    code = "import sys, time; from node.watchdog import Watchdog; Watchdog(sys.argv[1]).start(); time.sleep(60)"
    made = [Child(name, [sys.executable, "-c", code, signs.address], dict(os.environ)) for name in ("still", "sound")]
    for one in made:
        one.silent_after_s = 4.0
        one.start()
    stranger = subprocess.Popen([sys.executable, "-c", code, signs.address], env=os.environ)
    try:
        still, sound = made

        def looked() -> None:
            signs.read()
            for one in made:
                one.end_silent(signs)

        pids = {one.pid for one in made} | {stranger.pid}
        wait_for(lambda: (looked(), pids <= signs._last.keys())[1], timeout_s=30)
        for pid in (still.pid, stranger.pid):
            os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: (looked(), still.pid is None)[1], timeout_s=30)
        assert sound.pid is not None
        assert stranger.poll() is None, "it is no child of the node"
    finally:
        stranger.kill()
        stranger.wait()
        for one in made:
            one.stop()
        signs.close()


def test_a_child_ends_when_asked_and_is_killed_when_it_does_not(child, monkeypatch, tmp_path):
    child.stop()
    assert child.pid is None
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT_S", 0.5)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    stubborn = Child("stubborn", [sys.executable, "-c", code], dict(os.environ), tmp_path / "out")
    stubborn.start()
    wait_for((tmp_path / "out").read_text)
    stubborn.stop()
    assert stubborn.pid is None


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node = Node(Settings(home=tmp_path, receiver={"port": port}), None)
        with pytest.raises(Misconfigured, match=f"{port}.*receiver.port"):
            node.start()
        node.stop()
    assert node.children == []


def test_a_second_node_on_the_same_data_is_refused(tmp_path):
    settings = Settings(home=tmp_path, broker_url="redis://127.0.0.1:1/0", receiver={"port": 0})
    import fcntl

    with (tmp_path / "up.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Misconfigured, match="already runs"):
            Node(settings, None).start()


def test_a_machine_without_redis_is_told_what_to_install(monkeypatch):
    from node.dispatch import embedded

    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(embedded.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(Misconfigured, match=r"redis-server.*hilum\[embedded\]"):
        embedded.redis_server()
