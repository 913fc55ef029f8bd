"""One TCP connection of the SCP from its opening to its end, in a thread of its own.

Order: address, TLS handshake, titles, the rest of the A-ASSOCIATE-RQ, a place, negotiation,
`node.dimse.scp.association`, outcome.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from node import tls
from node.dimse.items import MAXIMUM_CONTEXTS
from node.dimse.scp import pdu
from node.dimse.scp.admission import (
    APPLICATION_CONTEXT,
    MAXIMUM_ASSOCIATE_BYTES,
    Lack,
    Places,
    Policy,
    Rejection,
    Request,
    admit,
    is_allowed,
)
from node.dimse.scp.association import Association, PeerAborted
from node.dimse.scp.event_report import ReportReception
from node.dimse.scp.negotiation import Context, negotiate
from node.dimse.scp.pdu import AbortReason, PDUType, ProtocolError
from node.dimse.scp.request import FIXED, Caller, read_caller, read_proposal
from node.dimse.scp.storage import StorageService
from node.dimse.scp.stream import ConnectionLost, Stopping, Stream, TooSlow, left_until, wait_readable
from node.errors import HilumError, SpoolFull
from node.settings import ReceiverSettings
from node.spool.incoming import AssociationInfo, AssociationOutcome, new_association_id
from node.spool.refusals import Refusals
from node.spool.store import Spool

log = structlog.get_logger(__name__)

LINGER_S: Final = 2.0
"""Longest wait for the peer to close after our last PDU."""


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
    refusals: Refusals
    pending: Places
    """Of connections from allowed networks, without association."""
    disallowed: Places
    """Of connections from outside the allowed networks."""
    associations: Places


class _Rejected(HilumError):
    """The request is to be answered by A-ASSOCIATE-RJ."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.value.meaning)
        self.rejection = rejection


class _Opened(NamedTuple):
    """An association that was accepted."""

    stream: Stream
    caller: Caller
    contexts: dict[int, Context]


class Connection:
    """One connection; `run` is the body of its thread.

    Parameters
    ----------
    waiting
        The places of which it has one until it is an association.
    disallowed
        Whether the peer is outside the allowed networks: its request is answered with a rejection, unread.
    """

    def __init__(
        self, shared: Shared, connection: socket.socket, peer_address: str, *, waiting: Places, disallowed: bool
    ) -> None:
        self._shared, self._socket, self._peer, self._disallowed = shared, connection, peer_address, disallowed
        self._waiting = waiting
        self._deadline = time.monotonic() + shared.settings.association_timeout_s
        self._calling_ae_title = ""
        self._certificate: tls.PeerCertificate | None = None
        self._log: Any = log.bind(peer=peer_address)

    def run(self) -> None:
        """Serve the connection; whatever happens ends in closing it."""
        try:
            self._run()
        except ssl.SSLError as error:
            self._refused("connection.tls_failed", "TLS handshake failed", f"TLS handshake failed: {error}")
        except (ConnectionLost, TooSlow, Stopping, OSError) as error:  # before there was an association
            self._log.info("connection.dropped", why=str(error))
        except ProtocolError as error:
            self._refused("association.refused_pdu", "not a request for an association", str(error))
        except Exception:
            self._log.exception("connection.failed")
        finally:
            self._socket.close()

    def close(self) -> None:
        """Break the connection from another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            opened = self._associate()
        finally:
            self._waiting.give_back(self._peer)
        if opened is None:
            return
        try:
            self._serve(*opened)
        finally:
            self._shared.associations.give_back(self._peer)
        opened.stream.finish(LINGER_S)

    def _associate(self) -> _Opened | None:
        """Come to an association, which then has a place; None where it was rejected or nobody asked for one.

        One deadline holds for all of it: the first byte, the TLS handshake, and the request.
        """
        if self._shared.tls_context is not None and self._disallowed:
            raise ConnectionLost("peer address outside the allowed networks")
        if self._is_probe():
            self._log.debug("connection.probe")
            return None
        if self._shared.tls_context is not None:
            self._socket.settimeout(left_until(self._deadline))
            self._socket = secured = self._shared.tls_context.wrap_socket(self._socket, server_side=True)
            self._certificate = tls.peer_certificate(secured)
            self._log = self._log.bind(tls_subject=self._certificate.subject)
        settings = self._shared.settings
        stream = Stream(self._socket, silence_s=settings.association_timeout_s, wake=self._shared.wake)
        stream.set_deadline(self._deadline)
        try:
            return self._answer_request(stream)
        except _Rejected as error:
            self._reject(stream, error.rejection)
            return None
        except ProtocolError as error:
            stream.send(pdu.abort(error.reason))
            stream.finish(LINGER_S)
            raise

    def _is_probe(self) -> bool:
        """Wait for the first byte, and tell whether the peer closes without one, as health checks do all day."""
        wait_readable(self._socket, self._shared.wake, left_until(self._deadline))
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            return True

    def _answer_request(self, stream: Stream) -> _Opened:
        """Read the A-ASSOCIATE-RQ and answer it (PS3.8 section 9.2, states 2 and 3)."""
        pdu_type, length = pdu.HEADER.unpack(stream.read(pdu.HEADER.size))
        if pdu_type != PDUType.ASSOCIATE_RQ or length < FIXED.size:
            raise ProtocolError(
                AbortReason.UNEXPECTED_PDU, f"PDU type {pdu_type:#04x} of {length} bytes, not a request"
            )
        if self._disallowed:
            raise _Rejected(Rejection.PEER_ADDRESS)
        caller = read_caller(stream.read(FIXED.size))
        self._calling_ae_title = caller.calling_ae_title
        self._log = self._log.bind(calling_ae_title=caller.calling_ae_title, called_ae_title=caller.called_ae_title)
        if rejection := admit(self._request(caller), self._shared.policy):
            raise _Rejected(rejection)
        if length > MAXIMUM_ASSOCIATE_BYTES:
            raise _Rejected(Rejection.TOO_LONG)
        proposal = read_proposal(stream.read(length - FIXED.size))
        if proposal.application_context != APPLICATION_CONTEXT:
            raise _Rejected(Rejection.APPLICATION_CONTEXT)
        if len(proposal.contexts) > MAXIMUM_CONTEXTS:
            raise _Rejected(Rejection.TOO_LONG)
        if rejection := self._take_place():
            raise _Rejected(rejection)
        try:
            contexts, answer = negotiate(
                caller, proposal, self._shared.contexts, maximum_pdu_bytes=self._shared.settings.maximum_pdu_bytes
            )
            stream.send(answer)
        except BaseException:
            self._shared.associations.give_back(self._peer)
            raise
        self._log.debug("association.accepted", contexts=len(contexts), proposed=len(proposal.contexts))
        return _Opened(stream, caller, contexts)

    def _request(self, caller: Caller) -> Request:
        return Request(
            calling_ae_title=caller.calling_ae_title,
            called_ae_title=caller.called_ae_title,
            peer_address=self._peer,
            protocol_version=caller.protocol_version,
            certificate=frozenset() if self._certificate is None else self._certificate.names,
        )

    def _take_place(self) -> Rejection | None:
        """Take a place for an association, unless the disk or the number of them forbids it for now."""
        if self._shared.spool.free_bytes() < self._shared.policy.minimum_free_bytes:
            return Rejection.DISK
        match self._shared.associations.take(self._peer):
            case Lack.ALL:
                return Rejection.TOO_MANY
            case Lack.SHARE:
                return Rejection.TOO_MANY_OF_ADDRESS
        return None

    def _reject(self, stream: Stream, rejection: Rejection) -> None:
        """Answer A-ASSOCIATE-RJ."""
        refusal = rejection.value
        words = {"result": refusal.result, "source": refusal.source, "reason": refusal.reason}
        self._refused("association.rejected", refusal.meaning, refusal.meaning, **words)
        stream.send(pdu.reject(refusal))
        stream.finish(LINGER_S)

    def _refused(self, event: str, kind: str, why: str, **values: int) -> None:
        """Count a refusal, and say why in the log, unless one of its kind was said a moment ago."""
        if times := self._shared.refusals.note(self._peer, self._calling_ae_title, kind):
            self._log.warning(event, why=why, times=times, **values)

    def _serve(self, stream: Stream, caller: Caller, contexts: dict[int, Context]) -> None:
        """Serve the association and record how it ended."""
        opened_at, begun = datetime.now(UTC), time.monotonic()
        info = AssociationInfo(
            association_id=new_association_id(opened_at),
            calling_ae_title=caller.calling_ae_title,
            called_ae_title=caller.called_ae_title,
            peer_address=self._peer,
            opened_at=opened_at,
            tls_subject=None if self._certificate is None else self._certificate.subject,
        )
        incoming = self._shared.spool.incoming.open(info)
        service = StorageService(
            self._shared.spool,
            incoming,
            minimum_free_bytes=self._shared.policy.minimum_free_bytes,
            maximum_bytes=self._shared.settings.maximum_object_bytes,
        )
        self._log = self._log.bind(association=info.association_id)
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
            without_object_s=settings.without_object_s,
            maximum_data_set_bytes=2 * settings.maximum_object_bytes,
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
