"""TLS with certificates on both sides (PS3.15 section B.12).

Not the profile of section B.13, whose suites with CCM, which servers must have, are not offered. Those of sections B.1
to B.3 and B.9 to B.11 are retired.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from node.delivery.certificates import certificate_name
from node.delivery.destinations import TLSFiles
from node.errors import Misconfigured

PROFILE: Final = "BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile"
"""Title of PS3.15 section B.12."""
MINIMUM_VERSION: Final = ssl.TLSVersion.TLSv1_2
"""TLS 1.3 is preferred where both sides have it."""

# PS3.15 section B.12: TLS 1.2 with forward secrecy and authenticated encryption; TLS 1.3 suites are OpenSSL's own.
CIPHERS: Final = (
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)

_ALTERNATIVE_NAMES: Final = {"DNS": "dns", "IP Address": "ip", "email": "email", "URI": "uri"}
"""What Python calls the kinds of a subject alternative name, and what a setting calls them."""


def server_context(files: TLSFiles) -> ssl.SSLContext | None:
    """Build the receiver's context: a client without a certificate of the `ca` is refused. None: TLS is off.

    Raises
    ------
    Misconfigured
        A file is missing or is not what it should be.
    """
    return _context(ssl.PROTOCOL_TLS_SERVER, files)


def client_context(files: TLSFiles) -> ssl.SSLContext | None:
    """Build the sender's context: the peer's certificate must be of the `ca` and name its host. None: TLS is off.

    Raises
    ------
    Misconfigured
        A file is missing or is not what it should be.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, files)


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a peer's certificate says of it, once its chain was found good."""

    subject: str
    """Distinguished name (RFC 4514), most specific part first: `CN=router,O=Hospital`."""
    names: frozenset[str]
    """All that a setting may name it by (`node.delivery.certificates`): subject, subject alternative names, SHA-256."""


def peer_certificate(connection: ssl.SSLSocket) -> PeerCertificate:
    """Read the certificate that the peer has shown.

    Raises
    ------
    ssl.SSLError
        It has shown none, or one that cannot be read.
    """
    encoded = connection.getpeercert(binary_form=True)
    try:
        certificate = x509.load_der_x509_certificate(encoded or b"")
        subject = _printable(certificate.subject.rfc4514_string())
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    except ValueError as error:
        raise ssl.SSLError("the peer's certificate cannot be read") from error
    alternative = cast(Iterable[tuple[str, str]], (connection.getpeercert() or {}).get("subjectAltName", ()))
    others = [f"{_ALTERNATIVE_NAMES[kind]}:{value}" for kind, value in alternative if kind in _ALTERNATIVE_NAMES]
    names = set()
    for name in (subject, f"sha256:{fingerprint}", *others):
        with contextlib.suppress(ValueError):  # no subject at all, or an address that is none
            names.add(certificate_name(name))
    return PeerCertificate(subject, frozenset(names))


class NotingSocket(ssl.SSLSocket):
    """A client's connection that keeps the reason for which TLS ended it: pynetdicom puts it into a log only.

    With TLS 1.3 a peer that refuses our certificate says so after the handshake, when its first answer is read.
    """

    failure: ssl.SSLError | None = None

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, and keep why that failed."""
        with self._noting():
            super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read, and keep why that failed."""
        with self._noting():
            return super().recv(buflen, flags)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLError as error:
            if not isinstance(error, ssl.SSLWantReadError | ssl.SSLWantWriteError):
                self.failure = error
            raise


def reason(error: ssl.SSLError) -> str:
    """Say for people why TLS ended a connection that this node opened: whose certificate, and what is wrong with it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not accepted: {error.verify_message}"
    words = (error.reason or type(error).__name__).replace("_", " ").lower()
    _, alert, meaning = words.partition(" alert ")
    return f"refuses this node's certificate or TLS: {meaning}" if alert else f"fails in TLS: {words}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _context(protocol: int, files: TLSFiles) -> ssl.SSLContext | None:
    """Build a context from the three files."""
    if not files.enabled:
        return None
    context = ssl.SSLContext(protocol)
    context.minimum_version = MINIMUM_VERSION
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        # With an empty password an encrypted key is refused; without one OpenSSL would ask for it on the terminal.
        context.load_cert_chain(str(files.certificate), str(files.key), password="")
        context.load_verify_locations(str(files.ca))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Misconfigured(
            f"cannot use TLS certificate {files.certificate}, key {files.key}, ca {files.ca}: {error}"
        ) from error
    return context
