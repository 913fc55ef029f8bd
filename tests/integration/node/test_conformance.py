"""The conformance statement against a running node: what it lists is negotiated, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.pdu_primitives import (
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    BasicWorklistManagementPresentationContexts,
    InstanceAvailabilityPresentationContexts,
    ModalityPerformedPresentationContexts,
    PrintManagementPresentationContexts,
    QueryRetrievePresentationContexts,
    RelevantPatientInformationPresentationContexts,
    StorageCommitmentPresentationContexts,
    UnifiedProcedurePresentationContexts,
)

from node import conformance
from node.db import audit
from node.db.report import StudyLine
from node.dicom.kinds import RESULT_CLASSES, ResultKind
from node.dicom.part10 import read_meta
from node.dicom.uids import DEFLATED_LITTLE_ENDIAN
from node.dimse.scu import verification
from node.reasons import Reason
from tests.support.paths import DOCS
from tests.support.peers.pacs import COMMITMENT
from tests.support.peers.system import RunningNode, phantom_file, running_node, study_uid
from tests.support.waiting import wait_for

DOCUMENT = DOCS / "conformance.md"
VERIFICATION = "1.2.840.10008.1.1"


def table(*heads: str) -> list[dict[str, str]]:
    """Return the rows of the table of the document that has these heads."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = lines.index("| " + " | ".join(heads) + " |")
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(heads, (cell.strip() for cell in line.strip("|").split("|")), strict=True)))
    assert rows
    return rows


ACCEPTED = table("SOP class", "UID", "Transfer syntaxes", "Role of the peer", "SCP/SCU Role Selection")
SYNTAXES = table("Transfer syntax", "UID", "Uncompressed", "Decoder needed", "By default")
PROPOSED = table("SOP class", "UID", "Transfer syntaxes", "Role", "Extended negotiation")
IMPLEMENTATION = {row["Property"]: row["Value"] for row in table("Property", "Value")}
SERVICES = table("SOP class", "UID", "User (SCU)", "Provider (SCP)")


def syntaxes_of(row: dict[str, str]) -> set[str]:
    """Return the transfer syntaxes that the statement promises for a SOP class, with default settings."""
    base, _, deflated = row["Transfer syntaxes"].partition(", ")
    wanted = {"uncompressed": "Uncompressed", "all": "By default"}[base]
    found = {syntax["UID"] for syntax in SYNTAXES if syntax[wanted] == "yes"}
    return found | ({DEFLATED_LITTLE_ENDIAN} if deflated == "deflated" else set())


@dataclass
class Recorder:
    """A peer that accepts everything, and keeps what was proposed to it."""

    proposals: list[Any] = field(default_factory=list)
    """A-ASSOCIATE primitives."""
    stored: list[str] = field(default_factory=list)
    """SOP class UIDs."""
    asked: int = 0
    port: int = 0

    def contexts(self) -> set[tuple[str, str]]:
        """Return every pair of SOP class and transfer syntax that was proposed."""
        return {
            (str(context.abstract_syntax), str(syntax))
            for proposal in self.proposals
            for context in proposal.presentation_context_definition_list
            for syntax in context.transfer_syntax
        }


@pytest.fixture(scope="module")
def peer() -> Iterator[Recorder]:
    recorder = Recorder()

    def requested(event: Any) -> None:
        recorder.proposals.append(event.assoc.requestor.primitive)

    def store(event: Any) -> int:
        recorder.stored.append(str(event.request.AffectedSOPClassUID))
        return 0x0000

    def asked(_event: Any) -> tuple[int, None]:
        recorder.asked += 1
        return 0x0000, None

    ae = AE(ae_title="PACS")
    for uid in (*(row.sop_class_uid for row in RESULT_CLASSES), COMMITMENT, VERIFICATION):
        ae.add_supported_context(uid, AllTransferSyntaxes)
    handlers = [(evt.EVT_REQUESTED, requested), (evt.EVT_C_STORE, store), (evt.EVT_N_ACTION, asked)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    recorder.port = server.server_address[1]  # type: ignore[union-attr]
    try:
        yield recorder
    finally:
        server.shutdown()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, peer: Recorder) -> Iterator[RunningNode]:
    """A whole node that sends every kind of result to the recorder, and asks it for commitment."""
    address = {"ae_title": "PACS", "host": "127.0.0.1", "port": peer.port}
    profiles = ["complete", "labelmap", "compressed", "presentation-state", "small"]
    destinations = {name: address | {"profile": name} for name in profiles}
    destinations["complete"] = destinations["complete"] | {"commitment": {"ask": True, "wait_s": 0.0}}
    site = [{"name": "small", "objects": [str(kind) for kind in ResultKind], "compression": "deflated"}]
    with running_node(
        tmp_path_factory.mktemp("node"),
        destinations=destinations,
        profiles=site,
        analysis={"heat_maps": True},
    ) as running:
        yield running


def associate(node: RunningNode, contexts: list[Any], roles: list[Any] | None = None) -> Any:
    """Open an association to the node; Verification is always among the contexts, so that something is accepted."""
    ae = AE(ae_title="TEST")
    return ae.associate(
        "127.0.0.1",
        node.settings.receiver.port,
        ae_title=node.settings.receiver.ae_title,
        contexts=[build_context(VERIFICATION), *contexts],
        ext_neg=roles or [],
    )


def test_the_document_is_the_statement_of_this_program():
    assert DOCUMENT.read_text(encoding="utf-8") == conformance.statement(), "run: make docs"


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row["UID"])
def test_every_listed_class_is_accepted_in_every_listed_syntax_and_in_no_other(node: RunningNode, row: dict[str, str]):
    uid = row["UID"]
    roles = [build_role(uid, scp_role=True)] if row["Role of the peer"] == "SCP" else []
    # A context of its own for each syntax: in a common one only the chosen one would be seen.
    contexts = [build_context(uid, syntax) for syntax in AllTransferSyntaxes]
    association = associate(node, contexts, roles)
    try:
        accepted = {str(cx.transfer_syntax[0]) for cx in association.accepted_contexts[:] if cx.abstract_syntax == uid}
        # The first context, of Verification itself, has Implicit VR Little Endian chosen.
        assert accepted == syntaxes_of(row)
    finally:
        association.release()


# Verification keeps the association of the other classes alive.
@pytest.mark.parametrize("row", [row for row in ACCEPTED if row["UID"] != VERIFICATION], ids=lambda row: row["UID"])
def test_no_role_but_the_listed_one_is_granted(node: RunningNode, row: dict[str, str]):
    uid, provider = row["UID"], row["Role of the peer"] == "SCP"
    for scu_role, scp_role in ((True, False), (False, True), (True, True)):
        role = build_role(uid, scu_role=scu_role, scp_role=scp_role)
        association = associate(node, [build_context(uid)], [role])
        try:
            accepted = [cx for cx in association.accepted_contexts if cx.abstract_syntax == uid]
            assert bool(accepted) is (scp_role if provider else scu_role), (scu_role, scp_role)
            # As requestor: whether it is the user, and whether it is the provider.
            assert all((cx.as_scu, cx.as_scp) == (not provider, provider) for cx in accepted)
        finally:
            association.release()
    association = associate(node, [build_context(uid)])
    accepted = [cx for cx in association.accepted_contexts if cx.abstract_syntax == uid]
    association.release()
    assert bool(accepted) is (row["SCP/SCU Role Selection"] == "optional")


def test_no_class_that_is_not_listed_is_accepted(node: RunningNode):
    """Every other storage class, query and retrieve, worklist, performed steps, print: the node is no archive."""
    listed = {row["UID"] for row in ACCEPTED}
    others = [
        str(context.abstract_syntax)
        for group in (
            AllStoragePresentationContexts,
            QueryRetrievePresentationContexts,
            BasicWorklistManagementPresentationContexts,
            ModalityPerformedPresentationContexts,
            UnifiedProcedurePresentationContexts,
            PrintManagementPresentationContexts,
            InstanceAvailabilityPresentationContexts,
            RelevantPatientInformationPresentationContexts,
            StorageCommitmentPresentationContexts,
        )
        for context in group
        if str(context.abstract_syntax) not in listed
    ]
    assert len(others) > 150
    assert "1.2.840.10008.5.1.4.1.2.2.1" in others
    for start in range(0, len(others), 100):
        association = associate(node, [build_context(uid) for uid in others[start : start + 100]])
        accepted = [cx.abstract_syntax for cx in association.accepted_contexts]
        association.release()
        assert accepted == [VERIFICATION]


def test_the_node_says_who_it_is(node: RunningNode):
    association = associate(node, [])
    acceptor = association.acceptor
    association.release()
    assert str(acceptor.implementation_class_uid) == IMPLEMENTATION["Implementation Class UID"]
    assert acceptor.implementation_version_name == IMPLEMENTATION["Implementation Version Name"]
    assert str(acceptor.primitive.application_context_name) == IMPLEMENTATION["Application Context Name"]
    assert acceptor.maximum_length == node.settings.receiver.maximum_pdu_bytes
    assert acceptor.asynchronous_operations == (1, 1)
    assert not acceptor.sop_class_extended
    assert acceptor.user_identity is None


@pytest.fixture(scope="module")
def delivered(node: RunningNode, peer: Recorder, tmp_path_factory: pytest.TempPathFactory) -> StudyLine:
    """A study whose results were sent to every destination, and asked about."""
    source = phantom_file(tmp_path_factory.mktemp("source"), 51)
    assert node.send([source]) == [0]

    def found() -> StudyLine | None:
        line = node.study(study_uid(source))
        sent = line and peer.asked and all(r.state in ("accepted", "stored") for r in node.results(line))
        return line if sent else None

    log = f"results sent and commitment asked for; log:\n{node.log_text()[-3000:]}"
    line: StudyLine = wait_for(found, timeout_s=150, what=log)
    return line


def test_the_node_proposes_nothing_that_is_not_listed(node: RunningNode, peer: Recorder, delivered: StudyLine):
    destination = next(iter(node.settings.destinations.values()))
    verification.echo(destination, calling_ae_title="HILUM", timeout_s=5)  # type: ignore[arg-type]
    listed = {
        (row["UID"], syntax)
        for row in PROPOSED
        for syntax in re.findall(r"\((1\.2\.840\.10008\.1\.2[0-9.]*)\)", row["Transfer syntaxes"])
    }
    proposed = peer.contexts()
    assert proposed <= listed, proposed - listed
    # SEG BINARY plain, JPEG 2000 and deflated, label map, report, commitment and Verification at the least.
    assert len(proposed) >= 8
    assert {COMMITMENT, VERIFICATION} <= {uid for uid, _ in proposed}
    for proposal in peer.proposals:
        items = {type(item): item for item in proposal.user_information}
        assert set(items) == {
            MaximumLengthNotification,
            ImplementationClassUIDNotification,
            ImplementationVersionNameNotification,
        }, "no extended negotiation"
        uid = items[ImplementationClassUIDNotification].implementation_class_uid
        assert str(uid) == IMPLEMENTATION["Implementation Class UID"]
        assert SCP_SCU_RoleSelectionNegotiation not in items


def test_results_that_are_routed_back_are_taken_and_change_nothing(node: RunningNode, delivered: StudyLine):
    found: dict[tuple[str, str], Path] = {}
    for result in node.results(delivered):
        with result.path.open("rb") as stored:
            meta = read_meta(stored)
        found.setdefault((str(meta.sop_class_uid), meta.transfer_syntax_uid), result.path)
    assert len({uid for uid, _ in found}) >= 4
    assert {syntax for _, syntax in found} == {syntax for row in RESULT_CLASSES for syntax in row.transfer_syntaxes}
    assert set(node.send(list(found.values()))) == {0x0000}

    def recorded() -> list[str]:
        with node.database.read() as tx:
            return [
                str(event.detail.get("reason"))
                for event in audit.events(tx, study_id=delivered.id)
                if event.action.startswith("instance.") and event.detail.get("reason")
            ]

    wait_for(lambda: len(recorded()) == len(found), what="the results recorded")
    assert set(recorded()) == {Reason.OWN_RESULT}
    line = node.study(delivered.study_instance_uid)
    assert line is not None
    assert (line.revision, line.images, line.state) == (1, 1, "complete")


def test_the_overview_names_every_class_with_its_roles():
    users = {row["UID"] for row in SERVICES if row["User (SCU)"] == "yes"}
    providers = {row["UID"] for row in SERVICES if row["Provider (SCP)"] == "yes"}
    assert users == {row["UID"] for row in PROPOSED if row["Role"] == "SCU"}
    assert providers == {row["UID"] for row in ACCEPTED if row["Role of the peer"] == "SCU"}


def test_the_statement_has_the_sections_of_ps3_2():
    headings = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if re.match(r"## \d", line)]
    assert [heading.split()[1] for heading in headings] == [str(number) for number in range(1, 9)]
    text = DOCUMENT.read_text(encoding="utf-8")
    for words in ("It is no archive", "C-FIND, C-MOVE, C-GET", "QIDO-RS", "Standard Extended", "BCP 195"):
        assert words in text
