"""The archive of a campaign: keeps of each object that it accepted the digest of its bytes, and may misbehave."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.peers.pacs import FakePACS, Received

SUCCESS = 0x0000


@dataclass
class Archive(FakePACS):
    """A PACS for thousands of objects."""

    ae_title: str = "ARCHIVE"
    answer: Callable[[], int] = lambda: SUCCESS
    """Gives the status of a C-STORE; what is no Success is not kept."""
    forgets: Callable[[], bool] = lambda: False
    """Says of an object that is answered with Success whether it is thrown away."""
    delay_s: float = 0.0
    """Pause before each answer."""
    digests: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """SHA-256 of the data sets that it keeps as each SOP Instance UID."""
    times: list[float] = field(default_factory=list)
    """When an object was accepted, on the monotonic clock."""
    order: list[str] = field(default_factory=list)
    """Study Instance UIDs in the order in which objects were accepted."""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def _store(self, event: Any) -> int:
        time.sleep(self.delay_s)
        status = self.answer()
        if status != SUCCESS:
            return status
        request = event.request
        received = Received(
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
            str(event.dataset.StudyInstanceUID),
            request.DataSet.getvalue(),
        )
        if not self.forgets():
            with self._guard:
                self.digests[received.sop_instance_uid].add(received.sha256)
                self.times.append(time.monotonic())
                self.order.append(received.study_instance_uid)
                self.received.append(replace(received, dataset=b""))
        return status
