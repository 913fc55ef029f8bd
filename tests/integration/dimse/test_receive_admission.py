"""Who may open an association, and how those are refused who may not, each refusal by causing it."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from node.delivery.destinations import Destination
from node.dimse.scu import verification
from tests.support.peers import wire
from tests.support.peers.processes import require
from tests.support.peers.receiving import closed_arrivals, serving, settings_with
from tests.support.waiting import wait_for


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

        wait_for(again, what="a place for the next association")


def test_under_the_watermark_associations_are_rejected_as_congestion(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path, spool={"minimum_free_bytes": 1 << 60})) as port, wire.connect(port) as peer:
        assert tuple(peer.associate())[-3:] == (2, 3, 1)


def test_connections_without_association_are_limited(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, maximum_pending_connections=3, association_timeout_s=30)
    with serving(settings) as port:
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        wait_for(
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

        wait_for(associated, what="a place for the next connection")
        for connection in idle:
            connection.close()


def test_dcmtk_echo(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        command = [require("echoscu"), "-aec", "HILUM", "127.0.0.1", str(port)]
        assert subprocess.run(command, check=False, timeout=30).returncode == 0


def test_our_own_sender_reaches_our_receiver(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port:
        destination = Destination(ae_title="HILUM", host="127.0.0.1", port=port)
        verification.echo(destination, calling_ae_title="TEST", timeout_s=10)
