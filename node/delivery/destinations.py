"""Where results go, and by which transport: the settings of a destination, and what they share with the others.

A destination is a Storage SCP (`Destination`) or a DICOMweb service (`WebDestination`).
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from node.delivery.profiles import OHIF

AETitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")
]
"""An AE Title (PS3.5 section 6.2): 1 to 16 characters of the default repertoire, no backslash, no control character."""

Network = IPv4Network | IPv6Network


class SettingsSection(BaseModel):
    """A group of settings: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TLSFiles(SettingsSection):
    """TLS with client certificates (PS3.15 section B.12): three PEM files, all or none."""

    certificate: Path | None = None
    """This node's certificate (PEM, with its chain)."""
    key: Path | None = None
    """The private key of that certificate (PEM)."""
    ca: Path | None = None
    """The authorities whose certificates a peer may show (PEM)."""

    @model_validator(mode="after")
    def _all_or_none(self) -> TLSFiles:
        given = [name for name in ("certificate", "key", "ca") if getattr(self, name) is not None]
        if 0 < len(given) < 3:
            raise ValueError(f"TLS needs certificate, key and ca together; only {', '.join(given)} given")
        return self

    @property
    def enabled(self) -> bool:
        """Whether connections are encrypted and peers must show a certificate."""
        return self.certificate is not None


class CommitmentSettings(SettingsSection):
    """Storage commitment (PS3.4 Annex J): the archive confirms that it keeps what it was sent."""

    ask: bool = False
    """Ask for it; a result is delivered, and its study done, only when it is committed."""
    wait_s: Annotated[float, Field(ge=0)] = 3.0
    """Seconds for which the association of the request stays open for the report; later it comes by one that the
    archive opens to our receiver, where it must know this node's AE Title, host and port."""
    report_within_s: Annotated[float, Field(gt=0)] = 1800.0
    """Seconds without report after which the archive is asked again, under a new Transaction UID."""
    requests: Annotated[int, Field(ge=1)] = 3
    """Requests that were taken, without a report, after which the results are sent again."""
    ae_title: AETitle | None = None
    """Calling AE Title of the report, where it is not that of the destination."""
    networks: list[Network] = Field(default_factory=list)
    """Networks (CIDR) that the report may come from. Empty: all of `receiver.allowed_networks`."""


class Destination(SettingsSection):
    """A Storage SCP that results are sent to."""

    ae_title: AETitle
    """Called AE Title of the destination."""
    host: str
    """Its host name or address."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Its TCP port."""
    profile: str = OHIF.name
    """Which objects it gets, and how they are encoded: a built-in profile (listed below) or one of `profiles`."""
    associations: Annotated[int, Field(ge=1, le=32)] = 2
    """Associations at once, of all delivery workers together; 1 for an archive that takes one at a time."""
    tls: TLSFiles = TLSFiles()
    commitment: CommitmentSettings = CommitmentSettings()

    @property
    def reporting_ae_title(self) -> str:
        """Calling AE Title of its reports about storage commitment."""
        return self.commitment.ae_title or self.ae_title

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return f"{self.ae_title} at {self.host}:{self.port}"


class WebTLSFiles(SettingsSection):
    """TLS to a DICOMweb service: PEM files, each optional."""

    ca: Path | None = None
    """The authorities whose certificates the service may show; None: the public ones (package certifi)."""
    certificate: Path | None = None
    """This node's certificate, where the service asks for one."""
    key: Path | None = None
    """The private key of that certificate."""

    @model_validator(mode="after")
    def _key_with_certificate(self) -> WebTLSFiles:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("TLS needs certificate and key together")
        return self


class WebDestination(SettingsSection):
    """A DICOMweb service that results are sent to by STOW-RS (PS3.18 section 10.5), instead of a Storage SCP."""

    url: str
    """Its root, for example `https://pacs.example.org/dicom-web`; results are posted to `/studies` below it."""
    profile: str = OHIF.name
    """Which objects it gets, and how they are encoded: a built-in profile (listed below) or one of `profiles`."""
    bearer_token_file: Path | None = None
    """File whose content is sent as bearer token; read for each request, so that it may be renewed."""
    basic_auth_file: Path | None = None
    """File with `user:password` for basic authentication; read for each request."""
    associations: Annotated[int, Field(ge=1, le=32)] = 2
    """Connections at once, of all delivery workers together."""
    proxy: str | None = None
    """HTTP proxy that the service is reached through, for example `http://proxy.example.org:3128`. None: none; those of
    the environment are never used."""
    tls: WebTLSFiles = WebTLSFiles()

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("not the http or https address of a proxy")
        if parts.username is not None:
            raise ValueError("no user may be in the address of a proxy")
        return value

    @field_validator("url")
    @classmethod
    def _is_service_root(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the http or https address of a service: {parts.scheme}://{parts.hostname or ''}")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("no user, query or fragment may be in it; secrets belong into a file")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _keeps_secrets(self) -> WebDestination:
        secrets = [name for name in ("bearer_token_file", "basic_auth_file") if getattr(self, name) is not None]
        parts = urlsplit(self.url)
        if len(secrets) == 2:
            raise ValueError("bearer_token_file and basic_auth_file exclude each other")
        if parts.scheme == "http" and (secrets or self.tls != WebTLSFiles()) and not _is_loopback(parts.hostname):
            raise ValueError("secrets and certificates need https, or a service on this machine")
        return self

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return self.url


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _transport(value: object) -> str:
    """Tell which of the two kinds of destination is meant."""
    web = "url" in value if isinstance(value, dict) else isinstance(value, WebDestination)
    return "DICOMweb" if web else "DIMSE"


AnyDestination = Annotated[
    Annotated[Destination, Tag("DIMSE")] | Annotated[WebDestination, Tag("DICOMweb")], Discriminator(_transport)
]
"""Where results go: a Storage SCP, or a DICOMweb service where there is an `url`."""
