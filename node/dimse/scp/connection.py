"""One TCP connection of the SCP from its opening to its end, in a thread of its own.

Order: address, TLS handshake, A-ASSOCIATE-RQ, admission, negotiation, `node.dimse.scp.association`, outcome.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog

from node import tls
from node.dimse.scp import pdu
from node.dimse.scp.admission import Load, Policy, Rejection, admit, is_allowed
from node.dimse.scp.association import Association, PeerAborted
from node.dimse.scp.event_report import ReportReception
from node.dimse.scp.negotiation import Context, Proposal, negotiate, read_proposal
from node.dimse.scp.pdu import AbortReason, PDUType, ProtocolError
from node.dimse.scp.storage import StorageService
from node.dimse.scp.stream import ConnectionLost, Stopping, Stream, TooSlow, wait_readable
from node.errors import SpoolFull
from node.settings import ReceiverSettings
from node.spool.incoming import AssociationInfo, AssociationOutcome, new_association_id
from node.spool.store import Spool

log = structlog.get_logger(__name__)

MAXIMUM_ASSOCIATE_BYTES: Final = 1 << 20
"""Longest A-ASSOCIATE-RQ that is read: 128 contexts with 60 transfer syntaxes each would fit."""

LINGER_S: Final = 2.0
"""Longest wait for the peer to close after our last PDU."""


@dataclass(slots=True)
class ConnectionCounts:
    """How many connections of the process have reached what."""

    pending: int = 0
    """From allowed networks, without association."""
    disallowed: int = 0
    """From outside the allowed networks."""
    associations: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of one process share."""

    settings: ReceiverSettings
    policy: Policy
    spool: Spool
    contexts: Mapping[str, tuple[str, ...]]
    tls_context: ssl.SSLContext | None
    wake: int
    """File descriptor that becomes readable when the node goes down."""
    counts: ConnectionCounts = field(default_factory=ConnectionCounts)


class Connection:
    """One connection; `run` is the body of its thread.

    Parameters
    ----------
    disallowed
        Whether the peer is outside the allowed networks: its request is answered with a rejection, unread.
    """

    def __init__(self, shared: Shared, connection: socket.socket, peer_address: str, *, disallowed: bool) -> None:
        self._shared, self._socket, self._peer, self._disallowed = shared, connection, peer_address, disallowed
        self._log: Any = log.bind(peer=peer_address)

    def run(self) -> None:
        """Serve the connection; whatever happens ends in closing it."""
        try:
            self._run()
        except (ConnectionLost, TooSlow, Stopping, OSError) as error:  # before there was an association
            self._log.info("connection.dropped", why=str(error))
        except ProtocolError as error:
            self._log.warning("association.refused_pdu", why=str(error))
        except Exception:
            self._log.exception("connection.failed")
        finally:
            self._socket.close()

    def close(self) -> None:
        """Break the connection from another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        counts = self._shared.counts
        try:
            opened = self._associate()
        finally:
            with counts.lock:
                if self._disallowed:
                    counts.disallowed -= 1
                else:
                    counts.pending -= 1
        if opened is None:
            return
        stream, proposal, contexts = opened
        try:
            self._serve(stream, proposal, contexts)
        finally:
            with counts.lock:
                counts.associations -= 1
        stream.finish(LINGER_S)

    def _associate(self) -> tuple[Stream, Proposal, dict[int, Context]] | None:
        """Come to an association, which is then counted; None where it was rejected or nobody asked for one."""
        settings = self._shared.settings
        if self._shared.tls_context is not None and self._disallowed:
            raise ConnectionLost("peer address outside the allowed networks")
        if self._is_probe():
            self._log.debug("connection.probe")
            return None
        if self._shared.tls_context is not None:
            self._socket.settimeout(settings.association_timeout_s)
            self._socket = self._shared.tls_context.wrap_socket(self._socket, server_side=True)
        stream = Stream(self._socket, silence_s=settings.association_timeout_s, wake=self._shared.wake)
        stream.begin(settings.association_timeout_s)
        try:
            return self._answer_request(stream)
        except ProtocolError as error:
            stream.send(pdu.abort(error.reason))
            stream.finish(LINGER_S)
            raise

    def _is_probe(self) -> bool:
        """Wait for the first byte, and tell whether the peer closes without one, as health checks do all day."""
        wait_readable(self._socket, self._shared.wake, self._shared.settings.association_timeout_s)
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            return True

    def _answer_request(self, stream: Stream) -> tuple[Stream, Proposal, dict[int, Context]] | None:
        """Read the A-ASSOCIATE-RQ and answer it (PS3.8 section 9.2, states 2 and 3)."""
        header = stream.read(pdu.HEADER.size)
        pdu_type, length = pdu.HEADER.unpack(header)
        if pdu_type != PDUType.ASSOCIATE_RQ or length > MAXIMUM_ASSOCIATE_BYTES:
            raise ProtocolError(
                AbortReason.UNEXPECTED_PDU, f"PDU type {pdu_type:#04x} of {length} bytes, not a request"
            )
        if self._disallowed:
            self._reject(stream, Rejection.PEER_ADDRESS)
            return None
        proposal = read_proposal(header + stream.read(length), self._peer)
        self._log = self._log.bind(
            calling_ae_title=proposal.request.calling_ae_title, called_ae_title=proposal.request.called_ae_title
        )
        counts = self._shared.counts
        with counts.lock:
            load = Load(counts.associations, self._shared.spool.free_bytes())
            rejection = admit(proposal.request, self._shared.policy, load)
            if rejection is None:
                counts.associations += 1
        if rejection is not None:
            self._reject(stream, rejection)
            return None
        try:
            contexts, answer = negotiate(
                proposal, self._shared.contexts, maximum_pdu_bytes=self._shared.settings.maximum_pdu_bytes
            )
            stream.send(answer)
        except BaseException:
            with counts.lock:
                counts.associations -= 1
            raise
        return stream, proposal, contexts

    def _reject(self, stream: Stream, rejection: Rejection) -> None:
        refusal = rejection.value
        self._log.warning(
            "association.rejected",
            why=refusal.meaning,
            result=refusal.result,
            source=refusal.source,
            reason=refusal.reason,
        )
        stream.send(pdu.reject(refusal))
        stream.finish(LINGER_S)

    def _serve(self, stream: Stream, proposal: Proposal, contexts: dict[int, Context]) -> None:
        """Serve the association and record how it ended."""
        opened_at, begun = datetime.now(UTC), time.monotonic()
        info = AssociationInfo(
            association_id=new_association_id(opened_at),
            calling_ae_title=proposal.request.calling_ae_title,
            called_ae_title=proposal.request.called_ae_title,
            peer_address=self._peer,
            opened_at=opened_at,
            tls_subject=tls.peer_subject(self._socket) if isinstance(self._socket, ssl.SSLSocket) else None,
        )
        incoming = self._shared.spool.incoming.open(info)
        service = StorageService(
            self._shared.spool, incoming, minimum_free_bytes=self._shared.policy.minimum_free_bytes
        )
        self._log = self._log.bind(association=info.association_id)
        self._log.debug("association.accepted", contexts=len(contexts), proposed=len(proposal.contexts))
        outcome, why = AssociationOutcome.ABORTED, "unexpected error"
        try:
            outcome, why = self._transfer(stream, contexts, service, info)
        finally:
            try:
                incoming.close(outcome)
            except SpoolFull as error:
                self._log.error("association.not_closed", error=str(error))
            routine = outcome is AssociationOutcome.RELEASED and not service.stored and not service.refused  # a C-ECHO
            (self._log.debug if routine else self._log.info)(
                "association.ended",
                outcome=str(outcome),
                why=why,
                stored=service.stored,
                stored_bytes=service.stored_bytes,
                refused=service.refused,
                seconds=round(time.monotonic() - begun, 3),
            )

    def _transfer(
        self, stream: Stream, contexts: dict[int, Context], service: StorageService, info: AssociationInfo
    ) -> tuple[AssociationOutcome, str]:
        """Serve messages to the end, and say which end; where the peer is to learn of it, it is sent A-ABORT."""
        settings = self._shared.settings
        stream.set_silence(settings.network_timeout_s)
        association = Association(
            stream,
            contexts,
            service.open,
            partial(ReportReception, self._shared.spool.commitments, info),
            idle_s=settings.network_timeout_s,
            message_s=settings.dimse_timeout_s,
        )
        try:
            association.serve()
        except (PeerAborted, ConnectionLost) as error:
            return AssociationOutcome.ABORTED, str(error)
        except (ProtocolError, TooSlow, Stopping) as error:
            reason = error.reason if isinstance(error, ProtocolError) else AbortReason.NOT_SPECIFIED
            with contextlib.suppress(ConnectionLost, TooSlow):
                stream.send(pdu.abort(reason))
            return AssociationOutcome.ABORTED, str(error)
        return AssociationOutcome.RELEASED, "released by the peer"


def is_disallowed(shared: Shared, peer_address: str) -> bool:
    """Tell whether a peer is outside the allowed networks."""
    return not is_allowed(peer_address, shared.policy.allowed_networks)
