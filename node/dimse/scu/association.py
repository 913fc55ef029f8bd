"""An association that this node opens: bounded in time and in what is read, released or aborted at its end."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from pynetdicom import AE, _config, evt

from node import tls
from node.delivery.destinations import Destination
from node.dimse.items import MAXIMUM_CONTEXTS
from node.dimse.scu.answer import tolerant
from node.errors import PeerBusy, PeerUnavailable
from node.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MAXIMUM_PDU_BYTES: Final = 131072
ABORT_LINGER_S: Final = 1.0
"""Longest wait for the peer to close the connection after our A-ABORT (ARTIM, PS3.8 section 9.1.5)."""

MAXIMUM_RECEIVED_BYTES: Final = 1 << 22
"""Most that is read over one association; a C-STORE response takes about 150 bytes, a commitment report up to 1 MiB."""


@contextlib.contextmanager
def associated(
    destination: Destination,
    contexts: Sequence[tuple[str, Sequence[str]]],
    *,
    calling_ae_title: str,
    connect_timeout_s: float,
    response_timeout_s: float,
    handlers: Sequence[tuple[Any, Any]] = (),
) -> Iterator[Any]:
    """Open an association and release it; abort it where the block fails.

    No peer can hold its caller up: what waits for an answer waits for at most the timeout that is given, and
    `ABORT_LINGER_S` after it the connection is shut down, whatever is still being sent or received.

    Parameters
    ----------
    contexts
        SOP class UIDs, each with the transfer syntax UIDs to propose.
    handlers
        pynetdicom's events, each with what is called for it.

    Raises
    ------
    PeerBusy
        The peer has as many associations as it takes, or is congested (PS3.8 section 9.3.4: transient).
    PeerUnavailable
        There is no association, or it ended within the block.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    _config.LOG_HANDLER_LEVEL = "none"  # its handlers format every PDU, read or not
    _config.STORE_SEND_CHUNKED_DATASET = True
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # our exceptions say the same, once
    context = tls.client_context(destination.tls)
    connections: list[tls.NotingSocket] = []
    if context is not None:
        context.sslsocket_class = _remembered(connections)
    try:
        ae = AE(ae_title=calling_ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.connection_timeout = ae.acse_timeout = connect_timeout_s
        ae.dimse_timeout = ae.network_timeout = response_timeout_s
        for sop_class, syntaxes in contexts[:MAXIMUM_CONTEXTS]:
            ae.add_requested_context(sop_class, list(syntaxes))
        association = ae.associate(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            max_pdu=MAXIMUM_PDU_BYTES,
            tls_args=None if context is None else (context, destination.host),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _set_socket, [response_timeout_s]),
                (evt.EVT_ABORTED, _shut_down_soon),
                *handlers,
            ],
        )
    except Exception as error:  # the name does not resolve, a value is none of DICOM's, or the answer makes no sense
        raise PeerUnavailable(f"{name(destination)} cannot be reached: {error}") from error
    if not association.is_established:
        for connection in connections:
            if connection.failure is not None:
                connection.close()  # pynetdicom leaves it open where the handshake has failed
        unavailable = PeerBusy if _is_busy(association) else PeerUnavailable
        raise unavailable(f"{name(destination)} {_why_not(association, connections)}")
    association.dul.artim_timer.timeout = ABORT_LINGER_S
    try:
        yield association
    except BaseException as error:
        give_up(association)
        if isinstance(error, RuntimeError | ValueError):  # pynetdicom's for an association that has ended meanwhile
            raise PeerUnavailable(f"{name(destination)} broke off the association: {error}") from error
        raise
    if association.is_established:
        with contextlib.suppress(Exception):  # the outcomes are known; how the association ends changes none of them
            association.release()


def give_up(association: Any) -> None:
    """Abort an association, if that was not done before, and close its connection.

    pynetdicom's thread ends with an exception where it cannot read what the peer sent, and leaves the socket open.
    """
    with contextlib.suppress(Exception):
        association.abort()
    with contextlib.suppress(AttributeError, OSError):  # closed by pynetdicom
        association.dul.socket.socket.close()


def name(destination: Destination) -> str:
    """Name the peer for people."""
    return f"{destination.ae_title} at {destination.host}:{destination.port}"


def _set_socket(event: Any, stalled_s: float) -> None:
    """Set what pynetdicom leaves at the defaults of the system.

    Small PDUs are sent at once: Nagle's algorithm and delayed ACK together cost 40 ms for each object. And a peer that
    takes no data loses the connection: pynetdicom would wait for it without end, in abort too.
    """
    transport = event.assoc.dul.socket
    transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(stalled_s * 1000)))
    transport.recv = tolerant(_bounded(transport.recv))  # pynetdicom takes PDUs and messages of any length


def _bounded(receive: Callable[[int], bytearray]) -> Callable[[int], bytearray]:
    """Let a peer send no more than `MAXIMUM_RECEIVED_BYTES`; an OSError closes the connection."""
    received = 0

    def receive_bounded(length: int) -> bytearray:
        nonlocal received
        received += length
        if received > MAXIMUM_RECEIVED_BYTES:
            raise OSError(f"the peer sends more than {MAXIMUM_RECEIVED_BYTES} bytes")
        return receive(length)

    return receive_bounded


def _shut_down_soon(event: Any) -> None:
    """Shut the connection of an aborted association down, if it is still open after `ABORT_LINGER_S`.

    pynetdicom's thread reads a PDU to its end before it looks at its timers, and abort waits for that thread.
    """
    transport = event.assoc.dul.socket
    connection = None if transport is None else transport.socket
    if connection is not None:
        watchdog = threading.Timer(ABORT_LINGER_S, _shut_down, [connection])
        watchdog.daemon = True
        watchdog.start()


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed meanwhile
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # of TLS too, which the other thread still reads


_TRANSIENT: Final = 2
_PRESENTATION_PROVIDER: Final = 3
"""Source of a rejection for congestion or a local limit (PS3.8 Table 9-21)."""


def _is_busy(association: Any) -> bool:
    """Say whether the peer has rejected the association because it has no room now."""
    answer = association.acceptor.primitive
    return (
        association.is_rejected
        and answer is not None
        and (answer.result, answer.result_source) == (_TRANSIENT, _PRESENTATION_PROVIDER)
    )


def _remembered(connections: list[tls.NotingSocket]) -> type[tls.NotingSocket]:
    """Make a class of TLS connections, each of which is kept in a list: pynetdicom drops its own."""

    class Remembered(tls.NotingSocket):
        def do_handshake(self, block: bool = False) -> None:
            connections.append(self)
            super().do_handshake(block)

    return Remembered


def _why_not(association: Any, connections: Sequence[tls.NotingSocket]) -> str:
    """Say why there is no association."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return (
            f"rejected the association: result {answer.result}, source {answer.result_source}, "
            f"reason {answer.diagnostic}"
        )
    if answer is not None and answer.result == 0:
        return "accepts none of the SOP classes and transfer syntaxes"
    for failure in (connection.failure for connection in connections):
        if failure is not None:
            return tls.reason(failure)
    return "cannot be reached, or did not answer"
