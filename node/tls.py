"""TLS with certificates on both sides (PS3.15 section B.12).

Not the profile of section B.13, whose suites with CCM, which servers must have, are not offered. Those of sections B.1
to B.3 and B.9 to B.11 are retired.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Final, cast

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


def peer_subject(connection: ssl.SSLSocket) -> str | None:
    """Name the peer by its certificate's subject, most specific part last; None where it showed none."""
    certificate = connection.getpeercert()
    if not certificate:
        return None
    groups = cast(Iterable[Iterable[tuple[str, str]]], certificate.get("subject", ()))
    return ",".join(f"{name}={value}" for group in groups for name, value in group)


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
