"""Association negotiation as acceptor (PS3.7 Annex D, PS3.8 section 7.1): which contexts are accepted, and the answer.

pynetdicom reads and writes the two PDUs; what is accepted is decided here, from `node.dicom.contexts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from node.dicom.contexts import PROVIDERS, choose_syntax
from node.dimse.scp.admission import APPLICATION_CONTEXT, Request
from node.dimse.scp.pdu import AbortReason, ProtocolError
from node.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# Fields of an A-ASSOCIATE-RQ by offset (PS3.8 Table 9-11).
_CALLED_AE_TITLE: Final = slice(10, 26)
_CALLING_AE_TITLE: Final = slice(26, 42)
_FIXED_BYTES: Final = 74

# Results of one presentation context (PS3.8 Table 9-18).
ACCEPTANCE: Final = 0
USER_REJECTION: Final = 1
ABSTRACT_SYNTAX_NOT_SUPPORTED: Final = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED: Final = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context of an A-ASSOCIATE-RQ."""

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

    request: Request
    contexts: tuple[ProposedContext, ...]
    roles: Mapping[str, Roles]
    """What the peer wants to be, for each SOP class with SCP/SCU Role Selection."""


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


def read_proposal(content: bytes, peer_address: str) -> Proposal:
    """Read an A-ASSOCIATE-RQ.

    Parameters
    ----------
    content
        The whole PDU with its header.

    Returns
    -------
    Proposal
        A blank title is given as empty: the admission rejects it in the words of the Standard.

    Raises
    ------
    ProtocolError
        It cannot be read as one.
    """
    if len(content) < _FIXED_BYTES:
        raise ProtocolError(AbortReason.INVALID_PARAMETER, f"A-ASSOCIATE-RQ of {len(content)} bytes")
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(_with_readable_titles(content))
        primitive: Any = pdu.to_primitive()
        contexts = tuple(
            ProposedContext(item.context_id, str(item.abstract_syntax), tuple(map(str, item.transfer_syntax)))
            for item in primitive.presentation_context_definition_list
        )
        roles = {
            str(item.sop_class_uid): Roles(bool(item.scu_role), bool(item.scp_role))
            for item in primitive.user_information
            if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
        }
        request = Request(
            calling_ae_title=_title(content[_CALLING_AE_TITLE]),
            called_ae_title=_title(content[_CALLED_AE_TITLE]),
            peer_address=peer_address,
            application_context=str(primitive.application_context_name),
            protocol_version=int(pdu.protocol_version),
        )
    except Exception as error:  # the parser of bytes of unknown origin fails in many ways, all of which mean this
        raise ProtocolError(
            AbortReason.INVALID_PARAMETER, f"A-ASSOCIATE-RQ cannot be read: {type(error).__name__}"
        ) from error
    if not all(context.transfer_syntaxes for context in contexts):
        raise ProtocolError(AbortReason.INVALID_PARAMETER, "a presentation context without transfer syntax")
    return Proposal(request, contexts, roles)


def negotiate(
    proposal: Proposal, accepted: Mapping[str, tuple[str, ...]], *, maximum_pdu_bytes: int
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
    answers = []
    for proposed in proposal.contexts:
        syntax = choose_syntax(proposed.transfer_syntaxes, accepted.get(proposed.abstract_syntax, ()))
        if proposed.abstract_syntax not in accepted:
            result = ABSTRACT_SYNTAX_NOT_SUPPORTED
        elif syntax is None:
            result = TRANSFER_SYNTAXES_NOT_SUPPORTED
        elif _granted(proposed.abstract_syntax, proposal) is None:
            result = USER_REJECTION
        else:
            result = ACCEPTANCE
            contexts[proposed.context_id] = Context(proposed.abstract_syntax, syntax)
        answer = PresentationContext()
        answer.context_id = proposed.context_id
        answer.transfer_syntax = [syntax or proposed.transfer_syntaxes[0]]
        answer.result = result
        answers.append(answer)
    roles = {
        context.abstract_syntax: granted
        for context in contexts.values()
        if context.abstract_syntax in proposal.roles and (granted := _granted(context.abstract_syntax, proposal))
    }
    return contexts, _accept_pdu(proposal, answers, roles, maximum_pdu_bytes)


def printable(title: str) -> str:
    """Make an AE Title fit for logs and files: stripped, every other than the default repertoire as a question mark."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in title.strip())


def _granted(sop_class: str, proposal: Proposal) -> Roles | None:
    """Return the one role for the peer that this node has a counterpart for; None where it does not want that role."""
    wanted = proposal.roles.get(sop_class, Roles())
    if sop_class in PROVIDERS:
        return Roles(scu=False, scp=True) if wanted.scp else None
    return Roles(scu=True, scp=False) if wanted.scu else None


def _title(field: bytes) -> str:
    """Read an AE Title field; spaces do not count, and neither does the NUL padding of some senders."""
    return printable(field.strip(b"\0 ").decode("latin-1"))


def _with_readable_titles(content: bytes) -> bytes:
    """Replace both titles by a value that pynetdicom takes: it refuses the whole PDU for a blank or NUL-padded one."""
    placeholder = b"TITLE".ljust(16)
    return content[: _CALLED_AE_TITLE.start] + 2 * placeholder + content[_CALLING_AE_TITLE.stop :]


def _accept_pdu(proposal: Proposal, answers: list[Any], roles: Mapping[str, Roles], maximum_pdu_bytes: int) -> bytes:
    """Encode the A-ASSOCIATE-AC (PS3.8 section 9.3.3)."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title = proposal.request.calling_ae_title
    primitive.called_ae_title = proposal.request.called_ae_title
    primitive.result = 0x00
    primitive.result_source = 0x01
    primitive.presentation_context_definition_results_list = answers
    length, class_uid = MaximumLengthNotification(), ImplementationClassUIDNotification()
    version = ImplementationVersionNameNotification()
    length.maximum_length_received = maximum_pdu_bytes
    class_uid.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    primitive.user_information = [length, class_uid, version]
    for uid, granted in sorted(roles.items()):
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid, role.scu_role, role.scp_role = uid, granted.scu, granted.scp
        primitive.user_information.append(role)
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())
