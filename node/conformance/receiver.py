"""The Receiver: what is accepted, from whom, and with which statuses it is answered (PS3.2 section A.4.2)."""

from __future__ import annotations

from typing import Final

from node import pipelines
from node.conformance.markdown import prose, section, table, yes
from node.dicom.contexts import (
    DEFLATED,
    PROVIDERS,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    accepted_contexts,
    accepted_syntaxes,
)
from node.dicom.deflated import MAXIMUM_HEAD_BYTES
from node.dicom.header import MAXIMUM_PIXELS, MAXIMUM_SIDE
from node.dicom.status import Status
from node.dicom.uids import STORAGE_COMMITMENT, VERIFICATION_SOP_CLASS
from node.dimse.items import MAXIMUM_CONTEXTS
from node.dimse.reports import EVENT_TYPES, INSTANCE, MAXIMUM_REPORT_BYTES
from node.dimse.scp.admission import APPLICATION_CONTEXT, MAXIMUM_ASSOCIATE_BYTES, Rejection
from node.dimse.scp.association import MAXIMUM_EMPTY_FRAGMENTS
from node.dimse.scp.connection import LINGER_S
from node.dimse.scp.pdu import AbortReason
from node.dimse.scp.stream import MINIMUM_BYTES_PER_SECOND
from node.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.settings import ReceiverSettings

ALL, UNCOMPRESSED, AND_DEFLATED = "all", "uncompressed", ", deflated"
"""Names of the sets of transfer syntaxes in the table of presentation contexts."""

STORE, REPORT, ANY = "C-STORE", "N-EVENT-REPORT", "C-STORE, N-EVENT-REPORT"

STATUS_MEANINGS: Final = {
    Status.SUCCESS: (
        f"{ANY}, C-ECHO",
        "The object or report was written, synced to the disk, renamed, and its directory synced.",
    ),
    Status.NO_SUCH_INSTANCE: (REPORT, "Not of the well-known instance of storage commitment."),
    Status.NO_SUCH_EVENT_TYPE: (REPORT, "Neither event type 1 nor 2."),
    Status.INVALID_ARGUMENT: (REPORT, "It cannot be read, or its Transaction UID was not given to this peer."),
    Status.INVALID_SOP_INSTANCE: (
        STORE,
        "Affected SOP Instance UID is not made of digits and dots, or is longer than 64.",
    ),
    Status.SOP_CLASS_NOT_SUPPORTED: (
        "any",
        "Affected SOP Class UID or operation is not that of the presentation context.",
    ),
    Status.UNRECOGNIZED_OPERATION: ("any other", "A command other than C-STORE, C-ECHO and N-EVENT-REPORT."),
    Status.RESOURCE_LIMITATION: (
        REPORT,
        f"Longer than {MAXIMUM_REPORT_BYTES} bytes, or it could not be written. Try again later.",
    ),
    Status.CANNOT_UNDERSTAND: (STORE, "A request without data set."),
    Status.OUT_OF_RESOURCES: (
        STORE,
        "Too little free space, or the object could not be written: try again later. Or, as the "
        "Error Comment says, it is longer than the receiver takes.",
    ),
}
"""By status: of which operations, and when."""


def specification() -> str:
    """Write section 4.2.1."""
    return section(
        "#### 4.2.1 Receiver",
        "##### 4.2.1.1 SOP classes",
        "Those of the table in 4.2.1.4.1, with the roles that it gives.",
        _policies(),
        "##### 4.2.1.3 Association initiation policy",
        "None: it initiates no association.",
        "##### 4.2.1.4 Association acceptance policy",
        _presentation_contexts(),
        _storage(),
        _commitment(),
        _statuses(),
        _admission(),
    )


def implementation() -> str:
    """Write the table that both AEs share."""
    values = [
        ("Application Context Name", APPLICATION_CONTEXT),
        ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
    ]
    return table(("Property", "Value"), values)


def _policies() -> str:
    settings = ReceiverSettings()
    pending = settings.maximum_pending_connections
    limits = [
        ("Maximum Length Received", "receiver.maximum_pdu_bytes", settings.maximum_pdu_bytes),
        ("From connection to request, s (ARTIM)", "receiver.association_timeout_s", settings.association_timeout_s),
        ("Silence on an association, s", "receiver.network_timeout_s", settings.network_timeout_s),
        ("One message unless it flows, s", "receiver.dimse_timeout_s", settings.dimse_timeout_s),
        ("An association without a stored object, s", "receiver.without_object_s", settings.without_object_s),
        ("Length of a data set, bytes", "receiver.maximum_object_bytes", settings.maximum_object_bytes),
    ]
    numbers = [
        ("Associations in each process", "receiver.maximum_associations", settings.maximum_associations),
        ("Processes", "receiver.processes", settings.processes),
        ("Connections without association", "receiver.maximum_pending_connections", pending),
        ("Part of both for one address", "receiver.share_of_one_address", settings.share_of_one_address),
    ]
    return section(
        "##### 4.2.1.2 Association policies",
        "###### 4.2.1.2.1 General",
        table(("Limit", "Setting", "Default"), limits),
        prose(
            f"An A-ASSOCIATE-RQ may have {MAXIMUM_ASSOCIATE_BYTES} bytes and {MAXIMUM_CONTEXTS} presentation contexts; "
            "its titles are judged before the rest is read. A message may take longer than its limit "
            f"while it comes at {MINIMUM_BYTES_PER_SECOND} bytes a second or more. After the last PDU of the node the "
            f"peer has {LINGER_S:g} s to close the connection. SOP Class Extended Negotiation and SOP Class Common "
            "Extended Negotiation are not supported, User Identity Negotiation is ignored, and so is every item that "
            "is not known. A presentation context without abstract or transfer syntax is refused, not the association. "
            f"A data set may have {MAXIMUM_EMPTY_FRAGMENTS} empty fragments."
        ),
        "###### 4.2.1.2.2 Number of associations",
        table(("Number", "Setting", "Default"), numbers),
        "###### 4.2.1.2.3 Asynchronous nature",
        "Asynchronous operations are not supported: one operation at a time.",
        "###### 4.2.1.2.4 Implementation identifying information",
        implementation(),
    )


def _accepted() -> list[tuple[object, ...]]:
    """List the SOP classes with their sets of transfer syntaxes and the peer's role."""
    contexts = accepted_contexts()
    uncompressed = set(contexts[VERIFICATION_SOP_CLASS])
    names = {row.uid: row.name for row in STORAGE_CLASSES}
    names |= {VERIFICATION_SOP_CLASS: "Verification", STORAGE_COMMITMENT: "Storage Commitment Push Model"}
    return [
        (
            names[uid],
            uid,
            (UNCOMPRESSED if set(syntaxes) - {DEFLATED.uid} == uncompressed else ALL)
            + (AND_DEFLATED if DEFLATED.uid in syntaxes else ""),
            "SCP" if uid in PROVIDERS else "SCU",
            "required" if uid in PROVIDERS else "optional",
        )
        for uid, syntaxes in contexts.items()
    ]


def _syntaxes() -> list[tuple[object, ...]]:
    """List the transfer syntaxes with what decodes them."""
    decodable = accepted_syntaxes()
    return [
        (row.name, row.uid, yes(not row.encapsulated), " or ".join(row.decoders) or "none", yes(row in decodable))
        for row in TRANSFER_SYNTAXES
    ]


def _presentation_contexts() -> str:
    return section(
        "###### 4.2.1.4.1 Accepted presentation contexts",
        table(("SOP class", "UID", "Transfer syntaxes", "Role of the peer", "SCP/SCU Role Selection"), _accepted()),
        prose(
            "Role Selection is the only extended negotiation. Whoever opens the association is user of the SOP class "
            "unless it proposes another role; a context in which the peer does not take the role of the table is "
            "refused (user rejection). In storage commitment the peer is the provider: it opens the association to "
            "report, and must propose the role of SCP for itself (PS3.4 section J.3.3)."
        ),
        table(("Transfer syntax", "UID", "Uncompressed", "Decoder needed", "By default"), _syntaxes()),
        prose(
            "A syntax is negotiated where one of its decoders is declared (setting `receiver.decoders`; by default "
            "those of the `worker` extra). Of several syntaxes in one presentation context the first of the peer's "
            "that is accepted is chosen. Explicit VR Big Endian is not accepted. *deflated* is "
            f"{DEFLATED.name} ({DEFLATED.uid}): it is accepted for the SOP classes of results, so that those which "
            "were sent deflated may come back, and chosen only where no other syntax can be. Of such an object at "
            f"most {MAXIMUM_HEAD_BYTES} bytes are inflated, to tell whose it is; an image by another system is not "
            "analysed, and answered with the reason."
        ),
    )


def _storage() -> str:
    return section(
        "###### 4.2.1.4.2 SOP specific conformance: Storage and Verification",
        table(("SOP class", "What becomes of it"), [(row.name, row.use) for row in STORAGE_CLASSES]),
        prose(
            "The level of conformance is 2 (full) for as long as the object is kept: the received data set is kept "
            "byte for byte, no element is coerced. The same SOP Instance may be sent again and is answered with "
            "Success."
        ),
        prose(
            "Multi-frame and For Processing objects are taken so that the study is answered with the reason why they "
            "were not analysed. The classes of results are taken so that results which are routed back do no harm: "
            "they are recognised by their Contributing Equipment, and ignored."
        ),
        prose(
            "An instance that comes again with the same data set is stored once. With another data set it is kept, and "
            "the one that came first counts until the operator decides otherwise. A late instance makes a new revision "
            "of the study's results, which names its predecessor; one of another patient makes none. Calling AE Titles "
            "are told apart: instances that another one sends under the same Study Instance UID belong to the study "
            "where they name the same Patient ID (0010,0020), and otherwise are a study of their own, with its own "
            "results; a SOP Instance UID that another one has used elsewhere is no obstacle."
        ),
        prose(
            "Judged after Success. Not analysed, and quarantined: objects that cannot be parsed, whose UIDs are not "
            "valid, whose data set is not the instance announced, whose pixel data is missing or not of the announced "
            f"form and length, or with more than {MAXIMUM_SIDE} rows or columns or {MAXIMUM_PIXELS} pixels. What is "
            "analysed, and what is answered with the reason, depends on the pipeline that a routing rule names:"
        ),
        table(("Pipeline", "What it takes", "SOP classes besides those above"), _pipelines()),
    )


def _pipelines() -> list[tuple[object, ...]]:
    """List the pipelines with the SOP classes that are accepted only where a rule names them."""
    found = [pipelines.named(name) for name in pipelines.installed()]
    return [
        (one.name, one.takes, ", ".join(f"{row.name} ({row.uid})" for row in one.storage_classes) or "none")
        for one in found
    ]


def _commitment() -> str:
    return section(
        "###### 4.2.1.4.3 SOP specific conformance: Storage Commitment Push Model",
        table(("Event type", "Meaning"), EVENT_TYPES.items()),
        prose(
            f"N-EVENT-REPORT of SOP Instance {INSTANCE}, without event reply. Used: Transaction UID (0008,1195), "
            "Referenced SOP Sequence (0008,1199), Failed SOP Sequence (0008,1198) with Failure Reason (0008,1197). "
            "Only the peer that was asked is heard: by Transaction UID, by its AE Title (setting "
            "`commitment.ae_title` of the destination where it reports under another one), and, where "
            "`commitment.networks` is set, by address. A report may be repeated."
        ),
    )


def _statuses() -> str:
    rows = [(f"{s:04X}", s.name.replace("_", " ").capitalize(), *STATUS_MEANINGS[s]) for s in sorted(Status)]
    return section("###### 4.2.1.4.4 Response statuses", table(("Status", "Name", "Of", "Meaning"), rows))


def _admission() -> str:
    rejections = [(r.value.result, r.value.source, r.value.reason, r.value.meaning) for r in Rejection]
    aborts = [(reason.value, reason.name.replace("_", " ").lower().replace("pdu", "PDU")) for reason in AbortReason]
    return section(
        "###### 4.2.1.4.5 Rejections and aborts",
        table(("Result", "Source", "Reason", "When (A-ASSOCIATE-RJ)"), rejections),
        prose(
            "Permanent reasons are given before transient ones. Whoever connects from outside the allowed networks "
            "is rejected without its request being read; over TLS it is disconnected before the handshake. Rejections "
            "are counted by address, calling AE Title and reason; the log repeats one not more than once a minute."
        ),
        table(("Reason", "Meaning (A-ABORT, source 2)"), aborts),
        prose(
            "Reason 0 also stands for timeouts and for the node going down. An association that did not end with a "
            "release never counts as a sign that a study is complete."
        ),
    )
