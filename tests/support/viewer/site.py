"""A web server of one origin for the viewer: its files, and the archive's DICOMweb passed through."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

CONFIGURATION = Path(__file__).with_name("app-config.js")
PASSED_ON = ("Accept", "Content-Type", "Host")
"""With the host, the archive names its bulk data under the address of this server."""
HELD_BACK_S = 60.0
_METADATA = re.compile(r"/series/([0-9.]+)/metadata$")


@dataclass
class Site:
    """A running server; it can keep the metadata of one series back, as a slow archive may."""

    url: str = ""
    _kept_back: str = ""
    _released: threading.Event = field(default_factory=threading.Event)

    def hold_back(self, series_uid: str) -> None:
        """Keep the metadata of a series back until `release`."""
        self._kept_back = series_uid
        self._released.clear()

    def release(self) -> None:
        """Give the metadata that was kept back."""
        self._released.set()

    def wait_for(self, series_uid: str) -> None:
        """Wait until it is the turn of a series."""
        if series_uid == self._kept_back:
            self._released.wait(HELD_BACK_S)


class _Handler(SimpleHTTPRequestHandler):
    """Files of the viewer; a path that is no file is a page of the application; `/dicom-web` is the archive."""

    archive: str
    site: Site

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        metadata = _METADATA.search(path)
        if metadata:
            self.site.wait_for(metadata[1])
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
def serving(files: Path, *, archive: str) -> Iterator[Site]:
    """Serve the viewer's `files` over the DICOMweb of `archive` (its root URL)."""

    class Handler(_Handler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(files))

    Handler.archive, Handler.site = archive, Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="viewer")
    thread.start()
    try:
        Handler.site.url = f"http://127.0.0.1:{server.server_port}"
        yield Handler.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
