"""The receiver's processes: killed, going down, starting."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path

import pytest

from node.dimse.scp import receiver
from node.errors import Misconfigured
from node.settings import Settings
from node.spool.incoming import AssociationOutcome
from node.spool.store import Spool
from tests.support.peers import servers, wire
from tests.support.peers.receiving import arrivals, closed_arrivals, serving, settings_with, unfinished
from tests.support.waiting import wait_for


def test_going_down_lets_an_object_arrive_and_aborts_the_idle(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    stop = threading.Event()
    spool = Spool.create(settings.home / "spool")
    ports: list[int] = []
    thread = threading.Thread(
        target=receiver.run, args=(settings, spool), kwargs={"stop": stop, "single": True, "ready": ports.append}
    )
    thread.start()
    port = wait_for(lambda: ports, what="receiver")[0]
    with wire.connect(port) as idle, wire.connect(port) as busy:
        idle.associate()
        busy.associate()
        busy.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(5000), last=False))
        wait_for(lambda: unfinished(settings), what="half an object")
        stop.set()
        assert idle.pdu()[0] == 7
        busy.send(wire.p_data(b"end"))
        assert busy.status() == 0x0000
        assert busy.pdu()[0] == 7
    thread.join(20)
    assert not thread.is_alive()
    (folder,) = arrivals(settings)
    assert (len(folder.files), folder.outcome) == (1, AssociationOutcome.ABORTED)
    spool.close()


def test_a_killed_receiver_is_replaced_and_its_leftovers_are_swept(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, processes=2)
    with servers.hilum(settings, single=False) as port:
        first = servers.receiver_processes()
        assert len(first) == 2
        with wire.connect(port) as peer:
            peer.associate()
            assert peer.store(b"acknowledged") == 0x0000
            peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(5000), last=False))
            wait_for(lambda: unfinished(settings), what="half an object")
            for child in first:
                child.send_signal(signal.SIGKILL)
            wait_for(
                lambda: len({c.pid for c in servers.receiver_processes()} - {c.pid for c in first}) == 2,
                what="replacements",
            )
        (folder,) = closed_arrivals(settings)
        assert folder.outcome is AssociationOutcome.ABORTED
        assert [f.read_bytes()[-12:] for f in folder.files] == [b"acknowledged"]
        wait_for(lambda: not unfinished(settings), what="sweep")

        def takes() -> bool:
            with contextlib.suppress(ConnectionRefusedError), wire.connect(port) as peer:
                return peer.associate()[:1] == b"\x02"
            return False

        wait_for(takes, what="the port served again")
    assert servers.receiver_processes() == []


def starting(settings: Settings, stop: threading.Event) -> tuple[threading.Thread, list[BaseException], list[int]]:
    """Start the receiver as deployed, and come back as soon as its first process exists, long before it serves."""
    spool, failures, ports = Spool.create(settings.home / "spool"), list[BaseException](), list[int]()

    def run() -> None:
        try:
            receiver.run(settings, spool, stop=stop, ready=ports.append)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(servers.receiver_processes, what="a receiver process")
    return thread, failures, ports


@pytest.mark.parametrize("child_first", [False, True])
def test_going_down_during_the_start_is_no_failure(tmp_path: Path, child_first: bool) -> None:
    stop = threading.Event()
    thread, failures, ports = starting(settings_with(tmp_path, processes=2), stop)
    if child_first:  # SIGTERM to the group
        for child in servers.receiver_processes():
            child.send_signal(signal.SIGTERM)
        threading.Event().wait(0.3)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert (failures, ports) == ([], [])
    assert servers.receiver_processes() == []


def test_a_process_that_is_killed_at_each_start_is_said_with_its_exit_code(tmp_path: Path) -> None:
    thread, failures, _ = starting(settings_with(tmp_path), threading.Event())

    def killed() -> bool:
        for child in servers.receiver_processes():
            child.send_signal(signal.SIGKILL)
        return not thread.is_alive()

    wait_for(killed, timeout_s=30, what="the end of the receiver")
    assert isinstance(failures[0], Misconfigured)
    assert "exit code -9" in str(failures[0])


def test_a_port_in_use_is_said_at_start(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        other = settings_with(tmp_path / "other", port=port, processes=2)
        with pytest.raises(Misconfigured, match="in use"), servers.hilum(other, single=False):
            pass


def test_a_process_that_is_killed_while_it_starts_is_replaced_and_ends_no_other(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, processes=2)
    spool, stop, ports = Spool.create(settings.home / "spool"), threading.Event(), list[int]()
    thread = threading.Thread(
        target=receiver.run, args=(settings, spool), kwargs={"stop": stop, "ready": ports.append}, daemon=True
    )
    thread.start()
    try:
        victim = wait_for(servers.receiver_processes, what="a process that starts")[0]
        victim.send_signal(signal.SIGKILL)
        port = wait_for(lambda: ports, timeout_s=60, what="the receiver")[0]
        wait_for(lambda: len({one.pid for one in servers.receiver_processes()} - {victim.pid}) == 2, timeout_s=60)

        def takes() -> bool:
            with contextlib.suppress(OSError), wire.connect(port) as peer:
                return peer.associate()[:1] == b"\x02"
            return False

        wait_for(takes, timeout_s=60, what="an association")
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
