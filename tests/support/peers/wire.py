"""A peer that sends exactly the bytes it is told to, for what no well-behaved library would send."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)

CR, DX = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT, IMPLICIT, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.90"

RELEASE_RQ = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
RELEASE_RP = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"
ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"


def request_pdu(
    *proposed: tuple[str, list[str]],
    calling: str = "ROUTER",
    called: str = "HILUM",
    application_context: str = "1.2.840.10008.3.1.1.1",
    protocol_version: int = 1,
    roles: dict[str, tuple[bool, bool]] | None = None,
    calling_field: bytes | None = None,
    called_field: bytes | None = None,
) -> bytes:
    """Encode an A-ASSOCIATE-RQ; context IDs are 1, 3, 5 and so on. A `field` is sent as its 16 bytes are."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = application_context
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    items = []
    for number, (abstract, syntaxes) in enumerate(proposed):
        context = build_context(abstract, syntaxes)
        context.context_id = 2 * number + 1
        items.append(context)
    primitive.presentation_context_definition_list = items
    length, uid = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, uid.implementation_class_uid = 16384, "1.2.3"
    primitive.user_information = [length, uid]
    for sop_class, (scu, scp) in (roles or {}).items():
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = sop_class, scu, scp
        primitive.user_information.append(role)
    request = A_ASSOCIATE_RQ()
    request.from_primitive(primitive)
    encoded = bytearray(request.encode())
    encoded[6:8] = struct.pack(">H", protocol_version)
    encoded[10:26] = called_field or encoded[10:26]
    encoded[26:42] = calling_field or encoded[26:42]
    return bytes(encoded)


def element(number: int, value: bytes) -> bytes:
    """Encode a command element."""
    return struct.pack("<HHL", 0, number, len(value)) + value


def command_set(
    operation: int = 0x0001,
    *,
    sop_class: str = CR,
    instance: str = "1.2.3",
    data: bool = True,
    message_id: int = 1,
    event_type: int | None = None,
) -> bytes:
    """Encode the command set of a request."""

    def uid(text: str) -> bytes:
        return text.encode("latin-1") + b"\0" * (len(text) % 2)

    body = (
        element(0x0002, uid(sop_class))
        + element(0x0100, struct.pack("<H", operation))
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0700, b"\0\0")
        + element(0x0800, struct.pack("<H", 0x0001 if data else 0x0101))
        + element(0x1000, uid(instance))
        + (b"" if event_type is None else element(0x1002, struct.pack("<H", event_type)))
    )
    return element(0, struct.pack("<L", len(body))) + body


def p_data(content: bytes, *, context_id: int = 1, command: bool = False, last: bool = True) -> bytes:
    """Encode a P-DATA-TF with one presentation data value."""
    value = struct.pack(">LBB", len(content) + 2, context_id, command | last << 1) + content
    return struct.pack(">BxL", 4, len(value)) + value


@dataclass
class Wire:
    """One connection."""

    socket: socket.socket

    def send(self, *pdus: bytes) -> None:
        self.socket.sendall(b"".join(pdus))

    def exactly(self, count: int) -> bytes:
        """Read `count` bytes; fewer where the peer closed."""
        content = b""
        while len(content) < count and (part := self._receive(count - len(content))):
            content += part
        return content

    def pdu(self) -> bytes:
        """Read one PDU; empty where the peer closed."""
        header = self.exactly(6)
        if len(header) < 6:
            return b""
        return header + self.exactly(int.from_bytes(header[2:6], "big"))

    def closed(self) -> bool:
        """Wait for the peer to close, and tell whether it sent nothing before."""
        return self._receive(1) == b""

    def associate(self, *proposed: tuple[str, list[str]], **options: str) -> bytes:
        """Propose contexts, by default CR and Verification, and give back the answer."""
        self.send(request_pdu(*(proposed or ((CR, [EXPLICIT]), (VERIFICATION, [IMPLICIT]))), **options))  # type: ignore[arg-type]
        return self.pdu()

    def status(self) -> int:
        """Read a response, and give back its Status (0000,0900)."""
        content = self.pdu()
        at = content.index(b"\0\0\x00\x09\x02\0\0\0")
        return int.from_bytes(content[at + 8 : at + 10], "little")

    def store(self, data: bytes, **options: str) -> int:
        """Send a C-STORE request, and give back the status."""
        self.send(p_data(command_set(**options), command=True), p_data(data))  # type: ignore[arg-type]
        return self.status()

    def release(self) -> bool:
        """Release the association, and tell whether the peer agreed."""
        self.send(RELEASE_RQ)
        return self.pdu() == RELEASE_RP

    def _receive(self, count: int) -> bytes:
        try:
            return self.socket.recv(count)
        except ConnectionResetError:
            return b""


@contextmanager
def connect(port: int, *, host: str = "127.0.0.1", source: str | None = None) -> Iterator[Wire]:
    """Open a connection, from another loopback address where `source` is given."""
    origin = None if source is None else (source, 0)
    with socket.create_connection((host, port), timeout=20, source_address=origin) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Wire(connection)
