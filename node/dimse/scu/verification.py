"""Verification as SCU (PS3.4 Annex A): is the peer there, and what would it accept. Nothing is stored by asking."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from node.delivery.destinations import Destination
from node.dicom.uids import UNCOMPRESSED, VERIFICATION_SOP_CLASS
from node.dimse.scu.association import associated, name
from node.errors import PeerUnavailable


def echo(destination: Destination, *, calling_ae_title: str, timeout_s: float) -> None:
    """Ask the peer whether it is there (C-ECHO, PS3.4 Annex A).

    Raises
    ------
    PeerUnavailable
        There was no association, or no success.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    with associated(
        destination,
        [(VERIFICATION_SOP_CLASS, UNCOMPRESSED)],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=timeout_s,
        response_timeout_s=timeout_s,
    ) as association:
        status = association.send_c_echo() if association.accepted_contexts else Dataset()
    if status.get("Status") != 0x0000:
        raise PeerUnavailable(f"{name(destination)} does not answer C-ECHO with success")


def accepted_pairs(
    destination: Destination, pairs: Sequence[tuple[str, str]], *, calling_ae_title: str, timeout_s: float
) -> frozenset[tuple[str, str]]:
    """Ask which pairs of SOP class and transfer syntax the peer accepts, each proposed by itself; nothing is sent.

    Raises
    ------
    PeerUnavailable
        There was no association; one in which only Verification is accepted counts.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    with associated(
        destination,
        [(VERIFICATION_SOP_CLASS, UNCOMPRESSED), *((sop_class, (syntax,)) for sop_class, syntax in pairs)],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=timeout_s,
        response_timeout_s=timeout_s,
    ) as association:
        accepted = {(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in association.accepted_contexts}
    return frozenset(accepted & set(pairs))
