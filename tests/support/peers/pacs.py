"""A PACS under the tests' control: can be stopped, started again on the same port, and made to answer any status.

It is also a provider of storage commitment: on the association of the request, on one of its own, or when told to.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse_messages import N_ACTION_RSP
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    SegmentationStorage,
    StorageCommitmentPushModel,
    Verification,
)

from node import tls
from node.delivery.destinations import TLSFiles
from node.dimse.archive import reserved_port

COMMITMENT, COMMITMENT_INSTANCE = str(StorageCommitmentPushModel), "1.2.840.10008.1.20.1.1"
SEG, SR = str(SegmentationStorage), str(Comprehensive3DSRStorage)


@dataclass(frozen=True)
class Received:
    """One stored object: identifiers and the exact bytes of its data set as they came."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    dataset: bytes

    @property
    def sha256(self) -> str:
        """Digest of the data set's bytes."""
        return hashlib.sha256(self.dataset).hexdigest()


@dataclass(frozen=True)
class CommitmentRequest:
    """One N-ACTION request: its Transaction UID, and SOP Class and SOP Instance UIDs."""

    transaction_uid: str
    instances: tuple[tuple[str, str], ...]


@dataclass
class FakePACS:
    """Storage SCP that keeps every C-STORE it accepted, in order."""

    port: int = 0
    """Its own until the end of the block, also while it is stopped; chosen when it is started."""
    ae_title: str = "PACS"
    statuses: dict[str, int] = field(default_factory=dict)
    """Status to answer by SOP Class UID; Success where none is given."""
    received: list[Received] = field(default_factory=list)
    associations: int = 0
    commits: Literal["same association", "own association", "when told", "no"] = "no"
    """How it reports; `no`: it does not know the SOP class."""
    action_status: int = 0x0000
    """Status of the N-ACTION response."""
    uncommitted: dict[str, int] = field(default_factory=dict)
    """Failure Reason by SOP Class UID; all others that it holds are committed."""
    lost: set[str] = field(default_factory=set)
    """SOP Instance UIDs that it answers with Success and does not keep."""
    instances_per_report: int | None = None
    """How many instances one report speaks of; None: of all. Further reports follow on the same association."""
    maximum_reports: int | None = None
    """After how many parts it falls silent; None: it sends them all."""
    node_port: int = 0
    """Where it opens its own associations to."""
    tls: TLSFiles = field(default_factory=TLSFiles)
    """Its certificate, for both directions; without one it speaks no TLS."""
    requests: list[CommitmentRequest] = field(default_factory=list)
    report_statuses: list[int | None] = field(default_factory=list)
    """What its reports were answered with; None: there was no association or no answer."""
    _server: Any = None
    _held: ExitStack = field(default_factory=ExitStack)

    def start(self) -> FakePACS:
        """Listen."""
        if not self.port:
            self.port = self._held.enter_context(reserved_port())
        ae = AE(ae_title=self.ae_title)
        ae.add_supported_context(Verification)
        ae.add_supported_context(SegmentationStorage)
        ae.add_supported_context(Comprehensive3DSRStorage)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_ESTABLISHED, self._established)]
        if self.commits != "no":
            ae.add_supported_context(StorageCommitmentPushModel)
            handlers += [(evt.EVT_N_ACTION, self._asked), (evt.EVT_DIMSE_SENT, self._answered)]
        self._server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=tls.server_context(self.tls)
        )
        return self

    def stop(self) -> None:
        """Close the port and every association."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def narrow(self, maximum_associations: int) -> None:
        """Take so many associations at once from now on."""
        self._server.ae.maximum_associations = maximum_associations

    def __enter__(self) -> FakePACS:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._held.close()

    @property
    def destination(self) -> dict[str, Any]:
        """Settings of this PACS as a destination."""
        return {"ae_title": self.ae_title, "host": "127.0.0.1", "port": self.port}

    def of_study(self, uid: str) -> dict[str, list[Received]]:
        """Return what was stored of a study, by SOP Class UID."""
        found = defaultdict(list)
        for received in list(self.received):
            if received.study_instance_uid == uid:
                found[received.sop_class_uid].append(received)
        return found

    def distinct(self, uid: str, sop_class_uid: str) -> set[str]:
        """Return the SOP Instance UIDs that an archive would hold of a study."""
        return {received.sop_instance_uid for received in self.of_study(uid)[sop_class_uid]}

    def report(
        self,
        request: CommitmentRequest,
        *,
        transaction_uid: str | None = None,
        calling_ae_title: str | None = None,
        instances: tuple[tuple[str, str], ...] | None = None,
        association: Any = None,
    ) -> int | None:
        """Report on a request as it is, or with something changed; the status that the last part was answered with."""
        instances = request.instances if instances is None else instances
        size = self.instances_per_report or len(instances)
        own = association is None
        if own:
            ae = AE(ae_title=calling_ae_title or self.ae_title)
            ae.add_requested_context(StorageCommitmentPushModel)
            role = build_role(StorageCommitmentPushModel, scp_role=True)
            context = tls.client_context(self.tls)
            association = ae.associate(
                "127.0.0.1",
                self.node_port,
                ae_title="HILUM",
                ext_neg=[role],
                tls_args=None if context is None else (context, "127.0.0.1"),
            )
        for start in range(0, len(instances), size)[: self.maximum_reports]:
            ds = self._event_information(instances[start : start + size])
            ds.TransactionUID = transaction_uid or request.transaction_uid
            self.report_statuses.append(self._say(ds, association))
        if own and association.is_established:
            association.release()
        return self.report_statuses[-1]

    def _say(self, information: Dataset, association: Any) -> int | None:
        """Send one N-EVENT-REPORT request, where there is an association for it."""
        if not association.is_established:
            return None
        event_type = 2 if "FailedSOPSequence" in information else 1
        answer, _ = association.send_n_event_report(information, event_type, COMMITMENT, COMMITMENT_INSTANCE)
        status: int | None = answer.get("Status")
        return status

    def _event_information(self, instances: tuple[tuple[str, str], ...]) -> Dataset:
        ds = Dataset()
        held = {received.sop_instance_uid for received in self.received}
        for sop_class, sop_instance in instances:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
            reason = self.uncommitted.get(sop_class, None if sop_instance in held else 0x0112)
            name = "ReferencedSOPSequence" if reason is None else "FailedSOPSequence"
            if reason is not None:
                item.FailureReason = reason
            setattr(ds, name, [*ds.get(name, []), item])
        return ds

    def _asked(self, event: Any) -> tuple[int, None]:
        information = event.action_information
        if self.action_status == 0x0000:
            items = information.ReferencedSOPSequence
            instances = tuple((str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID)) for i in items)
            self.requests.append(CommitmentRequest(str(information.TransactionUID), instances))
        return self.action_status, None

    def _answered(self, event: Any) -> None:
        """Report as soon as the response to a request is on its way."""
        if not isinstance(event.message, N_ACTION_RSP) or self.action_status or self.commits == "when told":
            return
        association = event.assoc if self.commits == "same association" else None
        threading.Thread(target=self.report, args=(self.requests[-1],), kwargs={"association": association}).start()

    def _established(self, _event: Any) -> None:
        self.associations += 1

    def _store(self, event: Any) -> int:
        status = self.statuses.get(str(event.request.AffectedSOPClassUID), 0x0000)
        if status in (0x0000, 0xB000) and str(event.request.AffectedSOPInstanceUID) not in self.lost:
            self.received.append(
                Received(
                    str(event.request.AffectedSOPClassUID),
                    str(event.request.AffectedSOPInstanceUID),
                    str(event.dataset.StudyInstanceUID),
                    event.request.DataSet.getvalue(),
                )
            )
        return status
