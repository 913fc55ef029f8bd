"""Cover, overview, introduction and implementation model (PS3.2 sections A.0, A.1, A.3 and A.4.1)."""

from __future__ import annotations

from typing import Final

from node.conformance.markdown import prose, section, table, yes
from node.dicom.contexts import STORAGE_CLASSES
from node.dicom.kinds import RESULT_CLASSES
from node.dicom.uids import STORAGE_COMMITMENT, STUDY_ROOT_FIND, VERIFICATION_SOP_CLASS
from node.identity import IMPLEMENTATION_VERSION_NAME

NOT_PROVIDED: Final = (
    "Query/Retrieve (C-FIND, C-MOVE, C-GET) as SCP",
    "Storage Commitment as SCP",
    "Modality Worklist, Modality Performed Procedure Step, Unified Procedure Step",
    "DICOMweb as origin server (QIDO-RS, WADO-RS, STOW-RS)",
    "Print, Media Storage",
)
"""What an archive or a modality would do, and this node does not."""


def cover() -> str:
    """Write the cover page."""
    return section(
        "# DICOM Conformance Statement",
        prose(
            f"Hilum, {IMPLEMENTATION_VERSION_NAME}. Research use only. Made by `python -m node.conformance` from the "
            "tables that the program itself uses; do not edit. Sections are numbered as in PS3.2 Annex A, those of an "
            "AE (4.2.1, 4.2.2) down to its association policies; what stands below its initiation or acceptance policy "
            "is for all activities together. STOW-RS has a section of its own (4.2.3)."
        ),
    )


def overview() -> str:
    """Write section 1."""
    return section(
        "## 1 Overview",
        prose(
            "Hilum is a worker node beside an archive. It receives chest radiographs by C-STORE, and sends "
            "Segmentations, Structured Reports and, where a destination's profile asks for them, other objects back "
            "by C-STORE or STOW-RS. It can ask the archive for storage commitment."
        ),
        prose(
            "It is no archive: it answers no query and no retrieval, gives no storage commitment, and keeps what it "
            "received only for its own analysis."
        ),
        "Network services:",
        table(("SOP class", "UID", "User (SCU)", "Provider (SCP)"), _services()),
        "DICOMweb services:",
        table(
            ("Service", "User agent", "Origin server"),
            [("STOW-RS Store Instances", "yes", "no"), ("QIDO-RS", "no", "no"), ("WADO-RS", "no", "no")],
        ),
        "Not provided:",
        "\n".join(f"- {text}" for text in NOT_PROVIDED),
    )


def introduction() -> str:
    """Write section 3."""
    return section(
        "## 3 Introduction",
        prose(
            "For those who connect the node with archives, modalities and routers. Conformance alone is no proof that "
            "two systems work together: `hilum echo` and `hilum profile-check` try it out. AE, SCU, SCP, IOD and UID "
            "have the meaning of the Standard; *result* is an object that the node made, *destination* a peer that "
            "results are sent to, *job* one analysis of one study revision."
        ),
    )


def implementation_model() -> str:
    """Write section 4.1."""
    return section(
        "### 4.1 Implementation model",
        "#### 4.1.1 Application data flow",
        table(
            ("Activity", "AE", "Direction"),
            [
                ("A sender stores images", "Receiver", "remote Storage SCU to node"),
                ("A peer verifies the connection", "Receiver", "remote Verification SCU to node"),
                ("An archive reports on storage commitment", "Receiver", "remote Storage Commitment SCP to node"),
                ("Results are stored", "Sender", "node to remote Storage SCP, or STOW-RS origin server"),
                ("Storage commitment is asked for", "Sender", "node to remote Storage Commitment SCP"),
                ("A destination is verified, on demand", "Sender", "node to remote Verification SCP"),
                ("The archive is asked how many images a study has", "Sender", "node to remote Query SCP"),
            ],
        ),
        "#### 4.1.2 Functional definition of the AEs",
        prose(
            "*Receiver*: one or more processes on one TCP port. An object is answered with Success only once it is "
            "durable; what becomes of it is decided later, and it is never refused afterwards. A report on storage "
            "commitment is durable before it is answered, too."
        ),
        prose(
            "*Sender*: one association for each job and destination, and another one to ask for storage commitment. "
            "Both AEs have the AE Title of the setting `receiver.ae_title`."
        ),
        "#### 4.1.3 Sequencing of activities",
        prose(
            "A study is complete by a rule of the section `completion` of the settings; then it is analysed, then its "
            "results are sent to each destination, in the order in which they were made. Where a destination is asked "
            "for storage commitment, the request follows when its C-STORE responses are in, and the study is done "
            "when every result is committed. A late image opens a new revision with new results in the same series."
        ),
    )


def _services() -> list[tuple[str, str, str, str]]:
    """List every SOP class once, with its roles."""
    received = {row.uid: row.name for row in STORAGE_CLASSES}
    sent = {row.sop_class_uid: row.name for row in RESULT_CLASSES}
    return [
        ("Verification", VERIFICATION_SOP_CLASS, "yes", "yes"),
        *((name, uid, yes(uid in sent), yes(uid in received)) for uid, name in (received | sent).items()),
        ("Storage Commitment Push Model", STORAGE_COMMITMENT, "yes", "no"),
        ("Study Root Query/Retrieve Information Model - FIND", STUDY_ROOT_FIND, "yes", "no"),
    ]
