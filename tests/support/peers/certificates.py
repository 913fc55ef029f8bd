"""Certificates for tests: an authority of one test, and what it issues for loopback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.delivery.destinations import TLSFiles


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one test."""

    folder: Path
    certificate: Any
    key: Any

    @property
    def path(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *, names: Sequence[str] | None = None, lasts: timedelta = timedelta(days=1)) -> TLSFiles:
        """Issue a certificate for `name` on loopback, or with other DNS names; `lasts` may lie in the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key.public_key(), self.certificate.subject, self.key, names=names, lasts=lasts)
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{name}.key").write_bytes(_pem(key))
        return TLSFiles(certificate=self.folder / f"{name}.pem", key=self.folder / f"{name}.key", ca=self.path)


def authority(folder: Path) -> Authority:
    """Make a certificate authority."""
    folder.mkdir(parents=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    certificate = _certificate("Test authority", key.public_key(), subject, key, ca=True)
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, certificate, key)


def _pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _certificate(
    name: str,
    public_key: Any,
    issuer: x509.Name,
    issuer_key: Any,
    *,
    ca: bool = False,
    names: Sequence[str] | None = None,
    lasts: timedelta = timedelta(days=1),
) -> Any:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + lasts) - timedelta(minutes=5))
        .not_valid_after(now + lasts)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        loopback = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        alternative = loopback if names is None else list(map(x509.DNSName, names))
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
