"""STOW-RS (PS3.18 section 10.5) as user agent: send results to a DICOMweb service, and ask whether it is there.

One request for each result, over one connection: the service's answer then says what became of that result, and a job
that is too large for one request is none. The body holds the stored bytes; nothing is encoded again. Retries are those
of our rows, not of the library; proxies, credentials and certificates come from the settings, never from the
environment.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError

from node.delivery.destinations import WebDestination, WebTLSFiles
from node.delivery.outcome import OutgoingFile, SendOutcome
from node.dicom.status import STORE_STATUSES, Disposition, StatusRange, disposition_of
from node.errors import HilumError, Misconfigured, PeerUnavailable
from node.tls import CIPHERS, MINIMUM_VERSION

MAXIMUM_ANSWER_BYTES: Final = 1 << 20
"""Longest answer that is read; one about one instance is under 2 KB."""

ALREADY_STORED: Final = 0x0111
"""Failure Reason of an instance that the service has (PS3.7 section C.4.1): it is there, which is what was wanted."""

# PS3.18 Table 10.5.3-1 and RFC 9110, where the answer says nothing about the instance itself. The first row decides.
# No status alone is a success: the answer has to name what was stored (Referenced SOP Sequence, required then by the
# Store Instances Response Module, Annex I), and a login page, a proxy, or a connection that broke within the headers
# give 200 too.
HTTP_STATUSES: Final = (
    StatusRange(200, 200, Disposition.RETRY, "OK, but the answer does not name the instance as stored"),
    StatusRange(202, 202, Disposition.RETRY, "Accepted, with failures, without saying which"),
    StatusRange(300, 399, Disposition.RETRY, "Redirection, which is not followed"),
    StatusRange(400, 400, Disposition.REFUSED, "Bad Request"),
    StatusRange(401, 401, Disposition.RETRY, "Unauthorized: credentials are missing or no longer good"),
    StatusRange(403, 403, Disposition.RETRY, "Forbidden: this node may not store"),
    StatusRange(
        404, 405, Disposition.RETRY, "Not Found, or Method Not Allowed: the address is none of a STOW-RS service"
    ),
    StatusRange(406, 406, Disposition.REFUSED, "Not Acceptable"),
    StatusRange(409, 409, Disposition.REFUSED, "Conflict: none was stored"),
    StatusRange(411, 411, Disposition.REFUSED, "Length Required"),
    StatusRange(413, 413, Disposition.REFUSED, "Content Too Large"),
    StatusRange(415, 415, Disposition.REFUSED, "Unsupported Media Type"),
    StatusRange(422, 422, Disposition.REFUSED, "Unprocessable Content"),
    StatusRange(400, 499, Disposition.RETRY, "Client error"),
    StatusRange(500, 599, Disposition.RETRY, "Server error"),
)

_UNANSWERED: Final = frozenset({401, 403, 404, 405, 407, 408, 429, *range(300, 400), *range(500, 600)})
"""Statuses that are about the service, not about the instance."""

# PS3.18 Annex F: attributes of a DICOM JSON object by tag.
_SOP_INSTANCE_UID: Final = "00081155"
_FAILURE_REASON: Final = "00081197"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_REFERENCED_SOP_SEQUENCE: Final = "00081199"


T = TypeVar("T")


class _BadAnswer(HilumError):
    """The body is not the JSON that was asked for."""


def store(
    destination: WebDestination, files: Sequence[OutgoingFile], *, connect_timeout_s: float, response_timeout_s: float
) -> list[SendOutcome]:
    """Send files, one request each.

    Returns
    -------
    list of SendOutcome
        One for each file, in order; `status` is a Failure Reason where the service gave one. After the service has
        stopped answering, the rest is `retry`.

    Raises
    ------
    PeerUnavailable
        There was no connection, so that nothing was sent.
    Misconfigured
        A file with a secret or certificate cannot be used.
    """
    outcomes: list[SendOutcome] = []
    with _client(destination, connect_timeout_s, response_timeout_s) as client:
        for index, file in enumerate(files):
            if index and not outcomes[-1].answered:
                why = f"not sent, as the service did not take what came before: {outcomes[0].detail}"
                outcomes.append(SendOutcome(file.sop_instance_uid, None, Disposition.RETRY, why, answered=False))
                continue
            try:
                outcomes.append(_store_one(client, file))
            except PeerUnavailable as error:
                if not outcomes:
                    raise
                outcomes.append(SendOutcome(file.sop_instance_uid, None, Disposition.RETRY, str(error), answered=False))
    return outcomes


def echo(destination: WebDestination, *, timeout_s: float) -> None:
    """Post a request without any part, which stores nothing, to see that address and authentication are right.

    OPTIONS would be the question to ask (PS3.18 section 8.9), but Orthanc for one answers it with 404. A service may
    answer that the request is empty: that is an answer too.

    Raises
    ------
    PeerUnavailable
        There was no answer, or one that says that nothing could be stored, or 200 with a body that is none of STOW-RS.
    Misconfigured
        A file with a secret or certificate cannot be used.
    """
    with _client(destination, timeout_s, timeout_s) as client:
        response = _post(client, [])
    status = response.status_code
    if status in _UNANSWERED or status == 415:
        raise PeerUnavailable(f"{destination.url}/studies answers HTTP {status} {_meaning(status)}")
    if status in (200, 202):
        try:
            _read_answer(response.headers.get("Content-Type", ""), response.content)
        except _BadAnswer as error:
            raise PeerUnavailable(f"{destination.url}/studies answers HTTP {status}, but {error}") from error


class _Client(DICOMwebClient):
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


@contextmanager
def _client(destination: WebDestination, connect_timeout_s: float, response_timeout_s: float) -> Iterator[_Client]:
    """Open a client for one destination."""
    logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)  # our outcomes say the same, once
    # A connection and the sending of one file may take `connect_timeout_s` each.
    session = _Session(2 * connect_timeout_s + response_timeout_s, _tls_context(destination.tls))
    try:
        if destination.tls.ca is not None:
            session.verify = str(destination.tls.ca)
        session.headers["User-Agent"] = "hilum"
        authorization = _authorization(destination)
        if authorization is not None:
            session.headers["Authorization"] = authorization
        yield _Client(destination.url, session, (connect_timeout_s, response_timeout_s))
    finally:
        session.close()


def _store_one(client: _Client, file: OutgoingFile) -> SendOutcome:
    """Send one file."""
    try:
        content = file.path.read_bytes()
    except OSError as error:
        why = f"the stored file cannot be sent: {error.strerror}"
        return SendOutcome(file.sop_instance_uid, None, Disposition.REFUSED, why)
    response = _post(client, [content])
    return _outcome(file, response.status_code, response.headers.get("Content-Type", ""), response.content)


def _post(client: _Client, contents: Sequence[bytes]) -> requests.Response:
    """Post, and get the answer."""
    try:
        return client.store(contents)
    except (requests.RequestException, OSError) as error:
        raise PeerUnavailable(f"{client.base_url} cannot be reached: {type(error).__name__}") from error


def _outcome(file: OutgoingFile, status: int, content_type: str, body: bytes) -> SendOutcome:
    """Decide what an answer means: by what it says about the instance, else by its status."""
    uid = file.sop_instance_uid
    if status in _UNANSWERED:
        return SendOutcome(uid, None, Disposition.RETRY, f"HTTP {status} {_meaning(status)}", answered=False)
    try:
        stored, failed = _read_answer(content_type, body)
    except _BadAnswer as error:
        stored, failed, unread = frozenset(), {}, f"; {error}"
    else:
        unread = ""
    if uid in failed:
        disposition, meaning = _failure(failed[uid])
        return SendOutcome(uid, failed[uid], disposition, f"HTTP {status}, {meaning}")
    if uid in stored and status in (200, 202):
        return SendOutcome(uid, None, Disposition.ACCEPTED, f"HTTP {status}")
    disposition, meaning = disposition_of(status, HTTP_STATUSES)
    return SendOutcome(uid, None, disposition, f"HTTP {status} {meaning}{unread}")


def _failure(reason: int | None) -> tuple[Disposition, str]:
    """Decide what a Failure Reason means (PS3.18 section 10.5.3.2 uses those of C-STORE)."""
    if reason is None:
        return Disposition.RETRY, "failed without reason"
    disposition, meaning = disposition_of(reason, STORE_STATUSES)
    if disposition is Disposition.ACCEPTED and reason != ALREADY_STORED:
        disposition = Disposition.RETRY  # a warning among the failures: whatever is meant, it was not stored
    return disposition, f"{reason:#06x} {meaning}"


def _read_answer(content_type: str, body: bytes) -> tuple[frozenset[str], dict[str, int | None]]:
    """Read the Store Instances Response Module (PS3.18 Annex I) as JSON.

    Returns
    -------
    tuple
        The SOP Instance UIDs that were stored, and those that were not with their Failure Reasons.
    """
    if not body:
        return frozenset(), {}
    if content_type.partition(";")[0].strip().lower() not in ("application/dicom+json", "application/json"):
        raise _BadAnswer("the answer is no JSON")
    try:
        values = json.loads(body)
        answer = values[0] if isinstance(values, list) else values
        stored = frozenset(_first(item, _SOP_INSTANCE_UID, str) for item in _items(answer, _REFERENCED_SOP_SEQUENCE))
        failed = {
            _first(item, _SOP_INSTANCE_UID, str): _first(item, _FAILURE_REASON, int)
            for item in _items(answer, _FAILED_SOP_SEQUENCE)
        }
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise _BadAnswer(f"the answer cannot be read ({type(error).__name__})") from error
    return frozenset(uid for uid in stored if uid), {uid: reason for uid, reason in failed.items() if uid}


def _items(answer: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return list(answer.get(tag, {}).get("Value") or ())


def _first(item: dict[str, Any], tag: str, kind: type[T]) -> T | None:
    values = item.get(tag, {}).get("Value") or [None]
    return values[0] if isinstance(values[0], kind) else None


def _meaning(status: int) -> str:
    return disposition_of(status, HTTP_STATUSES)[1]


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
