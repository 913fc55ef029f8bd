"""Which certificate may use which AE title: names of certificates, as settings write them and as they are compared."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from node.delivery.destinations import AETitle

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COMMA: Final = re.compile(r"(?<!\\),")
"""One that parts two attributes of a subject (RFC 4514)."""


def certificate_name(text: str) -> str:
    """Bring a name of a certificate into the form in which names are compared.

    Returns
    -------
    str
        A subject as it is; `DNS:`, `IP:`, `email:` and `URI:` names and the `sha256:` fingerprint with the letters and
        separators that do not count made equal.

    Raises
    ------
    ValueError
        It is none of these.
    """
    kind, separator, value = text.strip().partition(":")
    match kind.lower() if separator else "":
        case "sha256":
            digits = value.replace(":", "").lower()
            if not _SHA256.fullmatch(digits):
                raise ValueError(f"{text!r} is no SHA-256: 64 hexadecimal digits are expected")
            return f"sha256:{digits}"
        case "dns":
            return f"dns:{value.lower()}"
        case "ip":
            return f"ip:{ip_address(value.strip())}"
        case "email" | "uri" as other:
            return f"{other}:{value}"
    subject = ",".join(part.strip() for part in _COMMA.split(text))
    if not all("=" in part for part in _COMMA.split(subject)):
        raise ValueError(
            f"{text!r} names no certificate: expected a subject (CN=router,O=Hospital), or a name that begins with "
            "DNS:, IP:, email:, URI: or sha256:"
        )
    return subject


def _checked(value: object) -> object:
    return certificate_name(value) if isinstance(value, str) else value


CertificateName = Annotated[str, BeforeValidator(_checked)]
"""A name of a certificate in a setting."""

PeerCertificates = dict[AETitle, Annotated[list[CertificateName], Field(min_length=1)]]
"""Certificates by the calling AE title that each may use."""
