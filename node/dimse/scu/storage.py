"""Storage, Verification and Study Root Query SCU: send results, ask whether a peer is there and what it has.

The bytes of a result are sent as they are stored; nothing is decoded or encoded again. Storage commitment is asked for
in `node.dimse.scu.commitment`.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt

from node import tls
from node.delivery.destinations import Destination
from node.dicom.contexts import UNCOMPRESSED, VERIFICATION_SOP_CLASS
from node.dicom.part10 import read_meta
from node.dicom.status import Disposition, disposition_of
from node.errors import PeerUnavailable, Quarantined
from node.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND (PS3.4 section C.6.2)."""

MAXIMUM_PDU_BYTES: Final = 131072
MAXIMUM_CONTEXTS: Final = 128
"""Presentation context IDs are the odd numbers to 255 (PS3.8 section 9.3.2.2)."""

ABORT_LINGER_S: Final = 1.0
"""Longest wait for the peer to close the connection after our A-ABORT (ARTIM, PS3.8 section 9.1.5)."""

MAXIMUM_RECEIVED_BYTES: Final = 1 << 22
"""Most that is read over one association; a C-STORE response takes about 150 bytes, a commitment report up to 1 MiB."""

_PENDING: Final = (0xFF00, 0xFF01)


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A Part 10 file to send."""

    sop_class_uid: str
    sop_instance_uid: str
    path: Path


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one file."""

    sop_instance_uid: str
    status: int | None
    """Status of the C-STORE response; None: there was none."""
    disposition: Disposition
    detail: str
    answered: bool = True
    """False: the peer gave no usable answer, which says nothing about the file."""


def send(
    destination: Destination,
    files: Sequence[OutgoingFile],
    *,
    calling_ae_title: str,
    connect_timeout_s: float,
    response_timeout_s: float,
) -> list[SendOutcome]:
    """Send files over one association.

    Parameters
    ----------
    files
        Files of up to 128 different pairs of SOP class and transfer syntax.
    calling_ae_title
        This node's title.

    Returns
    -------
    list of SendOutcome
        One for each file, in order. After the association has broken, the rest is `retry` without status.

    Raises
    ------
    PeerUnavailable
        There was no association, so that nothing was sent.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    outcomes: dict[int, SendOutcome] = {}
    syntaxes: dict[int, tuple[str, str]] = {}
    for index, file in enumerate(files):
        try:
            with file.path.open("rb") as stored:
                syntaxes[index] = (file.sop_class_uid, read_meta(stored).transfer_syntax_uid)
        except (OSError, Quarantined) as error:
            detail = f"the stored file cannot be sent: {error}"
            outcomes[index] = SendOutcome(file.sop_instance_uid, None, Disposition.REFUSED, detail)
    pairs = sorted(set(syntaxes.values()))
    if not pairs:
        return [outcomes[index] for index in range(len(files))]
    with associated(
        destination,
        [(sop_class, (syntax,)) for sop_class, syntax in pairs],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=connect_timeout_s,
        response_timeout_s=response_timeout_s,
    ) as association:
        accepted = {(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in association.accepted_contexts}
        broken = False
        for index, pair in syntaxes.items():
            if pair in accepted and broken:
                detail = "the association was broken off before"
                uid = files[index].sop_instance_uid
                outcomes[index] = SendOutcome(uid, None, Disposition.RETRY, detail, answered=False)
            elif pair in accepted:
                outcomes[index] = _send_one(association, files[index], index)
                broken = outcomes[index].status is None
                if broken:
                    _give_up(association)
            else:
                detail = f"the peer accepts no SOP class {pair[0]} in transfer syntax {pair[1]}"
                outcomes[index] = SendOutcome(files[index].sop_instance_uid, None, Disposition.REFUSED, detail)
    return [outcomes[index] for index in range(len(files))]


def echo(destination: Destination, *, calling_ae_title: str, timeout_s: float) -> None:
    """Ask the peer whether it is there (C-ECHO, PS3.4 Annex A).

    Raises
    ------
    PeerUnavailable
        There was no association, or no success.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    with associated(
        destination,
        [(VERIFICATION_SOP_CLASS, UNCOMPRESSED)],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=timeout_s,
        response_timeout_s=timeout_s,
    ) as association:
        status = association.send_c_echo() if association.accepted_contexts else Dataset()
    if status.get("Status") != 0x0000:
        raise PeerUnavailable(f"{_name(destination)} does not answer C-ECHO with success")


def accepted_pairs(
    destination: Destination, pairs: Sequence[tuple[str, str]], *, calling_ae_title: str, timeout_s: float
) -> frozenset[tuple[str, str]]:
    """Ask which pairs of SOP class and transfer syntax the peer accepts, each proposed by itself; nothing is sent.

    Raises
    ------
    PeerUnavailable
        There was no association; one in which only Verification is accepted counts.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    with associated(
        destination,
        [(VERIFICATION_SOP_CLASS, UNCOMPRESSED), *((sop_class, (syntax,)) for sop_class, syntax in pairs)],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=timeout_s,
        response_timeout_s=timeout_s,
    ) as association:
        accepted = {(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in association.accepted_contexts}
    return frozenset(accepted & set(pairs))


def count_instances(
    destination: Destination,
    study_instance_uid: str,
    *,
    calling_ae_title: str,
    timeout_s: float,
) -> int | None:
    """Ask the peer how many instances it has of a study (C-FIND, PS3.4 section C.4.1).

    Returns
    -------
    int or None
        Number of Study Related Instances (0020,1208); None: the peer does not say, 0: it does not know the study.

    Raises
    ------
    PeerUnavailable
        There was no association, or the query failed.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study_instance_uid
    query.NumberOfStudyRelatedInstances = None
    found: int | None = 0
    with associated(
        destination,
        [(STUDY_ROOT_FIND, UNCOMPRESSED)],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=timeout_s,
        response_timeout_s=timeout_s,
    ) as association:
        if not association.accepted_contexts:
            return None
        for status, answer in association.send_c_find(query, STUDY_ROOT_FIND):
            code = status.get("Status")
            if code in _PENDING and answer is not None:
                found = _number(answer, study_instance_uid, found)
            elif code != 0x0000:
                raise PeerUnavailable(f"{_name(destination)} failed the query for a study: status {code}")
    return found


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
    PeerUnavailable
        There is no association, or it ended within the block.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    _config.LOG_HANDLER_LEVEL = "none"  # its handlers format every PDU, read or not
    _config.STORE_SEND_CHUNKED_DATASET = True
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # our exceptions say the same, once
    context = tls.client_context(destination.tls)
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
        raise PeerUnavailable(f"{_name(destination)} cannot be reached: {error}") from error
    if not association.is_established:
        raise PeerUnavailable(f"{_name(destination)} {_why_not(association)}")
    association.dul.artim_timer.timeout = ABORT_LINGER_S
    try:
        yield association
    except BaseException as error:
        _give_up(association)
        if isinstance(error, RuntimeError | ValueError):  # pynetdicom's for an association that has ended meanwhile
            raise PeerUnavailable(f"{_name(destination)} broke off the association: {error}") from error
        raise
    if association.is_established:
        with contextlib.suppress(Exception):  # the outcomes are known; how the association ends changes none of them
            association.release()


def _send_one(association: Any, file: OutgoingFile, index: int) -> SendOutcome:
    """Send one file; without a status the association is of no more use."""
    uid = file.sop_instance_uid
    try:
        status = association.send_c_store(file.path, msg_id=index % 65535 + 1).get("Status")
    except Exception as error:  # pynetdicom does not list what a peer's odd answer or a bad file makes it raise
        why = f"not sent: {type(error).__name__}: {error}"
        return SendOutcome(uid, None, Disposition.RETRY, why, answered=False)
    if status is None:
        why = "no valid response: timed out, aborted or connection lost"
        return SendOutcome(uid, None, Disposition.RETRY, why, answered=False)
    disposition, meaning = disposition_of(status)
    return SendOutcome(uid, status, disposition, f"{status:#06x} {meaning}")


def _number(answer: Dataset, study_instance_uid: str, found: int | None) -> int | None:
    """Read the count of one match; other studies do not count, a missing or odd value is unknown."""
    if answer.get("StudyInstanceUID") != study_instance_uid:
        return found
    try:
        return int(answer.NumberOfStudyRelatedInstances)
    except (AttributeError, TypeError, ValueError):
        return None


def _give_up(association: Any) -> None:
    """Abort an association, if that was not done before, and close its connection.

    pynetdicom's thread ends with an exception where it cannot read what the peer sent, and leaves the socket open.
    """
    with contextlib.suppress(Exception):
        association.abort()
    with contextlib.suppress(AttributeError, OSError):  # closed by pynetdicom
        association.dul.socket.socket.close()


def _set_socket(event: Any, stalled_s: float) -> None:
    """Set what pynetdicom leaves at the defaults of the system.

    Small PDUs are sent at once: Nagle's algorithm and delayed ACK together cost 40 ms for each object. And a peer that
    takes no data loses the connection: pynetdicom would wait for it without end, in abort too.
    """
    transport = event.assoc.dul.socket
    transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(stalled_s * 1000)))
    transport.recv = _bounded(transport.recv)  # pynetdicom takes PDUs and messages of any length


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


def _why_not(association: Any) -> str:
    """Say why there is no association."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return (
            f"rejected the association: result {answer.result}, source {answer.result_source}, "
            f"reason {answer.diagnostic}"
        )
    if answer is not None and answer.result == 0:
        return "accepts none of the SOP classes and transfer syntaxes"
    return "cannot be reached, or did not answer"


def _name(destination: Destination) -> str:
    return f"{destination.ae_title} at {destination.host}:{destination.port}"
