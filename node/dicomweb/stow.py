"""STOW-RS (PS3.18 section 10.5) as user agent: send results to a DICOMweb service, and ask whether it is there.

One request for each result, over one connection: the service's answer then says what became of that result, and a job
that is too large for one request is none. The body holds the stored bytes; nothing is encoded again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from node.delivery.destinations import WebDestination
from node.delivery.outcome import OutgoingFile, SendOutcome, not_sent
from node.dicom.status import STORE_STATUSES, Disposition, StatusRange, disposition_of
from node.dicomweb.client import Client, holds, opened, post
from node.errors import HilumError, PeerUnavailable

ALREADY_STORED: Final = frozenset({0x0111, 45070})
"""Failure Reasons of an instance that the service has, which is what was wanted: Duplicate SOP Instance (PS3.7 section
C.4.1), and that of Azure's DICOM service, which the Standard does not define."""

# PS3.18 Table 10.5.3-1 and RFC 9110, where the answer says nothing about the instance itself. The first row decides.
# No status alone is a success: the answer has to name what was stored (Referenced SOP Sequence, required then by the
# Store Instances Response Module, Annex I), and a login page, a proxy, or a connection that broke within the headers
# give 200 too.
HTTP_STATUSES: Final = (
    StatusRange(200, 200, Disposition.RETRY, "OK, but the answer does not name the instance as stored"),
    StatusRange(202, 202, Disposition.RETRY, "Accepted, with failures, without saying which"),
    StatusRange(300, 399, Disposition.RETRY, "Redirection, which is not followed"),
    StatusRange(400, 400, Disposition.REFUSED, "Bad Request"),
    StatusRange(401, 401, Disposition.RETRY, "Unauthorized: credentials are missing or no longer good"),
    StatusRange(403, 403, Disposition.RETRY, "Forbidden: this node may not store"),
    StatusRange(
        404, 405, Disposition.RETRY, "Not Found, or Method Not Allowed: the address is none of a STOW-RS service"
    ),
    StatusRange(406, 406, Disposition.REFUSED, "Not Acceptable"),
    StatusRange(409, 409, Disposition.REFUSED, "Conflict: none was stored"),
    StatusRange(411, 411, Disposition.REFUSED, "Length Required"),
    StatusRange(413, 413, Disposition.REFUSED, "Content Too Large"),
    StatusRange(415, 415, Disposition.REFUSED, "Unsupported Media Type"),
    StatusRange(422, 422, Disposition.REFUSED, "Unprocessable Content"),
    StatusRange(400, 499, Disposition.RETRY, "Client error"),
    StatusRange(500, 599, Disposition.RETRY, "Server error"),
)

CONFLICT: Final = 409

_UNANSWERED: Final = frozenset({401, 403, 404, 405, 407, 408, 429, *range(300, 400), *range(500, 600)})
"""Statuses that are about the service, not about the instance."""

# PS3.18 Annex F: attributes of a DICOM JSON object by tag.
_SOP_INSTANCE_UID: Final = "00081155"
_FAILURE_REASON: Final = "00081197"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_REFERENCED_SOP_SEQUENCE: Final = "00081199"


T = TypeVar("T")


class _BadAnswer(HilumError):
    """The body is not the JSON that was asked for."""


def store(
    destination: WebDestination,
    files: Sequence[OutgoingFile],
    *,
    connect_timeout_s: float,
    response_timeout_s: float,
    go_on: Callable[[], bool] = lambda: True,
) -> list[SendOutcome]:
    """Send files, one request each.

    Parameters
    ----------
    go_on
        Asked before each file; once it says no, the rest is `retry` without status.

    Returns
    -------
    list of SendOutcome
        One for each file, in order; `status` is a Failure Reason where the service gave one. After the service has
        stopped answering, the rest is `retry`.

    Raises
    ------
    PeerUnavailable
        There was no connection, so that nothing was sent.
    Misconfigured
        A file with a secret or certificate cannot be used.
    """
    outcomes: list[SendOutcome] = []
    with opened(destination, connect_timeout_s, response_timeout_s) as client:
        for index, file in enumerate(files):
            if index and not outcomes[-1].answered:
                why = f"not sent, as the service did not take what came before: {outcomes[0].detail}"
                outcomes.append(SendOutcome(file.sop_instance_uid, None, Disposition.RETRY, why, answered=False))
                continue
            if not go_on():
                outcomes.append(not_sent(file))
                continue
            try:
                outcomes.append(_store_one(client, file))
            except PeerUnavailable as error:
                if not outcomes:
                    raise
                outcomes.append(SendOutcome(file.sop_instance_uid, None, Disposition.RETRY, str(error), answered=False))
    return outcomes


def echo(destination: WebDestination, *, timeout_s: float) -> None:
    """Post a request without any part, which stores nothing, to see that address and authentication are right.

    OPTIONS would be the question to ask (PS3.18 section 8.9), but Orthanc for one answers it with 404. A service may
    answer that the request is empty: that is an answer too.

    Raises
    ------
    PeerUnavailable
        There was no answer, or one that says that nothing could be stored, or 200 with a body that is none of STOW-RS.
    Misconfigured
        A file with a secret or certificate cannot be used.
    """
    with opened(destination, timeout_s, timeout_s) as client:
        response = post(client, [])
    status = response.status_code
    if status in _UNANSWERED or status == 415:
        raise PeerUnavailable(f"{destination.url}/studies answers HTTP {status} {_meaning(status)}")
    if status in (200, 202):
        try:
            _read_answer(response.headers.get("Content-Type", ""), response.content)
        except _BadAnswer as error:
            raise PeerUnavailable(f"{destination.url}/studies answers HTTP {status}, but {error}") from error


def _store_one(client: Client, file: OutgoingFile) -> SendOutcome:
    """Send one file."""
    try:
        content = file.path.read_bytes()
    except OSError as error:
        why = f"the stored file cannot be read: {error.strerror}"  # of this machine, and no word of the service's
        return SendOutcome(file.sop_instance_uid, None, Disposition.RETRY, why)
    response = post(client, [content])
    outcome = _outcome(file, response.status_code, response.headers.get("Content-Type", ""), response.content)
    # Some services call it a conflict that they have an instance, with whatever reason (Google's with 0x0110).
    conflict = response.status_code == CONFLICT and outcome.disposition is not Disposition.ACCEPTED
    if conflict and holds(client, file.sop_instance_uid):
        return SendOutcome(file.sop_instance_uid, outcome.status, Disposition.ACCEPTED, "the service has it")
    return outcome


def _outcome(file: OutgoingFile, status: int, content_type: str, body: bytes) -> SendOutcome:
    """Decide what an answer means: by what it says about the instance, else by its status."""
    uid = file.sop_instance_uid
    if status in _UNANSWERED:
        return SendOutcome(uid, None, Disposition.RETRY, f"HTTP {status} {_meaning(status)}", answered=False)
    try:
        stored, failed = _read_answer(content_type, body)
    except _BadAnswer as error:
        stored, failed, unread = frozenset(), {}, f"; {error}"
    else:
        unread = ""
    if uid in failed:
        disposition, meaning = _failure(failed[uid])
        return SendOutcome(uid, failed[uid], disposition, f"HTTP {status}, {meaning}")
    if uid in stored and status in (200, 202):
        return SendOutcome(uid, None, Disposition.ACCEPTED, f"HTTP {status}")
    disposition, meaning = disposition_of(status, HTTP_STATUSES)
    return SendOutcome(uid, None, disposition, f"HTTP {status} {meaning}{unread}")


def _failure(reason: int | None) -> tuple[Disposition, str]:
    """Decide what a Failure Reason means (PS3.18 section 10.5.3.2 uses those of C-STORE)."""
    if reason is None:
        return Disposition.RETRY, "failed without reason"
    if reason in ALREADY_STORED:
        return Disposition.ACCEPTED, f"{reason:#06x} the service has it"
    disposition, meaning = disposition_of(reason, STORE_STATUSES)
    if disposition is Disposition.ACCEPTED:
        disposition = Disposition.RETRY  # a warning among the failures: whatever is meant, it was not stored
    return disposition, f"{reason:#06x} {meaning}"


def _read_answer(content_type: str, body: bytes) -> tuple[frozenset[str], dict[str, int | None]]:
    """Read the Store Instances Response Module (PS3.18 Annex I) as JSON.

    Returns
    -------
    tuple
        The SOP Instance UIDs that were stored, and those that were not with their Failure Reasons.
    """
    if not body:
        return frozenset(), {}
    if content_type.partition(";")[0].strip().lower() not in ("application/dicom+json", "application/json"):
        raise _BadAnswer("the answer is no JSON")
    try:
        values = json.loads(body)
        answer = values[0] if isinstance(values, list) else values
        stored = frozenset(_first(item, _SOP_INSTANCE_UID, str) for item in _items(answer, _REFERENCED_SOP_SEQUENCE))
        failed = {
            _first(item, _SOP_INSTANCE_UID, str): _first(item, _FAILURE_REASON, int)
            for item in _items(answer, _FAILED_SOP_SEQUENCE)
        }
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise _BadAnswer(f"the answer cannot be read ({type(error).__name__})") from error
    return frozenset(uid for uid in stored if uid), {uid: reason for uid, reason in failed.items() if uid}


def _items(answer: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return list(answer.get(tag, {}).get("Value") or ())


def _first(item: dict[str, Any], tag: str, kind: type[T]) -> T | None:
    values = item.get(tag, {}).get("Value") or [None]
    return values[0] if isinstance(values[0], kind) else None


def _meaning(status: int) -> str:
    return disposition_of(status, HTTP_STATUSES)[1]
