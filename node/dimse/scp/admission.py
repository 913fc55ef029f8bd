"""Who may open an association, and with which words the others are refused (PS3.8 section 9.3.4).

A pure function: no socket, no clock, no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address

from node.delivery.destinations import Network

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""The DICOM Application Context Name (PS3.7 section A.2.1)."""


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
    CALLED_AE_TITLE = Refusal(1, 1, 7, "called AE title not recognized")
    PROTOCOL_VERSION = Refusal(1, 2, 2, "protocol version not supported")
    DISK = Refusal(2, 3, 1, "temporary congestion: spool under its watermark")
    TOO_MANY = Refusal(2, 3, 2, "local limit exceeded: too many associations")


@dataclass(frozen=True, slots=True)
class Request:
    """What is judged of an A-ASSOCIATE-RQ."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom the settings let in."""

    ae_title: str
    allowed_calling_ae_titles: frozenset[str]
    """Empty: every title."""
    allowed_networks: tuple[Network, ...]
    maximum_associations: int
    minimum_free_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the node is."""

    open_associations: int
    """Those that are established, without the one that is judged."""
    free_bytes: int


def admit(request: Request, policy: Policy, load: Load) -> Rejection | None:
    """Judge an association request.

    Permanent reasons come before transient ones, so that a sender that will never be let in is not told to try again.

    Returns
    -------
    Rejection or None
        None: it is accepted.
    """
    if not is_allowed(request.peer_address, policy.allowed_networks):
        return Rejection.PEER_ADDRESS
    if not request.protocol_version & 1:
        return Rejection.PROTOCOL_VERSION
    if request.application_context != APPLICATION_CONTEXT:
        return Rejection.APPLICATION_CONTEXT
    if not request.called_ae_title or request.called_ae_title != policy.ae_title:
        return Rejection.CALLED_AE_TITLE
    if not request.calling_ae_title:  # PS3.8 Table 9-11: 16 spaces are no title, even where every title is let in
        return Rejection.CALLING_AE_TITLE
    if policy.allowed_calling_ae_titles and request.calling_ae_title not in policy.allowed_calling_ae_titles:
        return Rejection.CALLING_AE_TITLE
    if load.free_bytes < policy.minimum_free_bytes:
        return Rejection.DISK
    if load.open_associations >= policy.maximum_associations:
        return Rejection.TOO_MANY
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
