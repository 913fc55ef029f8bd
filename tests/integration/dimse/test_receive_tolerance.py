"""What a receiver must not mind: items that nobody needs, in words of any length and letters, and empty fragments."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest
from pynetdicom import AE
from structlog.testing import capture_logs

from node.delivery.destinations import Destination
from node.dimse.scu import verification
from tests.support.peers import wire
from tests.support.peers.receiving import closed_arrivals, serving, settings_with
from tests.support.waiting import wait_for


def item(kind: int, content: bytes) -> bytes:
    """Encode an item of an A-ASSOCIATE-RQ (PS3.8 section 9.3.2)."""
    return struct.pack(">BxH", kind, len(content)) + content


def context(context_id: int, abstract: bytes, *syntaxes: bytes, extra: bytes = b"") -> bytes:
    """Encode a presentation context."""
    inner = item(0x30, abstract) + extra + b"".join(item(0x40, syntax) for syntax in syntaxes)
    return item(0x20, bytes([context_id, 0, 0, 0]) + inner)


def request(
    *, contexts: bytes | None = None, user: bytes = b"", extra: bytes = b"", calling: bytes = b"ODD_ROUTER"
) -> bytes:
    """Encode a request for CR in Explicit VR Little Endian, with more user information, and more items."""
    user_information = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3") + user
    body = struct.pack(">HH", 1, 0) + b"HILUM".ljust(16) + calling.ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    body += CR_CONTEXT if contexts is None else contexts
    body += extra + item(0x50, user_information)
    return struct.pack(">BxL", 1, len(body)) + body


CR_CONTEXT = context(1, wire.CR.encode(), wire.EXPLICIT.encode())
NOBODY_NEEDS = {
    "unknown user information": request(user=item(0x5A, b"hello")),
    "unknown item": request(extra=item(0x70, b"vendor")),
    "unknown item in a context": request(
        contexts=context(1, wire.CR.encode(), wire.EXPLICIT.encode(), extra=item(0x41, b"x"))
    ),
    "identity of an unknown type": request(user=item(0x58, b"\x09\x00\x00\x03abc\x00\x00")),
    "identity that is cut off": request(user=item(0x58, b"\x01\x01\x00\xff")),
    "identity of SAML, with an answer asked for": request(user=item(0x58, b"\x04\x01\x00\x03<a>\x00\x00")),
    "version of 24 letters": request(user=item(0x55, b"ODD_VENDOR_SOFTWARE_2024")),
    "version with NUL": request(user=item(0x55, b"ODD_1\0")),
    "version of nothing": request(user=item(0x55, b"")),
    "version in Latin-1": request(user=item(0x55, "RÖNTGEN".encode("latin-1"))),
    "version in UTF-8": request(user=item(0x55, "放射線".encode())),
    "implementation class that is no UID": request(user=item(0x52, b"not.a.uid")),
    "maximum length of 3 bytes": request(user=item(0x51, b"\0\0\1")),
    "asynchronous operations of 1 byte": request(user=item(0x53, b"\1")),
    "extended negotiation of nothing": request(user=item(0x56, b"")),
    "common extended negotiation cut off": request(user=item(0x57, b"\0\x40" + b"1.2")),
    "role of a class that is no UID": request(user=item(0x54, b"\0\x03abc\x01\x00")),
    "role that is cut off": request(user=item(0x54, b"\0\x40abc")),
    "a context of a UID of 70 letters": request(
        contexts=CR_CONTEXT + context(5, b"1.2." + b"3" * 66, wire.EXPLICIT.encode())
    ),
    "a context without transfer syntax": request(contexts=CR_CONTEXT + context(5, wire.DX.encode())),
    "a context without abstract syntax": request(contexts=CR_CONTEXT + item(0x20, b"\5\0\0\0")),
    "a syntax that is no UID": request(contexts=context(1, wire.CR.encode(), b"\xff\xfe", wire.EXPLICIT.encode())),
    "UIDs padded with NUL and space": request(
        contexts=context(1, wire.CR.encode() + b"\0", wire.EXPLICIT.encode() + b" ")
    ),
}


@pytest.mark.parametrize("sent", NOBODY_NEEDS.values(), ids=NOBODY_NEEDS.keys())
def test_what_nobody_needs_ends_no_association(tmp_path: Path, sent: bytes) -> None:
    settings = settings_with(tmp_path)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.send(sent)
        assert peer.pdu()[0] == 2
        assert peer.store(b"data") == 0x0000
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert folder.info.calling_ae_title == "ODD_ROUTER"


def test_a_context_that_makes_no_sense_is_refused_and_the_others_are_accepted(tmp_path: Path) -> None:
    odd = context(3, b"1.2." + b"3" * 66, wire.EXPLICIT.encode()) + context(5, wire.DX.encode())
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.send(request(contexts=CR_CONTEXT + odd))
        answer = peer.pdu()
    assert [answer[at + 4 : at + 7 : 2] for at in range(len(answer)) if answer[at : at + 2] == b"\x21\0"] == [
        b"\1\0",
        b"\3\3",
        b"\5\4",
    ]


BEYOND_USE = {
    "item longer than its PDU": (request()[:-1] + b"", "longer than"),
    "context of 2 bytes": (request(contexts=item(0x20, b"\1\0")), "presentation context of 2 bytes"),
    "one context ID twice": (request(contexts=CR_CONTEXT * 2), "presentation context 1 twice"),
    "item header cut off": (request() + b"\x50", "cut off"),
}


@pytest.mark.parametrize(("sent", "why"), BEYOND_USE.values(), ids=BEYOND_USE.keys())
def test_what_is_beyond_use_is_aborted_and_the_log_says_whose_and_why(tmp_path: Path, sent: bytes, why: str) -> None:
    sent = sent[:2] + struct.pack(">L", len(sent) - 6) + sent[6:]
    with capture_logs() as logs, serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.send(sent)
        assert tuple(peer.pdu()) == (7, 0, 0, 0, 0, 4, 0, 0, 2, 6)
        assert peer.closed()
        line = wait_for(lambda: [e for e in logs if e["event"] == "association.refused_pdu"], what="the line")[0]
    assert line["calling_ae_title"] == "ODD_ROUTER"
    assert why in line["why"]
    assert "Error" not in line["why"]


def test_empty_fragments_in_the_middle_end_no_association(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    command, nothing = wire.command_set(), wire.p_data(b"", last=False)
    with serving(settings) as port, wire.connect(port) as peer:
        peer.associate()
        peer.send(wire.p_data(b"", command=True, last=False), wire.p_data(command[:9], command=True, last=False))
        peer.send(wire.p_data(b"", command=True, last=False), wire.p_data(command[9:], command=True))
        peer.send(nothing, wire.p_data(b"da", last=False), nothing * 3, wire.p_data(b"ta", last=False), nothing)
        peer.send(wire.p_data(b""))
        assert peer.status() == 0x0000
        assert peer.release()
    (folder,) = closed_arrivals(settings)
    assert folder.files[0].read_bytes().endswith(b"data")


def test_empty_fragments_without_end_are_aborted(tmp_path: Path) -> None:
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.associate()
        peer.send(wire.p_data(wire.command_set(), command=True), wire.p_data(b"", last=False) * 5000)
        assert tuple(peer.pdu()) == (7, 0, 0, 0, 0, 4, 0, 0, 2, 6)


def test_the_answer_repeats_both_titles_as_they_came(tmp_path: Path) -> None:
    """PS3.8 Table 9-17: bytes 11 to 74 of the A-ASSOCIATE-AC are those of the request."""
    sent = bytearray(request(calling=b"ODD\0\xff"))
    sent[42:74] = bytes(range(32))
    with serving(settings_with(tmp_path)) as port, wire.connect(port) as peer:
        peer.send(bytes(sent))
        assert peer.pdu()[10:74] == sent[10:74]


def test_pynetdicom_with_every_extension_is_served(tmp_path: Path) -> None:
    from pynetdicom.pdu_primitives import (
        AsynchronousOperationsWindowNegotiation,
        SOPClassCommonExtendedNegotiation,
        SOPClassExtendedNegotiation,
        UserIdentityNegotiation,
    )

    window, extended = AsynchronousOperationsWindowNegotiation(), SOPClassExtendedNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 4
    extended.sop_class_uid, extended.service_class_application_information = wire.CR, b"\x02\0\0\0\1\0"
    common, identity = SOPClassCommonExtendedNegotiation(), UserIdentityNegotiation()
    common.sop_class_uid, common.service_class_uid = wire.CR, "1.2.840.10008.4.2"
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"user", b"word"
    identity.positive_response_requested = True
    ae = AE(ae_title="TEST")
    ae.add_requested_context(wire.VERIFICATION)
    with serving(settings_with(tmp_path)) as port:
        association = ae.associate("127.0.0.1", port, ae_title="HILUM", ext_neg=[window, extended, common, identity])
        assert association.is_established
        assert association.send_c_echo().Status == 0x0000
        association.release()


def answering(content: bytes) -> tuple[socket.socket, threading.Thread]:
    """A peer that answers any request, and then whatever comes, with the same bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            peer = wire.Wire(connection)
            peer.pdu()
            peer.send(content)
            if peer.pdu()[:1] == b"\x04":
                peer.send(wire.p_data(echo_response(), command=True))
                peer.pdu()
                peer.send(wire.RELEASE_RP)

    thread = threading.Thread(target=serve)
    thread.start()
    return listener, thread


def echo_response() -> bytes:
    """Encode the command set of a C-ECHO response."""
    body = (
        wire.element(0x0002, wire.VERIFICATION.encode() + b"\0")
        + wire.element(0x0100, b"\x30\x80")
        + wire.element(0x0120, b"\1\0")
        + wire.element(0x0800, b"\x01\x01")
        + wire.element(0x0900, b"\0\0")
    )
    return wire.element(0, struct.pack("<L", len(body))) + body


@pytest.mark.parametrize(
    "user",
    [b"", item(0x5A, b"hello"), item(0x55, b"ODD_VENDOR_SOFTWARE_2024"), item(0x55, b"ODD_1\0"), item(0x59, b"\0\1x")],
    ids=["plain", "unknown", "long version", "NUL", "identity nobody asked for"],
)
def test_an_archive_may_answer_with_what_nobody_needs(user: bytes) -> None:
    """The other side of the same association: the answer that our own sender reads."""
    body = struct.pack(">HH", 1, 0) + b"PACS".ljust(16) + b"HILUM".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    body += item(0x21, b"\1\0\0\0" + item(0x40, wire.IMPLICIT.encode()))
    body += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3") + user)
    listener, thread = answering(struct.pack(">BxL", 2, len(body)) + body)
    with listener:
        to = Destination(ae_title="PACS", host="127.0.0.1", port=listener.getsockname()[1])
        verification.echo(to, calling_ae_title="HILUM", timeout_s=5)
        thread.join(10)
