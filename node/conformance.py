"""The DICOM Conformance Statement (PS3.2), made from the tables that the node works with.

`python -m node.conformance` prints it; docs/conformance.md is that text, and a test compares both.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from node.dimse.admission import APPLICATION_CONTEXT, Rejection
from node.dimse.connection import LINGER_S, MAXIMUM_ASSOCIATE_BYTES
from node.dimse.contexts import (
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    TRANSFER_SYNTAXES,
    VERIFICATION_SOP_CLASS,
    accepted_contexts,
    accepted_syntaxes,
)
from node.dimse.pdu import AbortReason
from node.dimse.scu import MAXIMUM_PDU_BYTES, STUDY_ROOT_FIND
from node.dimse.status import STORE_STATUSES, Status
from node.dimse.stream import MINIMUM_BYTES_PER_SECOND
from node.dimse.tls import CIPHERS
from node.eligibility import MINIMUM_SIDE
from node.header import MAXIMUM_PIXELS, MAXIMUM_SIDE
from node.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.settings import DeliverySettings, ReceiverSettings

EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"

RESULT_CLASSES: Final = (
    ("1.2.840.10008.5.1.4.1.1.66.4", "Segmentation Storage"),
    ("1.2.840.10008.5.1.4.1.1.88.34", "Comprehensive 3D SR Storage"),
)
"""SOP classes of the results; the bytes that are sent were encoded once, in Explicit VR Little Endian."""

_STATUS_MEANINGS: Final = {
    Status.SUCCESS: "The object was written, synced to the disk, renamed, and its directory synced.",
    Status.NO_SUCH_INSTANCE: "N-EVENT-REPORT: not the well-known instance of storage commitment.",
    Status.NO_SUCH_EVENT_TYPE: "N-EVENT-REPORT: neither event type 1 nor 2.",
    Status.INVALID_ARGUMENT: "N-EVENT-REPORT: cannot be read, or the Transaction UID was not given to this peer.",
    Status.INVALID_SOP_INSTANCE: "Affected SOP Instance UID is not made of digits and dots, or is longer than 64.",
    Status.SOP_CLASS_NOT_SUPPORTED: "Affected SOP Class UID is not that of the presentation context.",
    Status.UNRECOGNIZED_OPERATION: "A command other than C-STORE, C-ECHO and N-EVENT-REPORT.",
    Status.RESOURCE_LIMITATION: "N-EVENT-REPORT: too long, or it could not be written. Try again later.",
    Status.CANNOT_UNDERSTAND: "A C-STORE request without data set.",
    Status.OUT_OF_RESOURCES: "Too little free space, or the object could not be written. Try again later.",
}


def statement() -> str:
    """Write the statement as Markdown."""
    return (
        "\n\n".join(
            (
                _overview(),
                _implementation_model(),
                _storage_scp(),
                _admission(),
                _storage_scu(),
                _query_scu(),
                _media_and_characters(),
                _security(),
                _extensions(),
            )
        ).rstrip()
        + "\n"
    )


def _overview() -> str:
    rows = [
        ("Verification", VERIFICATION_SOP_CLASS, "yes", "yes"),
        *((row.name, row.uid, "yes" if _is_result(row.uid) else "no", "yes") for row in STORAGE_CLASSES),
        ("Storage Commitment Push Model", STORAGE_COMMITMENT, "yes", "no"),
        ("Study Root Query/Retrieve Information Model - FIND", STUDY_ROOT_FIND, "yes", "no"),
    ]
    return _section(
        "# DICOM Conformance Statement",
        _prose(
            f"Hilum, {IMPLEMENTATION_VERSION_NAME}. Research use only. Made by `python -m node.conformance` from the "
            "tables that the program itself uses; do not edit."
        ),
        "## 1 Overview",
        _prose(
            "Hilum is a worker node beside an archive. It receives radiographs by C-STORE, and sends Segmentation "
            "and Structured Report objects back by C-STORE. It keeps no archive, and answers no query and no "
            "retrieval."
        ),
        _table(("SOP class", "UID", "User (SCU)", "Provider (SCP)"), rows),
        "Media storage: none. Modality Worklist, MPPS: none. DICOMweb: none.",
    )


def _implementation_model() -> str:
    values = [
        ("Application Context Name", APPLICATION_CONTEXT),
        ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
        ("Asynchronous operations", "not supported: one at a time"),
        ("SCP/SCU role selection", "accepted where the peer is to be SCU"),
        ("SOP Class Extended Negotiation", "not supported"),
        ("User identity", "not supported: ignored"),
        ("Longest A-ASSOCIATE-RQ", f"{MAXIMUM_ASSOCIATE_BYTES} bytes"),
    ]
    return _section(
        "## 2 Networking",
        "### 2.1 Implementation model",
        _prose(
            "*Receiver* (Storage and Verification SCP): one or more processes on one TCP port. An object is answered "
            "with Success only once it is durable; what becomes of it is decided later, and it is never refused "
            "afterwards."
        ),
        _prose(
            "*Sender* (Storage, Verification and Query SCU): opens one association for each job and destination. "
            "Both have the AE Title of the setting `receiver.ae_title`."
        ),
        _table(("Property", "Value"), values),
    )


def _storage_scp() -> str:
    syntaxes = [
        (row.name, row.uid, " or ".join(row.decoders) or "none", "yes" if row in accepted_syntaxes() else "no")
        for row in TRANSFER_SYNTAXES
    ]
    uncompressed = len(accepted_contexts()[RESULT_CLASSES[1][0]])
    classes = [
        (row.name, row.uid, "all" if row.compressed else f"the first {uncompressed}", row.use)
        for row in STORAGE_CLASSES
    ]
    statuses = [
        (f"{s:04X}", s.name.replace("_", " ").capitalize().replace("sop", "SOP"), _STATUS_MEANINGS[s]) for s in Status
    ]
    return _section(
        "### 2.2 Storage SCP",
        _table(("SOP class", "UID", "Transfer syntaxes", "What becomes of it"), classes),
        _prose(
            "Multi-frame and For Processing objects are taken so that the study is answered with the reason why they "
            "were not analysed. Segmentations and reports are taken so that results which are routed back do no harm."
        ),
        "#### Transfer syntaxes",
        _table(("Transfer syntax", "UID", "Decoder needed", "By default"), syntaxes),
        _prose(
            "A syntax is negotiated where one of its decoders is declared (setting `receiver.decoders`; by default "
            "those of the `worker` extra). Of several syntaxes in one presentation context the first of the peer's "
            "that is accepted is chosen. Verification is accepted in Explicit and Implicit VR Little Endian."
        ),
        "#### C-STORE response status",
        _table(("Status", "Name", "Meaning"), statuses),
        _prose(
            "The received data set is kept byte for byte; no element is coerced. The level of conformance is 2 "
            "(full) for as long as the object is kept. The same SOP Instance may be sent again and is answered with "
            "Success."
        ),
        "#### Judged after Success",
        _prose(
            "Not analysed, and put aside: objects that cannot be parsed, whose UIDs are not valid, whose data set is "
            "not the instance announced, whose pixel data is missing or not of the announced form and length, or "
            f"with more than {MAXIMUM_SIDE} rows or columns or {MAXIMUM_PIXELS} pixels. Not analysed, and answered: "
            "other modalities and body parts, lateral and oblique views, raw data, several frames, colour, animals, "
            f"under {MINIMUM_SIDE} rows or columns."
        ),
    )


def _admission() -> str:
    settings = ReceiverSettings()
    rejections = [(r.value.result, r.value.source, r.value.reason, r.value.meaning) for r in Rejection]
    aborts = [(reason.value, reason.name.replace("_", " ").lower().replace("pdu", "PDU")) for reason in AbortReason]
    pending = settings.maximum_pending_connections
    limits = [
        ("Called AE Title", "receiver.ae_title", settings.ae_title),
        ("Port", "receiver.port", settings.port),
        ("Maximum Length Received", "receiver.maximum_pdu_bytes", settings.maximum_pdu_bytes),
        ("Associations in each process", "receiver.maximum_associations", settings.maximum_associations),
        ("Connections without association", "receiver.maximum_pending_connections", pending),
        ("From connection to request, s (ARTIM)", "receiver.association_timeout_s", settings.association_timeout_s),
        ("Silence on an association, s", "receiver.network_timeout_s", settings.network_timeout_s),
        ("One message unless it flows, s", "receiver.dimse_timeout_s", settings.dimse_timeout_s),
    ]
    return _section(
        "### 2.3 Association acceptance",
        _table(("Limit", "Setting", "Default"), limits),
        _prose(
            f"A message may take longer than its limit while it comes at {MINIMUM_BYTES_PER_SECOND} bytes a second "
            f"or more. After our last PDU the peer has {LINGER_S:g} s to close the connection."
        ),
        "#### A-ASSOCIATE-RJ",
        _table(("Result", "Source", "Reason", "When"), rejections),
        _prose(
            "Permanent reasons are given before transient ones. Whoever connects from outside the allowed networks "
            "is rejected without its request being read; over TLS it is disconnected before the handshake."
        ),
        "#### A-ABORT",
        _prose(
            "Sent with source 2 (service provider) and one of these reasons; 0 also for timeouts and when the node "
            "goes down. An association that did not end with a release never counts as a sign that a study is "
            "complete."
        ),
        _table(("Reason", "Meaning"), aborts),
    )


def _storage_scu() -> str:
    settings = DeliverySettings()
    syntax = f"Explicit VR Little Endian, {EXPLICIT_LITTLE_ENDIAN}"
    statuses = [
        (f"{row.first:04X}" + ("" if row.first == row.last else f" to {row.last:04X}"), row.meaning, row.disposition)
        for row in STORE_STATUSES
    ]
    return _section(
        "### 2.4 Storage SCU",
        _table(("SOP class", "UID", "Transfer syntax"), [(name, uid, syntax) for uid, name in RESULT_CLASSES]),
        _prose(
            "One presentation context is proposed for each SOP class and transfer syntax of the files to send. A "
            f"result is encoded once, and the same bytes are sent each time, in PDUs of up to {MAXIMUM_PDU_BYTES} "
            "bytes or the peer's limit."
        ),
        _table(("Status", "Meaning", "Delivery"), statuses),
        _prose(
            "Any other status, no response, a rejection, and no connection are tried again, after "
            f"{settings.first_delay_s:g} s at first and {settings.maximum_delay_s:g} s at most, for "
            f"{settings.retry_for_s / 86400:g} days."
        ),
    )


def _query_scu() -> str:
    return _section(
        "### 2.5 Verification and Query SCU",
        _prose(
            "C-ECHO tests a destination on demand. Where the setting `completion.count_from` names a destination, it "
            "is asked by C-FIND (STUDY level, key Study Instance UID) for Number of Study Related Instances "
            f"(0020,1208). Both are proposed in Explicit ({EXPLICIT_LITTLE_ENDIAN}) and Implicit "
            f"({IMPLICIT_LITTLE_ENDIAN}) VR Little Endian."
        ),
    )


def _media_and_characters() -> str:
    return _section(
        "## 3 Media interchange",
        "None.",
        "## 4 Support of character sets",
        "Received: every character set of PS3.3 section C.12.1.1.2. Sent: ISO_IR 100 where it suffices, else "
        "ISO_IR 192.",
    )


def _security() -> str:
    return _section(
        "## 5 Security",
        _prose(
            "BCP 195 TLS profile (PS3.15 section B.12), for the receiver and for each destination: TLS 1.2 or later, "
            "and a certificate of the configured authority on both sides. The sender also checks that the "
            "certificate names the host. Cipher suites of TLS 1.2:"
        ),
        "\n".join(f"- {cipher}" for cipher in CIPHERS.split(":")),
        _prose(
            "Without TLS the receiver listens on the loopback address only, unless its settings say otherwise. Peers "
            "may be limited by address (CIDR) and by calling AE Title. Logs hold no patient attribute."
        ),
    )


def _extensions() -> str:
    return _section(
        "## 6 Standard Extended SOP classes",
        _prose(
            "Segmentation Storage, for destinations with profile `ohif` only: where the source image has no Frame of "
            "Reference (CR, DX), the shared functional groups hold a Plane Orientation Sequence (0020,9116) with the "
            "orientation 1\\0\\0\\0\\1\\0, and there is no Frame of Reference UID. PS3.3 section A.51 asks for it "
            "only where there is a Frame of Reference; OHIF does not load the object without it. It makes no claim "
            "about the patient. Destinations with profile `strict` get the object without it."
        ),
        _prose(
            "Comprehensive 3D SR, for destinations with profile `ohif` only: the document title is (18748-4, LN, "
            '"Diagnostic Imaging Report"), an extension of CID 7021, and the Instance Number (0020,0013) falls with '
            "each revision: that viewer shows the first report of a series, and shows it as text only where the title "
            'is not (126000, DCM, "Imaging Measurement Report"). Destinations with profile `strict` get that title.'
        ),
        _prose(
            "A source image whose SOP Class, Series or SOP Instance UID breaks PS3.5 section 9.1 (a component with a "
            "leading zero, say) is answered by a report that names it in text; no object refers to it."
        ),
        _prose(
            "Every Segmentation gives a nominal Slice Thickness (0018,0050) of 1 mm in Pixel Measures, without which "
            "common readers do not load it. Codes of the private scheme 99HILUM, named in the Coding Scheme "
            "Identification Sequence, name the cardiothoracic ratio, the part of a lung that a region covers, and the "
            "rule of a threshold, and say why something was not analysed or not outlined."
        ),
        _prose(
            "A segment is an Anatomical Structure (lungs, heart) or a Morphologically Abnormal Structure (a disease, "
            "given only where its classifier found it present); its side is the modifier of its property type (CID "
            "244). Findings in the report have a site and, where a region was outlined, the same side (TID 1501, TID "
            "1410). Where a site has set thresholds of its own, Device Serial Number and Algorithm Parameters hold a "
            "digest of bundle and thresholds together, and the parameters the digest of the bundle beside it."
        ),
        _prose(
            "Results are preliminary and unverified, and carry a Contributing Equipment item (0018,A001) for each "
            "algorithm (IHE Radiology, AI Results). Their UIDs are derived from their sources under 2.25. No private "
            "SOP class and no private transfer syntax is used."
        ),
    )


def _is_result(uid: str) -> bool:
    return any(uid == result for result, _ in RESULT_CLASSES)


def _section(*blocks: str) -> str:
    return "\n\n".join(blocks)


def _prose(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(statement())
