"""A PACS under the tests' control: can be stopped, started again on the same port, and made to answer any status."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import Comprehensive3DSRStorage, SegmentationStorage, Verification

from node.dimse.archive import free_port

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


@dataclass
class FakePACS:
    """Storage SCP that keeps every C-STORE it accepted, in order."""

    port: int = field(default_factory=free_port)
    ae_title: str = "PACS"
    statuses: dict[str, int] = field(default_factory=dict)
    """Status to answer by SOP Class UID; Success where none is given."""
    received: list[Received] = field(default_factory=list)
    associations: int = 0
    _server: Any = None

    def start(self) -> FakePACS:
        """Listen."""
        ae = AE(ae_title=self.ae_title)
        ae.add_supported_context(Verification)
        ae.add_supported_context(SegmentationStorage)
        ae.add_supported_context(Comprehensive3DSRStorage)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_ESTABLISHED, self._established)]
        self._server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def stop(self) -> None:
        """Close the port and every association."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def __enter__(self) -> FakePACS:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

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

    def _established(self, _event: Any) -> None:
        self.associations += 1

    def _store(self, event: Any) -> int:
        status = self.statuses.get(str(event.request.AffectedSOPClassUID), 0x0000)
        if status in (0x0000, 0xB000):
            self.received.append(
                Received(
                    str(event.request.AffectedSOPClassUID),
                    str(event.request.AffectedSOPInstanceUID),
                    str(event.dataset.StudyInstanceUID),
                    event.request.DataSet.getvalue(),
                )
            )
        return status
