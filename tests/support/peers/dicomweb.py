"""A scripted DICOMweb service: the STOW-RS peer that answers as a test wants it to."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom import dcmread

from tests.support.peers.pacs import SR


@dataclass
class FakeService:
    """A DICOMweb service that answers what it is told to, and keeps what it was sent."""

    port: int = 0
    status: int = 200
    failed: dict[str, int | None] = field(default_factory=dict)
    """Failure Reason by SOP Instance UID."""
    stored: tuple[str, ...] | None = None
    """SOP Instance UIDs that the answer names as stored; None: of the last request, where the status is 200."""
    body: bytes | None = None
    """Instead of an answer made of the two above."""
    content_type: str = "application/dicom+json"
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    """Content of the one part of each request."""
    dribble: tuple[int, float] | None = None
    """Bytes of the whole answer, headers included, that are sent at once, and seconds for each of the others."""
    leave: threading.Event = field(default_factory=threading.Event)
    held: set[str] = field(default_factory=set)
    """SOP Instance UIDs that a search (QIDO-RS) finds."""
    asked_with: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def answer(self) -> bytes:
        """Encode the answer (PS3.18 Annex F)."""
        if self.body is not None:
            return self.body
        values: dict[str, Any] = {}
        stored = self.stored
        if stored is None and self.status == 200 and self.received:
            last = str(dcmread(BytesIO(self.received[-1])).SOPInstanceUID)
            stored = () if last in self.failed else (last,)
        if stored:
            values["00081199"] = {"vr": "SQ", "Value": [_reference(uid) for uid in stored]}
        if self.failed:
            values["00081198"] = {"vr": "SQ", "Value": [_reference(*item) for item in self.failed.items()]}
        return json.dumps(values).encode() if values else b""


def _reference(uid: str, reason: int | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}, "00081150": {"vr": "UI", "Value": [SR]}}
    return item | ({} if reason is None else {"00081197": {"vr": "US", "Value": [reason]}})


@contextmanager
def service(tls: ssl.SSLContext | None = None) -> Iterator[FakeService]:
    """Run a fake service on loopback."""
    fake = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            fake.connections += 1

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            boundary = self.headers.get_param("boundary", header="content-type")
            for part in content.split(f"--{boundary}".encode())[1:-1]:
                head, _, rest = part.partition(b"\r\n\r\n")
                assert b"Content-Type: application/dicom" in head
                fake.received.append(rest.removesuffix(b"\r\n"))
            self.reply(fake.answer())

        def do_GET(self) -> None:
            uid = parse_qs(urlsplit(self.path).query).get("SOPInstanceUID", [""])[0]
            found = [{"00080018": {"vr": "UI", "Value": [uid]}}] if uid in fake.held else []
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def reply(self, body: bytes) -> None:
            fake.paths.append(self.path)
            fake.asked_with.append(dict(self.headers.items()))
            if fake.dribble is not None:
                return self.dribble(body, *fake.dribble)
            self.send_response(fake.status)
            for name, value in fake.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", fake.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def dribble(self, body: bytes, at_once: int, every_s: float) -> None:
            answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            self.wfile.write(answer[:at_once])
            with suppress(OSError):
                for value in answer[at_once:]:
                    self.wfile.write(bytes([value]))
                    if fake.leave.wait(every_s):
                        return

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake
    finally:
        fake.leave.set()
        server.shutdown()
        thread.join()
        server.server_close()
