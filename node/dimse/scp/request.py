"""The A-ASSOCIATE-RQ as bytes (PS3.8 section 9.3.2): first who asks whom, then for what.

Read is what this node needs. Everything else is passed by, as the Standard asks for items that are not known (PS3.8
section 9.3.1): a user identity or a version name of any length and letters ends no association.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.dimse import items
from node.dimse.items import ItemType
from node.dimse.scp.pdu import AbortReason, ProtocolError

FIXED: Final = struct.Struct(">H2x16s16s32x")
"""What follows the PDU header: protocol version, called and calling AE Title (PS3.8 Table 9-11)."""

_CONTEXT_HEADER_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and whom: the fixed fields of an A-ASSOCIATE-RQ."""

    calling_ae_title: str
    """Empty where the field is blank: the admission rejects it in the words of the Standard."""
    called_ae_title: str
    protocol_version: int
    repeated: bytes
    """Both titles and what is reserved after them, which the answer repeats (PS3.8 Table 9-17)."""


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context of an A-ASSOCIATE-RQ; what it lacks is empty."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Roles:
    """Whether the peer, which opens the association, is user and provider of a SOP class (PS3.7 section D.3.3.4)."""

    scu: bool = True
    scp: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an A-ASSOCIATE-RQ asks for."""

    application_context: str
    contexts: tuple[ProposedContext, ...]
    roles: Mapping[str, Roles]
    """What the peer wants to be, for each SOP class with SCP/SCU Role Selection."""


def read_caller(content: bytes) -> Caller:
    """Read the fixed fields, which are the first `FIXED.size` bytes after the PDU header."""
    version, called, calling = FIXED.unpack(content)
    return Caller(_title(calling), _title(called), version, content[4:])


def read_proposal(content: bytes) -> Proposal:
    """Read the items, which are all that follows the fixed fields.

    Raises
    ------
    ProtocolError
        The items cannot be told from one another, or two presentation contexts have one ID.
    """
    application_context = ""
    contexts: dict[int, ProposedContext] = {}
    roles: dict[str, Roles] = {}
    try:
        for kind, value in items.read(content):
            match kind:
                case ItemType.APPLICATION_CONTEXT:
                    application_context = items.uid(value)
                case ItemType.PROPOSED_CONTEXT:
                    context = _read_context(value)
                    if context.context_id in contexts:
                        raise items.Malformed(f"presentation context {context.context_id} twice")
                    contexts[context.context_id] = context
                case ItemType.USER_INFORMATION:
                    roles |= _read_roles(value)
    except items.Malformed as error:
        raise ProtocolError(AbortReason.INVALID_PARAMETER, f"A-ASSOCIATE-RQ: {error}") from error
    return Proposal(application_context, tuple(contexts.values()), roles)


def printable(title: str) -> str:
    """Make an AE Title fit for logs and files: stripped, every other than the default repertoire as a question mark."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in title.strip())


def _read_context(content: bytes) -> ProposedContext:
    if len(content) < _CONTEXT_HEADER_BYTES:
        raise items.Malformed(f"presentation context of {len(content)} bytes")
    found = list(items.read(content[_CONTEXT_HEADER_BYTES:]))
    abstract = [items.uid(value) for kind, value in found if kind == ItemType.ABSTRACT_SYNTAX]
    syntaxes = tuple(items.uid(value) for kind, value in found if kind == ItemType.TRANSFER_SYNTAX)
    return ProposedContext(content[0], abstract[0] if abstract else "", syntaxes)


def _read_roles(content: bytes) -> dict[str, Roles]:
    """Read SCP/SCU Role Selection; one that makes no sense selects nothing."""
    read = (items.role(value) for kind, value in items.read(content) if kind == ItemType.ROLE_SELECTION)
    return {sop_class: Roles(scu, scp) for sop_class, scu, scp in filter(None, read)}


def _title(field: bytes) -> str:
    """Read an AE Title field; spaces do not count, and neither does the NUL padding of some senders."""
    return printable(field.strip(b"\0 ").decode("latin-1"))
