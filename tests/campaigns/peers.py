"""Archives that are slow, narrow, forgetful or change their mind; senders that are slow, greedy, broken or many."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from tests.campaigns.frame.archive import SUCCESS, Archive
from tests.campaigns.frame.node import CampaignNode
from tests.campaigns.frame.scenario import Scenario
from tests.support.peers import wire

OTHER_ADDRESS = "127.0.0.2"
"""Where the senders that misbehave come from; the router comes from 127.0.0.1."""

_COMMITMENT = {"ask": True, "wait_s": 1.0, "report_within_s": 3.0, "requests": 2}


def scenarios() -> tuple[Scenario, ...]:
    """Return all of them."""
    return (
        Scenario("archive down", _down),
        Scenario("archive slow", _slow),
        Scenario("archive takes one association", _narrow),
        Scenario("archive changes its mind", _fickle),
        Scenario("archive forgets", _forgetful, commitment=_COMMITMENT),
        Scenario("senders slow", _beset(_trickle)),
        Scenario("senders greedy", _beset(_hold)),
        Scenario("senders broken", _beset(_break_off)),
        Scenario("senders many", _beset(_come_and_go)),
    )


@contextlib.contextmanager
def _down(_node: CampaignNode, archive: Archive) -> Iterator[None]:
    archive.stop()
    try:
        yield
    finally:
        archive.start()


@contextlib.contextmanager
def _slow(_node: CampaignNode, archive: Archive) -> Iterator[None]:
    archive.delay_s = 4.0
    try:
        yield
    finally:
        archive.delay_s = 0.0


@contextlib.contextmanager
def _narrow(_node: CampaignNode, archive: Archive) -> Iterator[None]:
    archive.delay_s = 0.5
    archive.narrow(1)
    try:
        yield
    finally:
        archive.delay_s = 0.0
        archive.narrow(100)


@contextlib.contextmanager
def _fickle(_node: CampaignNode, archive: Archive) -> Iterator[None]:
    generator = random.Random(0)
    archive.answer = lambda: generator.choice((0xA700, 0xA701, 0xC001, 0x0122, SUCCESS))
    try:
        yield
    finally:
        archive.answer = lambda: SUCCESS


@contextlib.contextmanager
def _forgetful(_node: CampaignNode, archive: Archive) -> Iterator[None]:
    generator = random.Random(0)
    archive.forgets = lambda: generator.random() < 0.5
    try:
        yield
    finally:
        archive.forgets = lambda: False


def _beset(
    attack: Callable[[int, threading.Event], None], *, threads: int = 8
) -> Callable[[CampaignNode, Archive], AbstractContextManager[None]]:
    """Return the fault of senders that do something to the node's port again and again."""

    @contextlib.contextmanager
    def fault(node: CampaignNode, _archive: Archive) -> Iterator[None]:
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    attack(node.settings.receiver.port, over)
                over.wait(0.05)

        attackers = [threading.Thread(target=go_on) for _ in range(threads)]
        for one in attackers:
            one.start()
        try:
            yield
        finally:
            over.set()
            for one in attackers:
                one.join()

    return fault


@contextlib.contextmanager
def _connected(port: int) -> Iterator[wire.Wire]:
    with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(OTHER_ADDRESS, 0)) as connection:
        yield wire.Wire(connection)


def _trickle(port: int, over: threading.Event) -> None:
    """Send a request byte by byte, and never finish it."""
    with _connected(port) as peer:
        for byte in wire.request_pdu((wire.CR, [wire.EXPLICIT])):
            peer.send(bytes([byte]))
            if over.wait(0.3):
                return


def _hold(port: int, over: threading.Event) -> None:
    """Open eight associations and keep them."""
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            peer = stack.enter_context(_connected(port))
            peer.send(wire.request_pdu((wire.CR, [wire.EXPLICIT])))
        over.wait(30)


def _break_off(port: int, _over: threading.Event) -> None:
    """Begin an object and go away in the middle of it."""
    with _connected(port) as peer:
        peer.send(wire.request_pdu((wire.CR, [wire.EXPLICIT])))
        peer.pdu()
        peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(bytes(100_000), last=False))
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def _come_and_go(port: int, _over: threading.Event) -> None:
    """Open an association and release it at once."""
    with _connected(port) as peer:
        peer.send(wire.request_pdu((wire.VERIFICATION, [wire.IMPLICIT]), calling=f"MANY{random.randrange(10000)}"))
        peer.pdu()
        peer.send(wire.RELEASE_RQ)
        peer.pdu()
