"""Association negotiation as acceptor (PS3.7 Annex D, PS3.8 section 7.1): which contexts are accepted, and the answer.

What is accepted is decided from `node.dicom.contexts`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from node.dicom.contexts import PROVIDERS, choose_syntax
from node.dicom.uids import IMPLICIT_LITTLE_ENDIAN
from node.dimse import items
from node.dimse.items import ItemType
from node.dimse.scp import pdu
from node.dimse.scp.admission import APPLICATION_CONTEXT
from node.dimse.scp.request import Caller, Proposal, ProposedContext, Roles
from node.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# Results of one presentation context (PS3.8 Table 9-18).
ACCEPTANCE: Final = 0
USER_REJECTION: Final = 1
ABSTRACT_SYNTAX_NOT_SUPPORTED: Final = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED: Final = 4

_PROTOCOL_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


def negotiate(
    caller: Caller, proposal: Proposal, accepted: Mapping[str, tuple[str, ...]], *, maximum_pdu_bytes: int
) -> tuple[dict[int, Context], bytes]:
    """Decide on every proposed context and encode the A-ASSOCIATE-AC.

    Parameters
    ----------
    accepted
        Transfer syntax UIDs for each SOP class UID.
    maximum_pdu_bytes
        Announced to the peer as Maximum Length Received.

    Returns
    -------
    tuple
        The accepted contexts by presentation context ID, possibly none, and the PDU.
    """
    contexts: dict[int, Context] = {}
    answers = b""
    for proposed in proposal.contexts:
        result, syntax = _judge(proposed, proposal, accepted)
        if result == ACCEPTANCE:
            contexts[proposed.context_id] = Context(proposed.abstract_syntax, syntax)
        answers += items.encode(
            ItemType.ANSWERED_CONTEXT,
            bytes([proposed.context_id, 0, result, 0]) + items.encode(ItemType.TRANSFER_SYNTAX, syntax.encode()),
        )
    abstract_syntaxes = {context.abstract_syntax for context in contexts.values()}
    user_information = b"".join(_user_information(proposal, abstract_syntaxes, maximum_pdu_bytes))
    body = (
        struct.pack(">H2x", _PROTOCOL_VERSION)
        + caller.repeated
        + items.encode(ItemType.APPLICATION_CONTEXT, APPLICATION_CONTEXT.encode())
        + answers
        + items.encode(ItemType.USER_INFORMATION, user_information)
    )
    return contexts, pdu.HEADER.pack(pdu.PDUType.ASSOCIATE_AC, len(body)) + body


def _judge(proposed: ProposedContext, proposal: Proposal, accepted: Mapping[str, tuple[str, ...]]) -> tuple[int, str]:
    """Give the result of one context, and its transfer syntax, which of a refused one is not significant."""
    if proposed.abstract_syntax not in accepted:
        return ABSTRACT_SYNTAX_NOT_SUPPORTED, IMPLICIT_LITTLE_ENDIAN
    syntax = choose_syntax(proposed.transfer_syntaxes, accepted[proposed.abstract_syntax])
    if syntax is None:
        return TRANSFER_SYNTAXES_NOT_SUPPORTED, IMPLICIT_LITTLE_ENDIAN
    if _granted(proposed.abstract_syntax, proposal) is None:
        return USER_REJECTION, IMPLICIT_LITTLE_ENDIAN
    return ACCEPTANCE, syntax


def _granted(sop_class: str, proposal: Proposal) -> Roles | None:
    """Return the one role for the peer that this node has a counterpart for; None where it does not want that role."""
    wanted = proposal.roles.get(sop_class, Roles())
    if sop_class in PROVIDERS:
        return Roles(scu=False, scp=True) if wanted.scp else None
    return Roles(scu=True, scp=False) if wanted.scu else None


def _user_information(proposal: Proposal, abstract_syntaxes: set[str], maximum_pdu_bytes: int) -> Iterator[bytes]:
    """Yield the sub-items of the answer (PS3.7 section D.3.3), roles of those SOP classes where they were proposed."""
    yield items.encode(ItemType.MAXIMUM_LENGTH, struct.pack(">L", maximum_pdu_bytes))
    yield items.encode(ItemType.IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_CLASS_UID.encode())
    for sop_class in sorted(abstract_syntaxes & proposal.roles.keys()):
        granted = _granted(sop_class, proposal)
        if granted is not None:
            name = sop_class.encode()
            value = struct.pack(">H", len(name)) + name + bytes([granted.scu, granted.scp])
            yield items.encode(ItemType.ROLE_SELECTION, value)
    yield items.encode(ItemType.IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode())
