"""Who may open an association, how many at once, and with which words the others are refused (PS3.8 section 9.3.4).

No socket, no clock, no file.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from node.delivery.destinations import Network
from node.dimse.items import MAXIMUM_CONTEXTS

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""The DICOM Application Context Name (PS3.7 section A.2.1)."""

MAXIMUM_ASSOCIATE_BYTES: Final = 1 << 16
"""Longest A-ASSOCIATE-RQ that is read; 128 contexts with three transfer syntaxes each take about 17,000 bytes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    result: int
    source: int
    reason: int
    meaning: str


class Rejection(Enum):
    """Every A-ASSOCIATE-RJ that this node sends."""

    PEER_ADDRESS = Refusal(1, 1, 1, "peer address outside the allowed networks (permanent, no reason given)")
    APPLICATION_CONTEXT = Refusal(1, 1, 2, "application context name not supported")
    CALLING_AE_TITLE = Refusal(1, 1, 3, "calling AE title not recognized")
    CERTIFICATE = Refusal(1, 1, 3, "calling AE title not that of the TLS certificate")
    CALLED_AE_TITLE = Refusal(1, 1, 7, "called AE title not recognized")
    PROTOCOL_VERSION = Refusal(1, 2, 2, "protocol version not supported")
    TOO_LONG = Refusal(
        1,
        3,
        2,
        f"local limit exceeded: request of more than {MAXIMUM_ASSOCIATE_BYTES} bytes or {MAXIMUM_CONTEXTS} contexts",
    )
    DISK = Refusal(2, 3, 1, "temporary congestion: spool under its watermark")
    TOO_MANY = Refusal(2, 3, 2, "local limit exceeded: too many associations")
    TOO_MANY_OF_ADDRESS = Refusal(2, 3, 2, "local limit exceeded: too many associations from one address")


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for an association, and whom."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    protocol_version: int = 1
    certificate: frozenset[str] = frozenset()
    """Every name of the peer's TLS certificate (`node.tls.PeerCertificate`); empty without TLS."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom the settings let in."""

    ae_title: str
    allowed_calling_ae_titles: frozenset[str]
    """Empty: every title."""
    allowed_networks: tuple[Network, ...]
    certificates: Mapping[str, frozenset[str]]
    """Names of the certificates that may use a calling AE title, for each that may be used; empty: any may use any."""
    minimum_free_bytes: int


class Lack(Enum):
    """Why there is no place."""

    ALL = auto()
    """All are taken."""
    SHARE = auto()
    """The address has its share."""


class Places:
    """Places for connections of one kind, of which one address may have a share; usable by several threads.

    Without the share one allowed sender could keep every other one out, by a fault or on purpose.

    Parameters
    ----------
    total
        How many there are.
    share
        The part of them that one address may have, rounded up.
    """

    def __init__(self, total: int, *, share: float) -> None:
        self._total, self._of_one = total, math.ceil(total * share)
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: str) -> Lack | None:
        """Take a place; None: it is taken, to be given back by `give_back`."""
        with self._lock:
            if self._taken.total() >= self._total:
                return Lack.ALL
            if self._taken[address] >= self._of_one:
                return Lack.SHARE
            self._taken[address] += 1
            return None

    def give_back(self, address: str) -> None:
        """Give one place of an address back."""
        with self._lock:
            self._taken[address] -= 1
            if not self._taken[address]:
                del self._taken[address]


def admit(request: Request, policy: Policy) -> Rejection | None:
    """Judge who asks, before it is read for what.

    These reasons are all permanent. Transient ones are looked at later, so that a sender that will never be let in is
    not told to try again.

    Returns
    -------
    Rejection or None
        None: it is let in, if there is room.
    """
    if not is_allowed(request.peer_address, policy.allowed_networks):
        return Rejection.PEER_ADDRESS
    if not request.protocol_version & 1:
        return Rejection.PROTOCOL_VERSION
    if not request.called_ae_title or request.called_ae_title != policy.ae_title:
        return Rejection.CALLED_AE_TITLE
    if not request.calling_ae_title:  # PS3.8 Table 9-11: 16 spaces are no title, even where every title is let in
        return Rejection.CALLING_AE_TITLE
    if policy.allowed_calling_ae_titles and request.calling_ae_title not in policy.allowed_calling_ae_titles:
        return Rejection.CALLING_AE_TITLE
    if policy.certificates and not request.certificate & policy.certificates.get(request.calling_ae_title, frozenset()):
        return Rejection.CERTIFICATE
    return None


def is_allowed(peer_address: str, networks: Sequence[Network]) -> bool:
    """Tell whether an IP address lies in one of the networks; IPv4 inside IPv6 counts as IPv4."""
    try:
        address: IPv4Address | IPv6Address = ip_address(peer_address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)
