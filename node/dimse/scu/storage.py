"""Storage as SCU (PS3.4 Annex B): send results over one association.

The bytes of a result are sent as they are stored; nothing is decoded or encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from node.delivery.destinations import Destination
from node.delivery.outcome import OutgoingFile, SendOutcome, not_sent
from node.dicom.part10 import read_meta
from node.dicom.status import Disposition, disposition_of
from node.dimse.scu.association import associated, give_up
from node.errors import Quarantined


def send(
    destination: Destination,
    files: Sequence[OutgoingFile],
    *,
    calling_ae_title: str,
    connect_timeout_s: float,
    response_timeout_s: float,
    go_on: Callable[[], bool] = lambda: True,
) -> list[SendOutcome]:
    """Send files over one association.

    Parameters
    ----------
    files
        Files of up to 128 different pairs of SOP class and transfer syntax.
    calling_ae_title
        This node's title.
    go_on
        Asked before each file; once it says no, the rest is `retry` without status.

    Returns
    -------
    list of SendOutcome
        One for each file, in order. After the association has broken, the rest is `retry` without status.

    Raises
    ------
    PeerUnavailable
        There was no association, so that nothing was sent.
    Misconfigured
        The destination's TLS files cannot be used.
    """
    outcomes: dict[int, SendOutcome] = {}
    syntaxes: dict[int, tuple[str, str]] = {}
    for index, file in enumerate(files):
        try:
            with file.path.open("rb") as stored:
                syntaxes[index] = (file.sop_class_uid, read_meta(stored).transfer_syntax_uid)
        except OSError as error:  # of this machine, and so no word of the peer's
            detail = f"the stored file cannot be read: {error.strerror}"
            outcomes[index] = SendOutcome(file.sop_instance_uid, None, Disposition.RETRY, detail)
        except Quarantined as error:
            detail = f"the stored file cannot be sent: {error}"
            outcomes[index] = SendOutcome(file.sop_instance_uid, None, Disposition.REFUSED, detail)
    pairs = sorted(set(syntaxes.values()))
    if not pairs:
        return [outcomes[index] for index in range(len(files))]
    with associated(
        destination,
        [(sop_class, (syntax,)) for sop_class, syntax in pairs],
        calling_ae_title=calling_ae_title,
        connect_timeout_s=connect_timeout_s,
        response_timeout_s=response_timeout_s,
    ) as association:
        accepted = {(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in association.accepted_contexts}
        broken = False
        for index, pair in syntaxes.items():
            if pair in accepted and broken:
                detail = "the association was broken off before"
                uid = files[index].sop_instance_uid
                outcomes[index] = SendOutcome(uid, None, Disposition.RETRY, detail, answered=False)
            elif pair in accepted and not go_on():
                outcomes[index] = not_sent(files[index])
            elif pair in accepted:
                outcomes[index] = _send_one(association, files[index], index)
                broken = outcomes[index].status is None
                if broken:
                    give_up(association)
            else:
                detail = f"the peer accepts no SOP class {pair[0]} in transfer syntax {pair[1]}"
                outcomes[index] = SendOutcome(files[index].sop_instance_uid, None, Disposition.REFUSED, detail)
    return [outcomes[index] for index in range(len(files))]


def _send_one(association: Any, file: OutgoingFile, index: int) -> SendOutcome:
    """Send one file; without a status the association is of no more use."""
    uid = file.sop_instance_uid
    try:
        status = association.send_c_store(file.path, msg_id=index % 65535 + 1).get("Status")
    except Exception as error:  # pynetdicom does not list what a peer's odd answer or a bad file makes it raise
        why = f"not sent: {type(error).__name__}: {error}"
        return SendOutcome(uid, None, Disposition.RETRY, why, answered=False)
    if status is None:
        why = "no valid response: timed out, aborted or connection lost"
        return SendOutcome(uid, None, Disposition.RETRY, why, answered=False)
    disposition, meaning = disposition_of(status)
    return SendOutcome(uid, status, disposition, f"{status:#06x} {meaning}")
