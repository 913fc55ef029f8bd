"""What goes wrong between a sender and the receiver, by making it go wrong."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.spool.incoming import AssociationOutcome
from tests.support.data.radiographs import radiograph, write
from tests.support.peers import servers, wire
from tests.support.peers.receiving import arrivals, closed_arrivals, serving, settings_with, unfinished
from tests.support.waiting import wait_for


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


@pytest.mark.parametrize("farewell", [wire.ABORT, None, "reset"])
def test_an_object_cut_off_in_the_middle_leaves_nothing(tmp_path: Path, farewell: bytes | str | None) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port:
        with wire.connect(port) as peer:
            peer.associate()
            assert peer.store(b"whole") == 0x0000
            peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(100_000), last=False))
            wait_for(lambda: any(f.stat().st_size > 90_000 for f in unfinished(settings)), what="half an object")
            if isinstance(farewell, bytes):
                peer.send(farewell)
            elif farewell == "reset":
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        (folder,) = closed_arrivals(settings)
        wait_for(lambda: not unfinished(settings), what="no unfinished file")
    assert folder.outcome is AssociationOutcome.ABORTED
    assert [f.read_bytes()[-5:] for f in folder.files] == [b"whole"]


def test_probes_leave_no_thread_behind(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        before = threading.active_count()
        for _ in range(100):
            socket.create_connection(("127.0.0.1", port)).close()
        with wire.connect(port) as peer:
            assert peer.associate()[0] == 2
            peer.release()
        wait_for(lambda: threading.active_count() <= before, what="no more threads than before")


@pytest.mark.parametrize("reset", [False, True])
def test_probes_are_no_news(tmp_path: Path, reset: bool) -> None:
    with capture_logs() as logs, serving(settings_with(tmp_path)) as port:
        with socket.create_connection(("127.0.0.1", port)) as probe:
            if reset:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        with wire.connect(port) as peer:
            peer.send(b"\x01")
        wait_for(lambda: len(logs) >= 2, what="both ends in the log")
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
        assert closed_arrivals(settings)[0].outcome is AssociationOutcome.ABORTED


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


def test_no_patient_attribute_reaches_the_logs(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    file = write(tmp_path / "x.dcm", radiograph())
    with capture_logs() as logs, serving(settings) as port:
        servers.storescu(port, [file])
        with wire.connect(port) as peer:
            peer.associate()
            peer.store(file.read_bytes(), instance="Planted")
            peer.send(b"Planted^Name")
            peer.pdu()
        closed_arrivals(settings)
    assert {entry["event"] for entry in logs} >= {"association.ended", "object.refused"}
    assert "lanted" not in repr(logs).casefold()
    ended = {entry["calling_ae_title"]: entry for entry in logs if entry["event"] == "association.ended"}
    assert (ended["STORESCU"]["stored"], ended["STORESCU"]["outcome"]) == (1, "released")
