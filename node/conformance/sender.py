"""The Sender: what is proposed, sent and asked, and what each answer leads to (PS3.2 section A.4.2)."""

from __future__ import annotations

from typing import Final

from node.conformance.markdown import prose, section, status_table, table
from node.delivery.destinations import CommitmentSettings
from node.dicom.contexts import BY_UID, CLASS_BY_UID
from node.dicom.kinds import RESULT_CLASSES
from node.dicom.status import ACTION_STATUSES, FAILURE_REASONS, MAXIMUM_DOUBTFUL, STORE_STATUSES
from node.dicom.uids import (
    DEFLATED_LITTLE_ENDIAN,
    DIGITAL_XRAY,
    EXPLICIT_LITTLE_ENDIAN,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    UNCOMPRESSED,
    VERIFICATION_SOP_CLASS,
)
from node.dicomweb.client import MAXIMUM_ANSWER_BYTES
from node.dicomweb.stow import HTTP_STATUSES
from node.dimse.reports import INSTANCE
from node.dimse.scu.association import MAXIMUM_PDU_BYTES
from node.dimse.scu.commitment import REQUEST_COMMITMENT
from node.dispatch.archive import COUNTS_AT_ONCE
from node.dispatch.queue import MINIMUM_DELIVERY_THREADS
from node.settings import DeliverySettings

PHANTOM_CLASS: Final = DIGITAL_XRAY
"""SOP class of the generated radiograph that `hilum profile-check` sends with its results."""

_NAMES: Final = {uid: row.name for uid, row in BY_UID.items()} | {
    DEFLATED_LITTLE_ENDIAN: "Deflated Explicit VR Little Endian"
}


def specification() -> str:
    """Write sections 4.2.2 and 4.2.3."""
    return section(
        "#### 4.2.2 Sender",
        "##### 4.2.2.1 SOP classes",
        "Those of the table in 4.2.2.3.1, as SCU.",
        _policies(),
        "##### 4.2.2.3 Association initiation policy",
        _contexts(),
        _storage(),
        _commitment(),
        _others(),
        "##### 4.2.2.4 Association acceptance policy",
        "None: it accepts no association.",
        _web(),
    )


def _policies() -> str:
    return section(
        "##### 4.2.2.2 Association policies",
        "###### 4.2.2.2.1 General",
        prose(
            f"It announces a Maximum Length Received of {MAXIMUM_PDU_BYTES} bytes, and sends PDUs of up to the peer's. "
            "It proposes no extended negotiation."
        ),
        "###### 4.2.2.2.2 Number of associations",
        table(
            ("Activity", "Associations at once"),
            [
                (
                    "Results are stored",
                    "2 for each destination (`associations`), "
                    f"{MINIMUM_DELIVERY_THREADS} or more for each `hilum work --delivery` (`--concurrency`)",
                ),
                ("Storage commitment is asked for", "among these: each after that of the results"),
                ("A destination is verified", "1 for each call of `hilum echo` or `hilum profile-check`"),
                ("The archive is counted", str(COUNTS_AT_ONCE)),
            ],
        ),
        "###### 4.2.2.2.3 Asynchronous nature",
        "Asynchronous operations are not supported: one operation at a time.",
        "###### 4.2.2.2.4 Implementation identifying information",
        "As in 4.2.1.2.4.",
    )


def _contexts() -> str:
    others = [
        ("Storage Commitment Push Model", STORAGE_COMMITMENT, UNCOMPRESSED),
        ("Verification", VERIFICATION_SOP_CLASS, UNCOMPRESSED),
        ("Study Root Query/Retrieve Information Model - FIND", STUDY_ROOT_FIND, UNCOMPRESSED),
    ]
    rows = [
        *((row.name, row.sop_class_uid, _listed(row.transfer_syntaxes), "SCU", "none") for row in RESULT_CLASSES),
        *((name, uid, _listed(syntaxes), "SCU", "none") for name, uid, syntaxes in others),
        (
            CLASS_BY_UID[PHANTOM_CLASS].name,
            PHANTOM_CLASS,
            _listed((EXPLICIT_LITTLE_ENDIAN,)),
            "SCU, `hilum profile-check` only",
            "none",
        ),
    ]
    return section(
        "###### 4.2.2.3.1 Proposed presentation contexts",
        table(("SOP class", "UID", "Transfer syntaxes", "Role", "Extended negotiation"), rows),
        prose(
            "For results one presentation context is proposed for each SOP class and transfer syntax of the files to "
            "send; which these are, the destination's profile says (setting `profile`; docs/configuration.md lists "
            "the profiles). A result is encoded once, and the same bytes are sent each time: where the peer does not "
            "accept their transfer syntax, the result is refused. Verification is proposed beside storage commitment, "
            "so that a refusal of the latter can be told from a refusal of the association. `hilum profile-check` "
            "proposes everything that some profile would send, each of it in Explicit VR Little Endian too, and sends "
            "a generated radiograph with its results."
        ),
    )


def _storage() -> str:
    settings = DeliverySettings()
    return section(
        "###### 4.2.2.3.2 SOP specific conformance: Storage",
        status_table("Status", STORE_STATUSES),
        prose(
            f"What is doubtful may be a refusal, or the word of an archive that is starting: {MAXIMUM_DOUBTFUL} such "
            "answers are one. Any other status, no response, a rejection, and no connection are tried again, after "
            f"{settings.first_delay_s:g} s at first and {settings.maximum_delay_s:g} s at most, for "
            f"{settings.retry_for_s / 86400:g} days. What was refused, or tried for so long, is a dead letter until an "
            f"operator brings it back. After {settings.breaker_failures} failures in a row a destination is left alone "
            f"for {settings.breaker_open_s:g} s."
        ),
    )


def _commitment() -> str:
    settings = CommitmentSettings()
    return section(
        "###### 4.2.2.3.3 SOP specific conformance: Storage Commitment Push Model",
        prose(
            f"Where a destination's setting `commitment.ask` is on. N-ACTION, Action Type ID {REQUEST_COMMITMENT}, of "
            f"SOP Instance {INSTANCE}, with Transaction UID and Referenced SOP Sequence; a Transaction UID is used "
            f"once. Storage Media File-Set attributes are not sent. The association stays open for {settings.wait_s:g} "
            "s (`commitment.wait_s`) for the report; later the report is taken by the Receiver (4.2.1.4.3). Statuses "
            "of the N-ACTION response:"
        ),
        status_table("Status", ACTION_STATUSES),
        "Failure Reasons in a report; any other is a `retry`, which means: sent again, and asked about again.",
        status_table("Failure Reason", FAILURE_REASONS),
        prose(
            f"Without a report for {settings.report_within_s:g} s (`commitment.report_within_s`) the peer is asked "
            f"again under a new Transaction UID; after {settings.requests} requests that it has taken "
            "(`commitment.requests`) the results are sent again; when their retry time is over, they are dead letters."
        ),
    )


def _others() -> str:
    return section(
        "###### 4.2.2.3.4 SOP specific conformance: Verification and Query",
        prose(
            "C-ECHO tests a destination on demand; every status but 0000 is a failure. Where the setting "
            "`completion.count_from` names a destination, it is asked by C-FIND (STUDY level, key Study Instance UID) "
            "for Number of Study Related Instances (0020,1208), with statuses FF00, FF01 and 0000; every other answer "
            "means that the number is unknown."
        ),
    )


def _web() -> str:
    return section(
        "#### 4.2.3 STOW-RS user agent (PS3.18 section 10.5)",
        prose(
            "POST to `/studies` below the destination's `url`, HTTP/1.1, one request for each result: "
            'multipart/related; type="application/dicom" with the stored Part 10 file as its one part, and Accept: '
            "application/dicom+json. The SOP classes and transfer syntaxes are those of 4.2.2.3.1. Authentication: "
            "none, bearer token, basic, or TLS client certificate. Redirections are not followed. Of the answer, up "
            f"to {MAXIMUM_ANSWER_BYTES} bytes are read: Failed SOP Sequence (0008,1198) with Failure Reason "
            "(0008,1197), as in 4.2.2.3.2, and Referenced SOP Sequence (0008,1199). Where it says nothing about the "
            "result:"
        ),
        status_table("HTTP status", HTTP_STATUSES, decimal=True),
    )


def _listed(uids: tuple[str, ...]) -> str:
    return ", ".join(f"{_NAMES[uid]} ({uid})" for uid in uids)
