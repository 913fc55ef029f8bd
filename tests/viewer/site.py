"""A web server of one origin for the viewer: its files, and the archive's DICOMweb passed through."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

CONFIGURATION = Path(__file__).with_name("app-config.js")
PASSED_ON = ("Accept", "Content-Type")


class _Handler(SimpleHTTPRequestHandler):
    """Files of the viewer; a path that is no file is a page of the application; `/dicom-web` is the archive."""

    archive: str

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/dicom-web"):
            self._pass_on()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", CONFIGURATION.read_bytes())
        else:
            if not Path(self.translate_path(self.path)).is_file():
                self.path = "/index.html"
            super().do_GET()

    def end_headers(self) -> None:
        # The decoders' shared memory needs an isolated origin.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def _pass_on(self) -> None:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        try:
            request = Request(self.archive + self.path, headers=headers)  # noqa: S310 - the archive's root is ours
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                self._answer(answer.status, answer.headers["Content-Type"], answer.read())
        except HTTPError as error:
            self._answer(error.code, "text/plain", error.read())

    def _answer(self, status: int, content_type: str | None, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type or "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the page was left meanwhile
            self.wfile.write(body)


@contextlib.contextmanager
def serving(files: Path, *, archive: str) -> Iterator[str]:
    """Serve the viewer's `files` over the DICOMweb of `archive` (its root URL); yield the URL."""

    class Handler(_Handler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(files))

    Handler.archive = archive
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="viewer")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
