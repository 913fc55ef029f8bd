"""The sender's side: our SCU against storescp, Orthanc and a peer that answers what it is told to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless
from pynetdicom import AE, evt
from pynetdicom.sop_class import DigitalXRayImageStorageForPresentation  # type: ignore[attr-defined]

from node import tls
from node.delivery.destinations import Destination, TLSFiles
from node.delivery.outcome import OutgoingFile, SendOutcome
from node.dicom import contexts
from node.dicom.status import Disposition
from node.dimse.archive import reserved_port
from node.dimse.scp import pdu
from node.dimse.scp.negotiation import negotiate
from node.dimse.scp.request import FIXED, read_caller, read_proposal
from node.dimse.scu import query, storage, verification
from node.dimse.scu.association import ABORT_LINGER_S, MAXIMUM_RECEIVED_BYTES
from node.errors import PeerUnavailable
from tests.support.data.radiographs import DX, compressed, radiograph, write
from tests.support.peers import certificates, servers, wire
from tests.support.waiting import wait_for


def outgoing(path: Path, **values: Any) -> OutgoingFile:
    ds = radiograph(**values)
    write(path, ds)
    return OutgoingFile(ds.SOPClassUID, ds.SOPInstanceUID, path)


def send(to: Destination, *files: OutgoingFile, timeout_s: float = 10) -> list[SendOutcome]:
    return storage.send(to, files, calling_ae_title="HILUM", connect_timeout_s=timeout_s, response_timeout_s=timeout_s)


@contextmanager
def answering(answer: Callable[[Any], int]) -> Iterator[Destination]:
    """A peer whose statuses are given."""
    ae = AE(ae_title="PEER")
    ae.add_supported_context(DigitalXRayImageStorageForPresentation)
    ae.require_called_aet = True
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)])
    assert server is not None
    try:
        yield Destination(ae_title="PEER", host="127.0.0.1", port=server.server_address[1])
    finally:
        server.shutdown()
        ae.shutdown()


def test_several_objects_over_one_association_reach_storescp(tmp_path: Path) -> None:
    files = [outgoing(tmp_path / f"{n}.dcm") for n in range(3)]
    with servers.storescp(tmp_path / "peer", "+B") as peer:
        outcomes = send(peer.destination, *files)
        assert [(o.sop_instance_uid, o.status, o.disposition) for o in outcomes] == [
            (f.sop_instance_uid, 0x0000, Disposition.ACCEPTED) for f in files
        ]
        received = {p.read_bytes()[-6144:] for p in wait_for(lambda: list(peer.folder.glob("*")), what="files")}
    assert received == {f.path.read_bytes()[-6144:] for f in files}


@pytest.mark.parametrize(
    ("status", "disposition"),
    [
        (0xB000, Disposition.ACCEPTED),
        (0x0111, Disposition.ACCEPTED),
        (0xA700, Disposition.RETRY),
        (0xA900, Disposition.REFUSED),
        (0xC000, Disposition.DOUBTFUL),
        (0x0122, Disposition.DOUBTFUL),
    ],
)
def test_statuses_become_decisions(tmp_path: Path, status: int, disposition: Disposition) -> None:
    with answering(lambda _: status) as to:
        (outcome,) = send(to, outgoing(tmp_path / "x.dcm"))
    assert (outcome.status, outcome.disposition) == (status, disposition)


def test_what_the_peer_does_not_accept_is_refused_and_the_rest_is_sent(tmp_path: Path) -> None:
    ds = compressed(radiograph(), JPEG2000Lossless)
    in_jpeg_2000 = OutgoingFile(DX, ds.SOPInstanceUID, write(tmp_path / "j2k.dcm", ds))
    with answering(lambda _: 0x0000) as to:
        outcomes = send(to, in_jpeg_2000, outgoing(tmp_path / "plain.dcm"))
    assert [o.disposition for o in outcomes] == [Disposition.REFUSED, Disposition.ACCEPTED]
    assert "accepts no SOP class" in outcomes[0].detail


def test_a_peer_that_accepts_nothing_is_unavailable(tmp_path: Path) -> None:
    with answering(lambda _: 0) as to, pytest.raises(PeerUnavailable, match="accepts none"):
        verification.echo(to, calling_ae_title="HILUM", timeout_s=5)


def test_a_file_that_is_damaged_is_refused_without_asking_and_one_that_cannot_be_read_waits(tmp_path: Path) -> None:
    (tmp_path / "junk.dcm").write_bytes(b"junk")
    files = [OutgoingFile(DX, "1.2", tmp_path / name) for name in ("gone.dcm", "junk.dcm")]
    outcomes = send(Destination(ae_title="PEER", host="127.0.0.1", port=1), *files)
    assert [o.disposition for o in outcomes] == [Disposition.RETRY, Disposition.REFUSED]


def test_an_abort_in_the_middle_leaves_the_rest_for_later(tmp_path: Path) -> None:
    count = 0

    def answer(event: Any) -> int:
        nonlocal count
        count += 1
        if count == 2:
            event.assoc.abort()
        return 0x0000

    with answering(answer) as to:
        outcomes = send(to, *(outgoing(tmp_path / f"{n}.dcm") for n in range(3)))
    assert [o.disposition for o in outcomes] == [Disposition.ACCEPTED, Disposition.RETRY, Disposition.RETRY]
    assert [o.status for o in outcomes] == [0x0000, None, None]


def test_a_peer_that_does_not_answer_in_time_is_for_later(tmp_path: Path) -> None:
    leave = threading.Event()

    def answer(event: Any) -> int:
        leave.wait(10)
        return 0x0000

    with answering(answer) as to:
        (outcome,) = send(to, outgoing(tmp_path / "x.dcm"), timeout_s=0.5)
        leave.set()
    assert (outcome.disposition, outcome.status) == (Disposition.RETRY, None)


@contextmanager
def accepting(
    then: Callable[[socket.socket], None], authority: certificates.Authority | None = None, **options: int
) -> Iterator[Destination]:
    """A peer that accepts DX in Explicit VR Little Endian, and then does what it is told to with the connection.

    With an `authority` it speaks TLS.
    """
    mine, theirs = (TLSFiles(), TLSFiles()) if authority is None else map(authority.issue, ("node", "peer"))
    context = tls.server_context(theirs)
    accepted, request = contexts.accepted_contexts(), wire.request_pdu((DX, [wire.EXPLICIT]))
    items = pdu.HEADER.size + FIXED.size
    caller, proposal = read_caller(request[pdu.HEADER.size : items]), read_proposal(request[items:])
    _, answer = negotiate(caller, proposal, accepted, maximum_pdu_bytes=131072)
    listener = socket.create_server(("127.0.0.1", 0))
    for name, value in options.items():
        listener.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection if context is None else context.wrap_socket(connection, server_side=True) as connection:
                wire.Wire(connection).pdu()
                connection.sendall(answer)
                then(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Destination(ae_title="PEER", host="127.0.0.1", port=listener.getsockname()[1], tls=mine)
    finally:
        listener.close()
        thread.join(20)


@pytest.fixture(params=["plain", "tls"])
def authority(request: pytest.FixtureRequest, tmp_path: Path) -> certificates.Authority | None:
    """The authority of both sides' certificates; None: no TLS."""
    return certificates.authority(tmp_path / "pki") if request.param == "tls" else None


def test_after_a_silence_the_rest_is_for_later_without_another_wait(
    tmp_path: Path, authority: certificates.Authority | None
) -> None:
    leave = threading.Event()
    files = [outgoing(tmp_path / f"{n}.dcm") for n in range(4)]
    with accepting(lambda _: leave.wait(60), authority) as to:  # type: ignore[arg-type, return-value]
        begun = time.monotonic()
        outcomes = storage.send(to, files, calling_ae_title="HILUM", connect_timeout_s=30, response_timeout_s=0.5)
        took_s = time.monotonic() - begun
        leave.set()
    assert [(o.disposition, o.status) for o in outcomes] == [(Disposition.RETRY, None)] * 4
    assert took_s < 0.5 + ABORT_LINGER_S + 2


def test_a_peer_that_stops_taking_data_is_for_later(tmp_path: Path, authority: certificates.Authority | None) -> None:
    leave = threading.Event()
    large = outgoing(tmp_path / "large.dcm", PixelData=bytes(1 << 25))
    with accepting(lambda _: leave.wait(60), authority, SO_RCVBUF=4096) as to:  # type: ignore[arg-type, return-value]
        begun = time.monotonic()
        outcomes = send(to, large, outgoing(tmp_path / "x.dcm"), timeout_s=1)
        took_s = time.monotonic() - begun
        leave.set()
    assert [(o.disposition, o.status) for o in outcomes] == [(Disposition.RETRY, None)] * 2
    assert took_s < 15


@pytest.mark.parametrize("every_s", [None, 0.05])
def test_a_peer_that_stops_or_dribbles_within_a_pdu_is_for_later(
    tmp_path: Path, authority: certificates.Authority | None, every_s: float | None
) -> None:
    leave = threading.Event()
    answer = wire.p_data(wire.command_set(0x8001, data=False), command=True)

    def answer_slowly(connection: socket.socket) -> None:
        wire.Wire(connection).pdu()
        for end in range(1, len(answer)):
            connection.sendall(answer[end - 1 : end])
            if end > 8 and leave.wait(60 if every_s is None else every_s):
                return

    files = [outgoing(tmp_path / f"{n}.dcm") for n in range(2)]
    with accepting(answer_slowly, authority) as to:
        begun = time.monotonic()
        outcomes = storage.send(to, files, calling_ae_title="HILUM", connect_timeout_s=30, response_timeout_s=0.5)
        took_s = time.monotonic() - begun
        leave.set()
    assert [(o.disposition, o.status) for o in outcomes] == [(Disposition.RETRY, None)] * 2
    assert took_s < 0.5 + ABORT_LINGER_S + 2


def test_a_peer_that_dribbles_its_answer_to_the_association_is_unavailable(tmp_path: Path) -> None:
    def dribble(connection: socket.socket, leave: threading.Event) -> None:
        wire.Wire(connection).pdu()
        connection.sendall(b"\x02\x00\x00\x00\x01\x00")
        while not leave.wait(0.05):
            connection.sendall(b"\0")

    assert unavailable_after_s(dribble) < 0.5 + ABORT_LINGER_S + 2


def unavailable_after_s(serve: Callable[[socket.socket, threading.Event], None], **values: Any) -> float:
    """Return how long an echo to a peer that serves so takes until it is given up, having half a second."""
    leave = threading.Event()

    def accept() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            serve(connection, leave)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        to = Destination(ae_title="PEER", host="127.0.0.1", port=listener.getsockname()[1], **values)
        begun = time.monotonic()
        with pytest.raises(PeerUnavailable):
            verification.echo(to, calling_ae_title="HILUM", timeout_s=0.5)
        took_s = time.monotonic() - begun
        leave.set()
        thread.join(20)
    return took_s


@pytest.mark.parametrize("answer", [b"", b"\x16\x03\x03\x40\x00"], ids=["silent", "dribbling"])
def test_a_peer_that_stops_or_dribbles_within_the_tls_handshake_is_unavailable(tmp_path: Path, answer: bytes) -> None:
    def shake(connection: socket.socket, leave: threading.Event) -> None:
        connection.sendall(answer)
        while not leave.wait(0.05):
            connection.sendall(answer and b"\0")

    files = certificates.authority(tmp_path / "pki").issue("node")
    assert unavailable_after_s(shake, tls=files) < 0.5 + ABORT_LINGER_S + 2


@pytest.mark.parametrize("pdu_bytes", [1 << 31, 1 << 16])
def test_a_peer_that_sends_without_end_is_for_later(
    tmp_path: Path, authority: certificates.Authority | None, pdu_bytes: int
) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        wire.Wire(connection).pdu()
        while True:
            connection.sendall(struct.pack(">BxLLBB", 4, pdu_bytes, pdu_bytes - 4, 1, 1))
            for _ in range(2, pdu_bytes >> 10):
                connection.sendall(bytes(1 << 10))
                sent += 1 << 10
            connection.sendall(bytes(pdu_bytes - 6 - 1024 * (pdu_bytes // 1024 - 2)))

    with accepting(flood, authority) as to:
        (outcome,) = send(to, outgoing(tmp_path / "x.dcm"), timeout_s=10)
    assert (outcome.disposition, outcome.status) == (Disposition.RETRY, None)
    assert sent < MAXIMUM_RECEIVED_BYTES + (1 << 24), "beyond what the sockets' buffers take"


# A command set that cannot be read ends pynetdicom's thread with a traceback.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "odd",
    [
        b"\x04\x00\x00\x00\x00\x08rubbish!",
        wire.p_data(b"\xff" * 40, command=True),
        wire.p_data(wire.command_set(), command=True) + wire.p_data(b"\0" * 8),  # a request in place of an answer
        wire.p_data(wire.command_set(0x8030, data=False), command=True),
        wire.p_data(wire.command_set(0x8001, data=False), command=True),  # no status
        wire.RELEASE_RQ,
        wire.ABORT,
        b"",
    ],
)
def test_an_odd_answer_is_for_later_and_raises_nothing(tmp_path: Path, odd: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        wire.Wire(connection).pdu()
        connection.sendall(odd)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    files = [outgoing(tmp_path / f"{n}.dcm") for n in range(2)]
    with accepting(answer) as to:
        outcomes = send(to, *files, timeout_s=2)
    assert [(o.disposition, o.status) for o in outcomes] == [(Disposition.RETRY, None)] * 2


@pytest.mark.parametrize(
    "values",
    [{"host": "a..b"}, {"host": ".x"}, {"host": "é" * 70}, {"host": "x\0y"}, {"ae_title": "X" * 20}],
)
def test_a_destination_that_makes_no_sense_is_unavailable(tmp_path: Path, values: dict[str, Any]) -> None:
    to = Destination(ae_title="PEER", host="127.0.0.1", port=104).model_copy(update=values)
    with pytest.raises(PeerUnavailable):
        send(to, outgoing(tmp_path / "x.dcm"), timeout_s=1)


def test_who_is_not_there_is_unavailable(tmp_path: Path) -> None:
    file = outgoing(tmp_path / "x.dcm")
    with reserved_port() as port:
        nobody = Destination(ae_title="PEER", host="127.0.0.1", port=port)
        with pytest.raises(PeerUnavailable, match="PEER at 127"):
            send(nobody, file)
        assert not servers.reachable(nobody)
    with pytest.raises(PeerUnavailable):
        send(Destination(ae_title="PEER", host="no.such.host.invalid", port=104), file)


def test_a_rejection_is_told_in_the_words_of_the_standard(tmp_path: Path) -> None:
    with (
        answering(lambda _: 0) as to,
        pytest.raises(PeerUnavailable, match="result 1, source 1, reason 7"),
    ):
        send(to.model_copy(update={"ae_title": "OTHER"}), outgoing(tmp_path / "x.dcm"))


def test_a_peer_that_accepts_tcp_and_says_nothing_is_unavailable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = Destination(ae_title="PEER", host="127.0.0.1", port=silent.getsockname()[1])
        with pytest.raises(PeerUnavailable):
            send(to, outgoing(tmp_path / "x.dcm"), timeout_s=0.5)


def test_orthanc_takes_answers_and_counts(tmp_path: Path) -> None:
    with servers.orthanc(tmp_path / "peer") as peer:
        first, second = (outgoing(tmp_path / f"{n}.dcm", StudyInstanceUID="1.2.3") for n in range(2))
        verification.echo(peer.destination, calling_ae_title="HILUM", timeout_s=10)
        assert count(peer.destination) == 0
        assert [o.status for o in send(peer.destination, first, second)] == [0x0000, 0x0000]
        assert [o.status for o in send(peer.destination, first)] == [0x0000]
        assert len(peer.instances()) == 2
        assert count(peer.destination) == 2


def count(to: Destination) -> int | None:
    return query.count_instances(to, "1.2.3", calling_ae_title="HILUM", timeout_s=10)


def test_who_answers_no_queries_cannot_count(tmp_path: Path) -> None:
    with servers.storescp(tmp_path / "peer") as peer, pytest.raises(PeerUnavailable, match="accepts none"):
        count(peer.destination)


def test_the_stored_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def answer(event: Any) -> int:
        seen.append(event.request.DataSet.getvalue())
        return 0x0000

    file = outgoing(tmp_path / "x.dcm")
    with answering(answer) as to:
        send(to, file)
    assert file.path.read_bytes().endswith(seen[0])
    assert dcmread(file.path).StudyInstanceUID.encode() in seen[0]
