"""An established association as acceptor: the data transfer and release phases (PS3.8 section 9.2, PS3.7 Annex E).

The rows of PS3.8 Table 9-10 in the states that are left once the A-ASSOCIATE-AC is sent; each violation is answered by
the A-ABORT of action AA-8, which `node.dimse.scp.connection` sends: ::

    PDU              Sta6, between messages        Sta6, within a message       reason of the A-ABORT
    P-DATA-TF        DT-2                          DT-2
      command        begins a message              violation once it is whole   unexpected PDU parameter
      data set       violation                     is written to its sink       unexpected PDU parameter
      cut            violation                     violation                    invalid PDU parameter value
      empty          violation in a data set       is passed by, up to a limit  invalid PDU parameter value
    A-RELEASE-RQ     AR-2, AR-4: Sta8, Sta13       violation                    unexpected PDU
    A-ABORT          AA-3: `PeerAborted`           AA-3: `PeerAborted`
    another PDU      violation                     violation                    unexpected PDU
    of no known type violation                     violation                    unrecognized PDU
    end of stream    AA-4: `ConnectionLost`        AA-4: `ConnectionLost`

Sta7 and Sta9 to Sta12 are of a release that this node asks for or that collides with another; it asks for none.

One thread for each association, blocked in one read: no reactor, no queue between threads, no polling. pynetdicom's own
acceptor costs 2.5 to 4.5 ms for each message in two loops that poll, and reads 4 KiB at a time (measured); that is why
only its PDU classes are used here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from node.dicom.status import Status
from node.dicom.uids import STORAGE_COMMITMENT, VERIFICATION_SOP_CLASS
from node.dimse.scp import pdu
from node.dimse.scp.commands import (
    MAXIMUM_COMMAND_BYTES,
    MAXIMUM_COMMAND_FRAGMENTS,
    RESPONSE,
    Command,
    Operation,
    decode,
    encode_response,
)
from node.dimse.scp.negotiation import Context
from node.dimse.scp.pdu import AbortReason, PDUType, ProtocolError
from node.dimse.scp.stream import Stream, TooSlow
from node.errors import HilumError

_STORES_NOTHING: Final = frozenset({VERIFICATION_SOP_CLASS, STORAGE_COMMITMENT})

_CONTROL_PDU_BYTES: Final = 4
"""Length of A-RELEASE-RQ and A-ABORT after the header."""


MAXIMUM_EMPTY_FRAGMENTS: Final = 256
"""Most fragments of one data set that hold nothing; some senders make one now and then."""


class PeerAborted(HilumError):
    """The peer sent A-ABORT."""


class Sink(Protocol):
    """Where one data set goes."""

    def write(self, content: memoryview) -> None:
        """Take the next bytes; must not raise."""

    def end(self) -> tuple[Status, str]:
        """Finish, and say with which status and comment; must not raise."""

    def discard(self) -> None:
        """Forget an unfinished data set; must not raise."""


class Association:
    """Serves one established association until it ends.

    Parameters
    ----------
    contexts
        Accepted presentation contexts by ID.
    store
        Opens the sink of a C-STORE request.
    report
        Opens the sink of an N-EVENT-REPORT request about storage commitment.
    idle_s
        Longest silence between messages.
    message_s
        Longest time for one message (see `Stream.begin`).
    without_object_s
        Longest time without an object or report that was stored.
    maximum_data_set_bytes
        Longest data set that is read to its end, whatever becomes of it.
    """

    def __init__(
        self,
        stream: Stream,
        contexts: Mapping[int, Context],
        store: Callable[[Command, Context], Sink],
        report: Callable[[Command, Context], Sink],
        *,
        idle_s: float,
        message_s: float,
        without_object_s: float,
        maximum_data_set_bytes: int,
    ) -> None:
        self._stream, self._contexts, self._store, self._report = stream, contexts, store, report
        self._idle_s, self._message_s, self._without_object_s = idle_s, message_s, without_object_s
        self._maximum_data_set_bytes = maximum_data_set_bytes
        self._stored_at = time.monotonic()
        self._fragments: list[bytes] = []
        self._command_bytes = self._data_set_bytes = self._empty_fragments = 0
        self._request: tuple[int, Command] | None = None
        self._sink: Sink | None = None

    def serve(self) -> None:
        """Answer messages until the peer releases the association; then the release is answered too.

        Raises
        ------
        PeerAborted, ProtocolError, ConnectionLost, TooSlow, Stopping
            It ended in another way. An unfinished object is forgotten.
        """
        try:
            while self._serve_pdu():
                pass
        finally:
            if self._sink is not None:
                self._sink.discard()

    def _serve_pdu(self) -> bool:
        """Read and act on one PDU; False after a release."""
        if not self._in_message:
            self._await_message()
            self._stream.begin(self._message_s)
        pdu_type, length = pdu.HEADER.unpack(self._stream.read(pdu.HEADER.size))
        if pdu_type == PDUType.P_DATA_TF:
            self._read_values(length)
            return True
        if pdu_type not in tuple(PDUType):
            raise ProtocolError(AbortReason.UNRECOGNIZED_PDU, f"PDU type {pdu_type:#04x} does not exist")
        if pdu_type not in (PDUType.RELEASE_RQ, PDUType.ABORT) or length != _CONTROL_PDU_BYTES:
            raise ProtocolError(AbortReason.UNEXPECTED_PDU, f"PDU type {pdu_type:#04x}, length {length}")
        self._stream.read(length)
        if pdu_type == PDUType.ABORT:
            raise PeerAborted("the peer aborted the association")
        if self._in_message:
            raise ProtocolError(AbortReason.UNEXPECTED_PDU, "A-RELEASE-RQ in the middle of a message")
        self._stream.send(pdu.RELEASE_RP)
        return False

    def _await_message(self) -> None:
        """Wait for the next message, but not on for ever with a peer that only keeps the association open."""
        left_s = self._stored_at + self._without_object_s - time.monotonic()
        if left_s <= 0:
            raise TooSlow(f"no object stored for {self._without_object_s:g} s")
        self._stream.wait(min(self._idle_s, left_s))

    @property
    def _in_message(self) -> bool:
        return self._request is not None or bool(self._fragments)

    def _read_values(self, left: int) -> None:
        """Read the presentation data values of one P-DATA-TF (PS3.8 section 9.3.5).

        What carries nothing is no progress: a peer could go on with it for ever.
        """
        if not left:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "P-DATA-TF without a presentation data value")
        while left:
            if left < pdu.PDV_HEADER.size:
                raise ProtocolError(AbortReason.INVALID_PARAMETER, "P-DATA-TF ends within an item header")
            length, context_id, control = pdu.PDV_HEADER.unpack(self._stream.read(pdu.PDV_HEADER.size))
            left -= 4 + length
            if length < 2 or left < 0:
                raise ProtocolError(AbortReason.INVALID_PARAMETER, f"presentation data value of length {length}")
            if context_id not in self._contexts:
                raise ProtocolError(AbortReason.INVALID_PARAMETER, f"context {context_id} was not accepted")
            if control & pdu.COMMAND_FRAGMENT:
                self._read_command(context_id, length - 2)
            else:
                self._read_data(context_id, length - 2)
            if control & pdu.LAST_FRAGMENT:
                self._end_command(context_id) if control & pdu.COMMAND_FRAGMENT else self._end_data()

    def _read_command(self, context_id: int, length: int) -> None:
        if self._request is not None:
            raise ProtocolError(AbortReason.UNEXPECTED_PARAMETER, "command while a data set is due")
        self._command_bytes += length
        if self._command_bytes > MAXIMUM_COMMAND_BYTES or len(self._fragments) == MAXIMUM_COMMAND_FRAGMENTS:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "command set too long, or in too many fragments")
        self._fragments.append(self._stream.read(length))

    def _end_command(self, context_id: int) -> None:
        """Act on a complete command set."""
        command = decode(b"".join(self._fragments))
        self._fragments.clear()
        self._command_bytes = 0
        if command.operation & RESPONSE:
            raise ProtocolError(AbortReason.UNEXPECTED_PARAMETER, f"response {command.operation:#06x} to no request")
        if command.operation == Operation.C_CANCEL_RQ:
            return
        self._request = (context_id, command)
        self._sink = self._open_sink(command, self._contexts[context_id])
        if not command.has_data_set:
            self._end_data()

    def _open_sink(self, command: Command, context: Context) -> Sink:
        """Choose what becomes of the data set, if there is one."""
        operation, syntax = command.operation, context.abstract_syntax
        if operation == Operation.C_STORE_RQ and syntax not in _STORES_NOTHING:
            return self._store(command, context)
        if operation == Operation.N_EVENT_REPORT_RQ and syntax == STORAGE_COMMITMENT:
            return self._report(command, context)
        if operation == Operation.C_ECHO_RQ and syntax == VERIFICATION_SOP_CLASS:
            return _Answer(Status.SUCCESS)
        known = operation in tuple(Operation)
        return _Answer(Status.SOP_CLASS_NOT_SUPPORTED if known else Status.UNRECOGNIZED_OPERATION)

    def _read_data(self, context_id: int, length: int) -> None:
        if self._request is None or self._sink is None or self._request[0] != context_id:
            raise ProtocolError(AbortReason.UNEXPECTED_PARAMETER, "data set without a command in its context")
        self._data_set_bytes += length
        self._empty_fragments += not length
        if self._empty_fragments > MAXIMUM_EMPTY_FRAGMENTS:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "data set in too many empty fragments")
        if self._data_set_bytes > self._maximum_data_set_bytes:
            raise ProtocolError(
                AbortReason.NOT_SPECIFIED, f"data set of more than {self._maximum_data_set_bytes} bytes has no end"
            )
        while length:
            content = self._stream.chunk(length)
            self._sink.write(content)
            length -= len(content)

    def _end_data(self) -> None:
        """Answer the request."""
        if self._request is None or self._sink is None:
            raise ProtocolError(AbortReason.UNEXPECTED_PARAMETER, "data set without a command")
        (context_id, command), sink = self._request, self._sink
        self._request = self._sink = None
        self._data_set_bytes = self._empty_fragments = 0
        status, comment = sink.end()
        if status is Status.SUCCESS and command.operation != Operation.C_ECHO_RQ:
            self._stored_at = time.monotonic()
        self._stream.send(pdu.command_message(context_id, encode_response(command, status, comment)))


class _Answer:
    """Drops a data set and answers a fixed status."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def write(self, content: memoryview) -> None:
        """Drop."""

    def end(self) -> tuple[Status, str]:
        """Answer."""
        return self._status, ""

    def discard(self) -> None:
        """Nothing to forget."""
