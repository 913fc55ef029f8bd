"""What goes wrong between a sender and the receiver, by making it go wrong."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.destinations import Destination
from node.dimse import receiver, scu
from node.errors import Misconfigured
from node.incoming import IncomingFolder, Outcome
from node.settings import Settings
from node.spool import Spool
from tests import peers, wire
from tests.radiographs import radiograph, write


def settings_with(tmp_path: Path, *, spool: dict[str, Any] | None = None, **receiver: Any) -> Settings:
    return Settings(
        home=tmp_path / "home",
        receiver={"port": 0, "processes": 1, **receiver},
        spool={"minimum_free_bytes": 0, **(spool or {})},
    )


def arrivals(settings: Settings) -> list[IncomingFolder]:
    return list(Spool(settings.home / "spool").incoming.arrivals())


def closed_arrivals(settings: Settings) -> list[IncomingFolder]:
    """Wait until every association that left something is over."""

    def found() -> list[IncomingFolder]:
        folders = arrivals(settings)
        return folders if folders and all(f.outcome for f in folders) else []

    return peers.wait_for(found, what="closed arrivals")  # type: ignore[no-any-return]


def unfinished(settings: Settings) -> list[Path]:
    return list((settings.home / "spool" / "tmp").glob("*/*.part"))


@contextmanager
def serving(settings: Settings) -> Iterator[int]:
    with peers.hilum(settings) as port:
        yield port


# Rejections, each by causing it


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"calling": "STRANGER"}, (1, 1, 3)),
        ({"called": "OTHER"}, (1, 1, 7)),
        ({"application_context": "1.2.3"}, (1, 1, 2)),
        ({"protocol_version": 2}, (1, 2, 2)),
        ({"calling_field": b" " * 16}, (1, 1, 3)),
        ({"calling_field": bytes(16)}, (1, 1, 3)),
        ({"called_field": b" " * 16}, (1, 1, 7)),
        ({"called_field": bytes(16)}, (1, 1, 7)),
    ],
)
def test_rejections_in_the_words_of_the_standard(
    tmp_path: Path, options: dict[str, Any], words: tuple[int, int, int]
) -> None:
    with (
        serving(settings_with(tmp_path, allowed_calling_ae_titles=["ROUTER"])) as port,
        wire.connect(port) as peer,
    ):
        assert tuple(peer.associate(**options)) == (3, 0, 0, 0, 0, 4, 0, *words)


def test_titles_padded_with_nul_are_let_in(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, allowed_calling_ae_titles=["ROUTER"])
    padded = {"calling_field": b"ROUTER".ljust(16, b"\0"), "called_field": b"HILUM".ljust(16, b"\0")}
    with serving(settings) as port, wire.connect(port) as peer:
        assert peer.associate(**padded)[0] == 2  # type: ignore[arg-type]
        assert peer.store(b"data") == 0x0000
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert (folder.info.calling_ae_title, folder.info.called_ae_title) == ("ROUTER", "HILUM")


def test_a_peer_outside_the_allowed_networks_is_rejected_unread(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, host="127.0.0.1", allowed_networks=["127.0.0.1/32"])
    with serving(settings) as port:
        with wire.connect(port, source="127.0.0.2") as peer:
            peer.send(b"\x01\x00\x00\x00\x10\x00")  # the header of a request suffices
            assert tuple(peer.pdu()) == (3, 0, 0, 0, 0, 4, 0, 1, 1, 1)
        with wire.connect(port) as peer:
            assert peer.associate()[0] == 2


def test_one_association_too_many_is_rejected_as_transient(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path, maximum_associations=1)) as port:
        with wire.connect(port) as first:
            assert first.associate()[0] == 2
            with wire.connect(port) as second:
                assert tuple(second.associate())[-3:] == (2, 3, 2)
            assert first.release()

        def again() -> bool:
            with wire.connect(port) as third:
                return third.associate()[0] == 2

        peers.wait_for(again, what="a place for the next association")


def test_under_the_watermark_associations_are_rejected_as_congestion(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path, spool={"minimum_free_bytes": 1 << 60})) as port, wire.connect(port) as peer:
        assert tuple(peer.associate())[-3:] == (2, 3, 1)


# The disk


def test_a_disk_that_fills_up_answers_out_of_resources(tmp_path: Path) -> None:
    gap = 4 << 30
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    settings = settings_with(tmp_path, spool={"minimum_free_bytes": max(0, free - gap)})
    filler = tmp_path / "filler"
    with serving(settings) as port, wire.connect(port) as peer:
        assert peer.associate()[0] == 2
        assert peer.store(b"first") == 0x0000
        try:
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 2 * gap)
            assert peer.store(b"second") == 0xA700
        except OSError as error:
            pytest.skip(f"cannot fill the disk: {error}")
        finally:
            filler.unlink()
        assert peer.store(b"third") == 0x0000
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert [f.read_bytes()[-5:] for f in folder.files] == [b"first", b"third"]
    assert unfinished(settings) == []


def test_a_write_that_fails_answers_out_of_resources(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(settings) as port, wire.connect(port) as peer:
        assert peer.associate()[0] == 2
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
        try:
            assert peer.store(bytes(1 << 18)) == 0xA700
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert peer.store(b"next") == 0x0000
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert len(folder.files) == 1
    assert unfinished(settings) == []


# What the sender says


@pytest.mark.parametrize("uid", ["../../etc/passwd", "/tmp/x", "1.2.3\\4", "a", "", "1" * 70, "1.2\n3"])  # noqa: S108
def test_an_announced_uid_that_is_none_is_refused(tmp_path: Path, uid: str) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        assert peer.store(b"data", instance=uid) == 0x0117
        assert peer.store(b"data", instance="..") == 0x0000  # digits and dots: the intake judges it
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert [f.name for f in folder.files] == ["000001.dcm"]


def test_another_sop_class_than_that_of_the_context_is_refused(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.associate()
        assert peer.store(b"data", sop_class=wire.DX) == 0x0122


def test_a_store_without_data_set_and_an_unknown_command_are_answered(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.associate()
        peer.send(wire.p_data(wire.command_set(data=False), command=True))
        assert peer.status() == 0xC000
        peer.send(wire.p_data(wire.command_set(0x0020), command=True), wire.p_data(b"query"))
        assert peer.status() == 0x0211
        peer.send(
            wire.p_data(wire.command_set(0x0030, data=False, sop_class=wire.VERIFICATION), command=True, context_id=3)
        )
        assert peer.status() == 0x0000
        assert peer.release()


def test_the_same_object_twice_is_one_object_in_the_spool(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        assert peer.store(b"same") == peer.store(b"same") == 0x0000
        assert peer.release()
    spool = Spool(settings.home / "spool")
    (folder,) = closed_arrivals(settings)
    assert len(folder.files) == 2
    assert len({spool.keep(file).path for file in folder.files}) == 1


def test_fragments_may_be_cut_anywhere(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    content = bytes(range(256)) * 3000
    command = wire.command_set()
    stream = wire.p_data(command[:7], command=True, last=False) + wire.p_data(command[7:], command=True)
    for start in range(0, len(content), 100_003):
        stream += wire.p_data(content[start : start + 100_003], last=start + 100_003 >= len(content))
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        for start in range(0, len(stream), 70_001):
            peer.send(stream[start : start + 70_001])
        assert peer.status() == 0x0000
        peer.send(wire.p_data(command, command=True, last=False), wire.p_data(b"", command=True))
        peer.send(wire.p_data(b"x", last=False), wire.p_data(b""))
        peer.send(wire.p_data(command, command=True) + wire.p_data(b"y"))
        assert (peer.status(), peer.status()) == (0x0000, 0x0000)
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert folder.files[0].read_bytes().endswith(content)
    assert [f.read_bytes()[-1:] for f in folder.files[1:]] == [b"x", b"y"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x09\x00\x00\x00\x00\x04\x00\x00\x00\x00", 1),  # unrecognised PDU
        (wire.RELEASE_RP, 2),  # unexpected PDU
        (b"\x05\x00\xff\xff\xff\xff", 2),  # a release of 4 GiB
        (wire.p_data(b"x", context_id=99), 6),
        (wire.p_data(b"x"), 5),  # data set without command
        (wire.p_data(b"\xff" * 20, command=True), 6),
        (wire.p_data(wire.command_set(0x8001, data=False), command=True), 5),
        (b"\x04\x00\x00\x00\x00\x08" + b"\x00\x00\x00\xff\x01\x03ab", 6),  # longer than its PDU
        (b"\x04\x00\x00\x00\x00\x05" + b"\x00\x00\x00\x01\x01", 6),
        (wire.p_data(wire.command_set(), command=True) + wire.RELEASE_RQ, 2),
        (wire.p_data(wire.command_set(), command=True) * 2, 5),
        (wire.p_data(bytes(60_000), command=True, last=False) * 2, 6),
        (wire.p_data(b"", command=True, last=False), 6),
        (wire.p_data(b"\0", command=True, last=False) * 257, 6),
        (wire.p_data(wire.command_set(), command=True) + wire.p_data(b"", last=False), 6),
        (b"\x04\x00\x00\x00\x00\x00", 6),  # P-DATA-TF without a value
    ],
)
def test_a_broken_protocol_is_aborted_with_its_reason(tmp_path: Path, sent: bytes, reason: int) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port:
        with wire.connect(port) as peer:
            peer.associate()
            assert peer.store(b"before") == 0x0000
            peer.send(sent)
            assert tuple(peer.pdu()) == (7, 0, 0, 0, 0, 4, 0, 0, 2, reason)
            assert peer.closed()
        assert closed_arrivals(settings)[0].outcome is Outcome.ABORTED
    assert unfinished(settings) == []


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", wire.RELEASE_RQ, b"\x01\x00\x7f\xff\xff\xff", b"\x01\x00\x00\x00\x00\x08rubbish!"],
)
def test_what_is_no_request_is_aborted(tmp_path: Path, sent: bytes) -> None:
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.send(sent)
        assert peer.pdu()[0] == 7
        assert peer.closed()


# What the sender does


@pytest.mark.parametrize("farewell", [wire.ABORT, None, "reset"])
def test_an_object_cut_off_in_the_middle_leaves_nothing(tmp_path: Path, farewell: bytes | str | None) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port:
        with wire.connect(port) as peer:
            peer.associate()
            assert peer.store(b"whole") == 0x0000
            peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(100_000), last=False))
            peers.wait_for(lambda: any(f.stat().st_size > 90_000 for f in unfinished(settings)), what="half an object")
            if isinstance(farewell, bytes):
                peer.send(farewell)
            elif farewell == "reset":
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        (folder,) = closed_arrivals(settings)
        peers.wait_for(lambda: not unfinished(settings), what="no unfinished file")
    assert folder.outcome is Outcome.ABORTED
    assert [f.read_bytes()[-5:] for f in folder.files] == [b"whole"]


def test_probes_leave_no_thread_behind(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        before = threading.active_count()
        for _ in range(100):
            socket.create_connection(("127.0.0.1", port)).close()
        with wire.connect(port) as peer:
            assert peer.associate()[0] == 2
            peer.release()
        peers.wait_for(lambda: threading.active_count() <= before, what="no more threads than before")


@pytest.mark.parametrize("reset", [False, True])
def test_probes_are_no_news(tmp_path: Path, reset: bool) -> None:
    with capture_logs() as logs, serving(settings_with(tmp_path)) as port:
        with socket.create_connection(("127.0.0.1", port)) as probe:
            if reset:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        with wire.connect(port) as peer:
            peer.send(b"\x01")
        peers.wait_for(lambda: len(logs) >= 2, what="both ends in the log")
    assert sorted((entry["event"], entry["log_level"]) for entry in logs) == [
        ("connection.dropped", "info"),
        ("connection.probe", "debug"),
    ]


def test_who_says_nothing_is_dropped(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path, association_timeout_s=0.3)) as port, wire.connect(port) as peer:
        assert peer.closed()


def test_who_drips_a_request_is_dropped(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path, association_timeout_s=0.3)) as port, wire.connect(port) as peer:
        begun = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for byte in wire.request_pdu((wire.CR, [wire.EXPLICIT])) * 9:
                peer.send(bytes([byte]))
                threading.Event().wait(0.02)
        assert time.monotonic() - begun < 3


def test_silence_on_an_association_is_aborted(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, network_timeout_s=0.3)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        assert peer.store(b"whole") == 0x0000
        assert tuple(peer.pdu()) == (7, 0, 0, 0, 0, 4, 0, 0, 2, 0)
        assert closed_arrivals(settings)[0].outcome is Outcome.ABORTED


def test_silence_in_the_middle_of_an_object_is_aborted(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, network_timeout_s=0.3)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(1000), last=False))
        assert peer.pdu()[0] == 7
    assert unfinished(settings) == []
    assert arrivals(settings) == []


def test_an_object_that_drips_is_aborted(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, dimse_timeout_s=0.3)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        peer.send(wire.p_data(wire.command_set(), command=True))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(200):
                peer.send(wire.p_data(b"x", last=False))
                threading.Event().wait(0.02)


def test_connections_without_association_are_limited(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, maximum_pending_connections=3, association_timeout_s=30)
    with serving(settings) as port:
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        peers.wait_for(
            lambda: sum(t.name.startswith("association-") for t in threading.enumerate()) == 3, what="three threads"
        )
        with wire.connect(port) as peer:
            assert peer.closed()
        idle.pop().close()

        def associated() -> bool:
            with wire.connect(port) as peer:
                try:
                    return peer.associate()[:1] == b"\x02"
                except OSError:
                    return False

        peers.wait_for(associated, what="a place for the next connection")
        for connection in idle:
            connection.close()


def test_going_down_lets_an_object_arrive_and_aborts_the_idle(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    stop = threading.Event()
    spool = Spool.create(settings.home / "spool")
    ports: list[int] = []
    thread = threading.Thread(
        target=receiver.run, args=(settings, spool), kwargs={"stop": stop, "single": True, "ready": ports.append}
    )
    thread.start()
    port = peers.wait_for(lambda: ports, what="receiver")[0]
    with wire.connect(port) as idle, wire.connect(port) as busy:
        idle.associate()
        busy.associate()
        busy.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(5000), last=False))
        peers.wait_for(lambda: unfinished(settings), what="half an object")
        stop.set()
        assert idle.pdu()[0] == 7
        busy.send(wire.p_data(b"end"))
        assert busy.status() == 0x0000
        assert busy.pdu()[0] == 7
    thread.join(20)
    assert not thread.is_alive()
    (folder,) = arrivals(settings)
    assert (len(folder.files), folder.outcome) == (1, Outcome.ABORTED)
    spool.close()


# Processes


def test_a_killed_receiver_is_replaced_and_its_leftovers_are_swept(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, processes=2)
    with peers.hilum(settings, single=False) as port:
        first = peers.receiver_processes()
        assert len(first) == 2
        with wire.connect(port) as peer:
            peer.associate()
            assert peer.store(b"acknowledged") == 0x0000
            peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(5000), last=False))
            peers.wait_for(lambda: unfinished(settings), what="half an object")
            for child in first:
                child.send_signal(signal.SIGKILL)
            peers.wait_for(
                lambda: len({c.pid for c in peers.receiver_processes()} - {c.pid for c in first}) == 2,
                what="replacements",
            )
        (folder,) = closed_arrivals(settings)
        assert folder.outcome is Outcome.ABORTED
        assert [f.read_bytes()[-12:] for f in folder.files] == [b"acknowledged"]
        peers.wait_for(lambda: not unfinished(settings), what="sweep")

        def takes() -> bool:
            with contextlib.suppress(ConnectionRefusedError), wire.connect(port) as peer:
                return peer.associate()[:1] == b"\x02"
            return False

        peers.wait_for(takes, what="the port served again")
    assert peers.receiver_processes() == []


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
    peers.wait_for(peers.receiver_processes, what="a receiver process")
    return thread, failures, ports


@pytest.mark.parametrize("child_first", [False, True])
def test_going_down_during_the_start_is_no_failure(tmp_path: Path, child_first: bool) -> None:
    stop = threading.Event()
    thread, failures, ports = starting(settings_with(tmp_path, processes=2), stop)
    if child_first:  # SIGTERM to the group
        for child in peers.receiver_processes():
            child.send_signal(signal.SIGTERM)
        threading.Event().wait(0.3)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert (failures, ports) == ([], [])
    assert peers.receiver_processes() == []


def test_a_process_that_dies_during_the_start_is_said_with_its_exit_code(tmp_path: Path) -> None:
    thread, failures, _ = starting(settings_with(tmp_path), threading.Event())
    for child in peers.receiver_processes():
        child.send_signal(signal.SIGKILL)
    thread.join(30)
    assert isinstance(failures[0], Misconfigured)
    assert "exit code -9" in str(failures[0])


def test_a_port_in_use_is_said_at_start(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        other = settings_with(tmp_path / "other", port=port, processes=2)
        with pytest.raises(Misconfigured, match="in use"), peers.hilum(other, single=False):
            pass


# Logs


def test_no_patient_attribute_reaches_the_logs(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    file = write(tmp_path / "x.dcm", radiograph())
    with capture_logs() as logs, serving(settings) as port:
        peers.storescu(port, [file])
        with wire.connect(port) as peer:
            peer.associate()
            peer.store(file.read_bytes(), instance="Planted")
            peer.send(b"Planted^Name")
            peer.pdu()
        closed_arrivals(settings)
    assert {entry["event"] for entry in logs} >= {"association.ended", "object.refused"}
    assert "lanted" not in repr(logs).casefold()
    ended = next(entry for entry in logs if entry["event"] == "association.ended")
    assert (ended["calling_ae_title"], ended["stored"], ended["outcome"]) == ("STORESCU", 1, "released")


def test_dcmtk_echo(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        command = [peers.require("echoscu"), "-aec", "HILUM", "127.0.0.1", str(port)]
        assert subprocess.run(command, check=False, timeout=30).returncode == 0


def test_our_own_sender_reaches_our_receiver(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        destination = Destination(ae_title="HILUM", host="127.0.0.1", port=port)
        scu.echo(destination, calling_ae_title="TEST", timeout_s=10)
