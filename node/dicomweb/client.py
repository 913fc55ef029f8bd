"""One connection to a DICOMweb service: bounded in time and in what is read; TLS and credentials of the settings alone.

Retries are those of our rows, not of the library; proxies, credentials and certificates never come from the
environment.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from node import tls
from node.delivery.destinations import WebDestination, WebTLSFiles
from node.errors import Misconfigured, PeerUnavailable
from node.tls import CIPHERS, MINIMUM_VERSION

MAXIMUM_ANSWER_BYTES: Final = 1 << 20
"""Longest answer that is read; one about one instance is under 2 KB."""


class Client(DICOMwebClient):
    """The library's client, sending bytes as they are.

    Its public `store_instances` takes data sets, encodes them again, and keeps the answer's status to itself. So two of
    its private methods are called, those of dicomweb-client 0.60 and 0.61 (pyproject.toml admits no other); a test
    fails where an upgrade changes them.
    """

    def __init__(self, url: str, session: requests.Session, timeouts_s: tuple[float, float]) -> None:
        super().__init__(url, session, timeout=timeouts_s)
        self.host = urlsplit(url).netloc  # the library leaves the port out of the Host header (RFC 9110 section 7.2)
        self.set_http_retry_params(retry=False)
        self.set_chunk_size(1 << 40)  # one body with Content-Length: not every service takes chunks

    @property
    def studies_url(self) -> str:
        """The resource that results are posted to."""
        return f"{self.base_url}/studies"

    def store(self, contents: Sequence[bytes]) -> requests.Response:
        """Post Part 10 files; every status is returned."""
        boundary = hashlib.sha256(b"".join(contents)).hexdigest()  # no content holds its own digest
        content_type = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
        headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
        try:
            return self._http_post(self.studies_url, self._encode_multipart_message(contents, content_type), headers)
        except requests.HTTPError as error:
            if error.response is None:
                raise
            return error.response


@contextmanager
def opened(destination: WebDestination, connect_timeout_s: float, response_timeout_s: float) -> Iterator[Client]:
    """Open a client for one destination."""
    logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)  # our outcomes say the same, once
    # A connection and the sending of one file may take `connect_timeout_s` each.
    session = _Session(2 * connect_timeout_s + response_timeout_s, _tls_context(destination.tls))
    try:
        if destination.tls.ca is not None:
            session.verify = str(destination.tls.ca)
        if destination.proxy is not None:
            session.proxies = {"http": destination.proxy, "https": destination.proxy}
        session.headers["User-Agent"] = "hilum"
        authorization = _authorization(destination)
        if authorization is not None:
            session.headers["Authorization"] = authorization
        yield Client(destination.url, session, (connect_timeout_s, response_timeout_s))
    finally:
        session.close()


def post(client: Client, contents: Sequence[bytes]) -> requests.Response:
    """Post, and get the answer."""
    try:
        return client.store(contents)
    except (requests.RequestException, OSError) as error:
        failure = _tls_failure(error)
        why = f"cannot be reached: {type(error).__name__}" if failure is None else tls.reason(failure)
        raise PeerUnavailable(f"{client.base_url} {why}") from error


def holds(client: Client, sop_instance_uid: str) -> bool:
    """Ask whether the service has an instance (QIDO-RS, PS3.18 section 10.6); no answer is no."""
    try:
        found = client.search_for_instances(search_filters={"SOPInstanceUID": sop_instance_uid}, limit=1)
    except (requests.RequestException, OSError, ValueError):
        return False
    return any(one.get("00080018", {}).get("Value") == [sop_instance_uid] for one in found)


def _tls_failure(error: BaseException | None) -> ssl.SSLError | None:
    """Find what TLS said, which requests and urllib3 wrap several times."""
    while error is not None and not isinstance(error, ssl.SSLError):
        inner = error.args[0] if error.args else None
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
    return error


class _Session(requests.Session):
    """A session that follows no redirection, and reads answers of bounded length in bounded time.

    Timeouts of a socket are those of one read, and a service may send a byte for each, of the headers too. So the
    connection is shut down after `exchange_s`, and whoever reads from it finds its end.
    """

    def __init__(self, exchange_s: float, context: ssl.SSLContext) -> None:
        super().__init__()
        self.trust_env = False  # else proxies, certificates and passwords come from environment and home folder
        self._exchange_s = exchange_s
        self._opened: list[socket.socket] = []
        self._expired = threading.Event()
        self.mount("https://", _Adapter(self._note_opened, ssl_context=context))
        self.mount("http://", _Adapter(self._note_opened))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request and read its answer."""
        self._expired.clear()
        watchdog = threading.Timer(self._exchange_s, self._expire)
        watchdog.daemon = True
        watchdog.start()
        try:
            response = super().send(request, **options | {"stream": True, "allow_redirects": False})
            content = _read(response)
        finally:
            watchdog.cancel()
        if self._expired.is_set():  # headers that are cut off look complete
            raise requests.exceptions.ReadTimeout("the answer is too slow")
        response.raw = io.BytesIO(content)  # whoever asks for `content` reads it from there
        return response

    def _note_opened(self, connection: socket.socket) -> None:
        self._opened.append(connection)
        if self._expired.is_set():
            _shut_down(connection)

    def _expire(self) -> None:
        self._expired.set()
        for connection in self._opened:
            _shut_down(connection)


def _read(response: requests.Response) -> bytes:
    """Read an answer, but no endless one."""
    content = b""
    try:
        for chunk in response.raw.stream(1 << 16, decode_content=True):
            content += chunk
            if len(content) > MAXIMUM_ANSWER_BYTES:
                response.close()
                raise requests.exceptions.ContentDecodingError("the answer is too long")
    except HTTPError as error:
        response.close()
        raise requests.exceptions.ConnectionError("the answer breaks off") from error
    return content


class _Adapter(HTTPAdapter):
    """Connections whose sockets are told to `note_opened`; those by TLS have the context that is given."""

    def __init__(self, note_opened: Callable[[socket.socket], None], **options: Any) -> None:
        self._note_opened, self._options = note_opened, options
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make connections with our options."""
        super().init_poolmanager(*arguments, **options | self._options)

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> HTTPConnectionPool:
        """Get connections that tell their sockets: one whose answer is to be its last gives its socket away."""
        pool = super().get_connection_with_tls_context(*arguments, **options)
        pool.ConnectionCls = _telling(type(pool).ConnectionCls, self._note_opened)
        return pool


def _telling(kind: Any, note_opened: Callable[[socket.socket], None]) -> Any:
    """Make a class of connections, plain or TLS as `kind` is, that tell which socket they have opened."""

    class Telling(kind):  # type: ignore[misc]  # urllib3 has one class for each, without a common one for both
        def connect(self) -> None:
            super().connect()
            note_opened(self.sock)

    return Telling


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # closed meanwhile
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # of TLS too, which the other thread still reads


def _tls_context(files: WebTLSFiles) -> ssl.SSLContext:
    """Build the context of connections; the authorities are added by requests from `Session.verify`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = MINIMUM_VERSION
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        if files.ca is not None:
            context.load_verify_locations(str(files.ca))
        if files.certificate is not None:
            context.load_cert_chain(str(files.certificate), str(files.key), password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Misconfigured(
            f"cannot use TLS ca {files.ca}, certificate {files.certificate}, key {files.key}: {error}"
        ) from error
    return context


def _authorization(destination: WebDestination) -> str | None:
    """Read the secret and build the Authorization header; None: there is none."""
    if destination.bearer_token_file is not None:
        return f"Bearer {_secret(destination.bearer_token_file)}"
    if destination.basic_auth_file is not None:
        secret = _secret(destination.basic_auth_file)
        if ":" not in secret:
            raise Misconfigured(f"{destination.basic_auth_file} does not hold user:password")
        return "Basic " + base64.b64encode(secret.encode()).decode("ascii")
    return None


def _secret(path: Path) -> str:
    """Read one line."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read the secret in {path}: {type(error).__name__}") from error
    if not text or not text.isprintable():
        raise Misconfigured(f"{path} does not hold one line of text")
    return text
