"""The Storage and Verification SCP of one process: a listening socket, and one thread for each connection.

Connections that never associate are bounded in number and in time, and leave nothing behind. The TLS handshake is done
in the connection's own thread, so that a stalled one holds up nobody.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from node import pipelines, tls
from node.dicom.contexts import WORKER_DECODERS, accepted_contexts
from node.dimse.scp.admission import Places, Policy
from node.dimse.scp.connection import Connection, Shared, is_disallowed
from node.errors import Misconfigured
from node.settings import Settings
from node.spool.refusals import Refusals
from node.spool.store import Spool

log = structlog.get_logger(__name__)

MAXIMUM_DISALLOWED: Final = 8
"""Connections from outside the allowed networks that wait for their rejection; one more is closed at once."""

DRAIN_S: Final = 10.0
"""Longest wait, when going down, for objects that are in the middle of their way."""


def serve(settings: Settings, spool: Spool, *, stop: threading.Event, ready: Callable[[int], None]) -> None:
    """Receive until `stop` is set; then unfinished objects get `DRAIN_S` seconds to arrive.

    Parameters
    ----------
    ready
        Called once with the port, when connections are accepted.

    Raises
    ------
    Misconfigured
        The address or the TLS files cannot be used.
    """
    wake, wake_writer = os.pipe()
    try:
        shared = _share(settings, spool, wake)
        with listen(settings.receiver.host, settings.receiver.port) as listener:
            threads = _Threads(shared)
            ready(listener.getsockname()[1])
            waiting = select.poll()
            waiting.register(listener, select.POLLIN)
            while not stop.is_set():
                if waiting.poll(100):
                    with contextlib.suppress(OSError):  # the peer was gone before it was accepted
                        threads.start(*listener.accept())
                shared.refusals.write()
        os.write(wake_writer, b"x")
        threads.join(DRAIN_S)
    finally:
        os.close(wake)
        os.close(wake_writer)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket whose port other processes of this user may share (SO_REUSEPORT).

    Raises
    ------
    Misconfigured
        The address cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise Misconfigured(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


class _Threads:
    """The connections of one process and their threads."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._running: dict[threading.Thread, Connection] = {}

    def start(self, connection: socket.socket, address: tuple[str, int]) -> None:
        """Start the thread of a connection, or close it where there are too many of its kind."""
        self._running = {thread: c for thread, c in self._running.items() if thread.is_alive()}
        peer_address = address[0]
        disallowed = is_disallowed(self._shared, peer_address)
        waiting = self._shared.disallowed if disallowed else self._shared.pending
        if waiting.take(peer_address) is not None:
            why = "too many connections without association"
            if times := self._shared.refusals.note(peer_address, "", why):
                log.warning("connection.refused", peer=peer_address, why=why, times=times)
            connection.close()
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        served = Connection(self._shared, connection, peer_address, waiting=waiting, disallowed=disallowed)
        thread = threading.Thread(target=served.run, name=f"association-{peer_address}", daemon=True)
        self._running[thread] = served
        thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the connections; break what is left then."""
        deadline = time.monotonic() + timeout_s
        for thread in self._running:
            thread.join(max(0.0, deadline - time.monotonic()))
        for thread, served in self._running.items():
            if thread.is_alive():
                served.close()
                thread.join(1.0)


def _share(settings: Settings, spool: Spool, wake: int) -> Shared:
    """Build from the settings what all connections need."""
    receiver = settings.receiver
    policy = Policy(
        ae_title=receiver.ae_title,
        allowed_calling_ae_titles=frozenset(receiver.allowed_calling_ae_titles),
        allowed_networks=tuple(receiver.allowed_networks),
        certificates={title: frozenset(names) for title, names in receiver.peer_certificates.items()},
        minimum_free_bytes=settings.spool.minimum_free_bytes,
    )
    share = receiver.share_of_one_address
    decoders = WORKER_DECODERS if receiver.decoders is None else frozenset(receiver.decoders)
    return Shared(
        settings=receiver,
        policy=policy,
        spool=spool,
        contexts=accepted_contexts(decoders, pipelines.storage_classes(settings.rules)),
        tls_context=tls.server_context(receiver.tls),
        wake=wake,
        refusals=Refusals(spool.root),
        pending=Places(receiver.maximum_pending_connections, share=share),
        disallowed=Places(MAXIMUM_DISALLOWED, share=1.0),
        associations=Places(receiver.maximum_associations, share=share),
    )
