"""A peer that is let in and takes all it can get: places, time, bytes, lines in the log."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from node.spool import refusals
from tests.support.peers import certificates, wire
from tests.support.peers.receiving import arrivals, closed_arrivals, serving, settings_with, unfinished
from tests.support.waiting import wait_for

LARGE = 1 << 16


def padded_request(length: int, *, calling: str = "ROUTER") -> bytes:
    """Encode a request of that many bytes after its header, of which the last are an item that nobody knows."""
    plain = wire.request_pdu((wire.CR, [wire.EXPLICIT]), calling=calling)
    missing = length - (len(plain) - 6)
    padding = b""
    while missing:
        part = min(missing, 60_000)
        part = part if missing - part not in (1, 2, 3) else part - 4
        padding += b"\x71\0" + (part - 4).to_bytes(2, "big") + bytes(part - 4)
        missing -= part
    return plain[:2] + length.to_bytes(4, "big") + plain[6:] + padding


def test_one_address_leaves_places_for_others(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, maximum_associations=4, share_of_one_address=0.5)
    with serving(settings) as port, contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(wire.connect(port)) for _ in range(3)]
        assert [tuple(peer.associate()[:1]) for peer in greedy[:2]] == [(2,), (2,)]
        assert tuple(greedy[2].associate()) == (3, 0, 0, 0, 0, 4, 0, 2, 3, 2)
        other = stack.enter_context(wire.connect(port, source="127.0.0.9"))
        assert other.associate()[0] == 2
        assert other.store(b"data") == 0x0000


def test_silent_connections_of_one_address_leave_places_for_others(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, maximum_pending_connections=4, association_timeout_s=30)
    with serving(settings) as port, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        wait_for(lambda: sum(t.name == "association-127.0.0.1" for t in threading.enumerate()) == 4, what="four of 20")
        # ceil(0.8 x 4) is all of them: with the share of a half, two are left.
    settings = settings.model_copy(
        update={"receiver": settings.receiver.model_copy(update={"share_of_one_address": 0.5})}
    )
    with serving(settings) as port, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        wait_for(lambda: sum(t.name == "association-127.0.0.1" for t in threading.enumerate()) == 2, what="two of 20")
        other = stack.enter_context(wire.connect(port, source="127.0.0.9"))
        assert other.associate()[0] == 2


def test_the_title_is_judged_before_the_rest_has_come(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, allowed_calling_ae_titles=["ROUTER"])
    with serving(settings) as port, wire.connect(port) as peer:
        peer.send(padded_request(1 << 20, calling="STRANGER")[:74])
        assert tuple(peer.pdu()) == (3, 0, 0, 0, 0, 4, 0, 1, 1, 3)


def test_a_request_of_64_kib_is_read_and_a_longer_one_is_refused_unread(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        with wire.connect(port) as peer:
            peer.send(padded_request(LARGE))
            assert peer.pdu()[0] == 2
            assert peer.release()
        with wire.connect(port) as peer:
            peer.send(padded_request(LARGE + 1)[:74])
            assert tuple(peer.pdu()) == (3, 0, 0, 0, 0, 4, 0, 1, 3, 2)


@pytest.mark.parametrize(("number", "answer"), [(128, 2), (129, 3)])
def test_more_contexts_than_there_are_ids_are_refused(tmp_path: Path, number: int, answer: int) -> None:
    plain = wire.request_pdu((wire.CR, [wire.EXPLICIT]))
    at = plain.index(b"\x20\0\0", 74)
    end = at + 4 + int.from_bytes(plain[at + 2 : at + 4], "big")
    one = bytearray(plain[at:end])
    contexts = b"".join(bytes(one[:4]) + bytes([n]) + bytes(one[5:]) for n in range(number))
    body = plain[6:at] + contexts + plain[end:]
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.send(b"\x01\0" + len(body).to_bytes(4, "big") + body)
        answered = peer.pdu()
        assert answered[0] == answer
        if answer == 3:
            assert tuple(answered[-3:]) == (1, 3, 2)


def test_hostile_requests_cost_neither_time_nor_memory(tmp_path: Path) -> None:
    """A request of 64 KiB of contexts: it took seconds and tens of megabytes before its title was judged."""
    process = psutil.Process()
    item = b"\x20\0\0\x04\x01\0\0\0"
    with serving(settings_with(tmp_path)) as port:
        plain = wire.request_pdu((wire.CR, [wire.EXPLICIT]))
        body = plain[6:] + item * 8000
        before, begun = process.memory_info().rss, time.monotonic()
        for _ in range(20):
            with wire.connect(port) as peer:
                peer.send(b"\x01\0" + len(body).to_bytes(4, "big") + body)
                assert peer.pdu()[0] == 7  # one ID many times
        assert time.monotonic() - begun < 5
        assert process.memory_info().rss - before < 32 << 20


@pytest.mark.parametrize("secured", [False, True])
def test_one_deadline_holds_for_all_of_the_opening(tmp_path: Path, secured: bool) -> None:
    """Each of three steps used to have the whole time for itself, and each byte of the request more."""
    receiver = {"association_timeout_s": 1.0}
    if secured:
        receiver["tls"] = certificates.authority(tmp_path / "pki").issue("node")  # type: ignore[assignment]
    with serving(settings_with(tmp_path, **receiver)) as port, wire.connect(port) as peer:
        begun = time.monotonic()
        first = b"\x16\x03\x01\x02\x00\x01" if secured else wire.request_pdu((wire.CR, [wire.EXPLICIT]))
        threading.Event().wait(0.8)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - begun < 10:
                peer.send(first[:1])
                first = first[1:] or b"\0"
                threading.Event().wait(0.1)
                peer.socket.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if peer.socket.recv(1) == b"":
                        break
                peer.socket.setblocking(True)
        assert time.monotonic() - begun < 2.5


def test_an_association_that_stores_nothing_does_not_live_for_ever(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path, without_object_s=1.0)) as port, wire.connect(port) as peer:
        peer.associate()
        echo = wire.p_data(
            wire.command_set(0x0030, data=False, sop_class=wire.VERIFICATION), command=True, context_id=3
        )
        begun = time.monotonic()
        answered = 4
        while answered == 4 and time.monotonic() - begun < 10:
            peer.send(echo)
            answered = peer.pdu()[0]
            threading.Event().wait(0.05)
        assert answered == 7
        assert 0.9 < time.monotonic() - begun < 5


def test_an_association_that_stores_goes_on(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path, without_object_s=1.0)) as port, wire.connect(port) as peer:
        peer.associate()
        begun = time.monotonic()
        while time.monotonic() - begun < 2.5:
            assert peer.store(b"data") == 0x0000
            threading.Event().wait(0.2)
        assert peer.release()


def test_an_object_beyond_the_limit_is_refused_while_it_comes_and_leaves_nothing(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, maximum_object_bytes=LARGE)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        assert peer.store(bytes(LARGE)) == 0x0000
        peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(LARGE + 1), last=False))
        wait_for(lambda: not unfinished(settings), what="nothing left while more may come")
        peer.send(wire.p_data(b"end"))
        answer = peer.pdu()
        assert answer[answer.index(b"\0\0\x00\x09\x02\0\0\0") + 8 :][:2] == b"\x00\xa7"
        assert f"object is longer than {LARGE} bytes".encode() in answer
        assert peer.store(b"next") == 0x0000
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert [file.stat().st_size >= LARGE for file in folder.files] == [True, False]
    assert unfinished(settings) == []


@pytest.mark.parametrize("operation", [0x0001, 0x0020])
def test_a_data_set_without_end_is_aborted(tmp_path: Path, operation: int) -> None:
    settings = settings_with(tmp_path, maximum_object_bytes=LARGE)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        peer.send(wire.p_data(wire.command_set(operation), command=True))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(64):
                peer.send(wire.p_data(bytes(LARGE), last=False))
        assert peer.pdu()[:1] in (b"\x07", b"")
    assert unfinished(settings) == []
    assert arrivals(settings) == []


def test_refusals_are_counted_and_said_once(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, allowed_calling_ae_titles=["ROUTER"])
    with capture_logs() as logs, serving(settings) as port:
        for number in range(30):
            with wire.connect(port) as peer:
                assert peer.associate(calling="STRANGER" if number % 2 else f"NEW{number}")[0] == 3
        found = wait_for(
            lambda: [e for e in refusals.read(settings.home / "spool") if sum_of(settings) == 30], what="30 refusals"
        )
    lines = [entry for entry in logs if entry["event"] == "association.rejected"]
    assert len(lines) <= refusals.MAXIMUM_TITLES + 1
    assert lines[0]["times"] == 1
    stranger = next(entry for entry in found if entry.calling_ae_title == "STRANGER")
    assert (stranger.peer_address, stranger.times) == ("127.0.0.1", 15)
    assert stranger.why == "calling AE title not recognized"
    assert len(found) == refusals.MAXIMUM_TITLES + 1
    assert refusals.OTHERS in {entry.calling_ae_title for entry in found}


def sum_of(settings: object) -> int:
    return sum(entry.times for entry in refusals.read(settings.home / "spool"))  # type: ignore[attr-defined]


def test_one_association_that_is_refused_each_object_says_so_once(tmp_path: Path) -> None:
    with capture_logs() as logs, serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.associate()
        for _ in range(20):
            assert peer.store(b"data", instance="none") == 0x0117
        assert peer.release()
        wait_for(lambda: [e for e in logs if e["event"] == "association.ended"], what="the end")
    assert [entry["event"] for entry in logs].count("object.refused") == 1
    assert next(entry for entry in logs if entry["event"] == "association.ended")["refused"] == 20
