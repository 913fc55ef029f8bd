"""A stand-in PACS for the demonstration and for tests: a Storage SCP that keeps what it gets in a folder.

No archive for real use: it has no database, answers no query, and trusts whoever reaches it on loopback.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    Comprehensive3DSRStorage,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    Verification,
)


@dataclass(frozen=True)
class StandInArchive:
    """A running stand-in: its port, and the folder of what it holds."""

    port: int
    folder: Path

    def holds(self, sop_class_uid: str, study_instance_uid: str) -> tuple[Path, ...]:
        """Return the files of one SOP class and study."""
        found = []
        for path in sorted(self.folder.glob("*.dcm")):
            ds = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "StudyInstanceUID"])
            if ds.SOPClassUID == sop_class_uid and ds.StudyInstanceUID == study_instance_uid:
                found.append(path)
        return tuple(found)


@contextmanager
def stand_in(folder: Path, *, ae_title: str = "PACS", port: int = 0) -> Iterator[StandInArchive]:
    """Run a stand-in PACS on loopback; port 0 takes a free one."""
    folder.mkdir(parents=True, exist_ok=True)

    def keep(event: evt.Event) -> int:
        name = hashlib.sha256(str(event.dataset.SOPInstanceUID).encode()).hexdigest()[:24]
        unfinished = folder / f"{name}.part"
        unfinished.write_bytes(event.encoded_dataset())
        unfinished.rename(folder / f"{name}.dcm")
        return 0x0000

    ae = AE(ae_title=ae_title)
    ae.maximum_pdu_size = 131072
    ae.add_supported_context(Verification)
    for sop_class in (
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        SecondaryCaptureImageStorage,
        SegmentationStorage,
        Comprehensive3DSRStorage,
    ):
        ae.add_supported_context(sop_class, AllTransferSyntaxes)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    if server is None:
        raise RuntimeError("the stand-in PACS did not start")
    try:
        yield StandInArchive(port=server.server_address[1], folder=folder)
    finally:
        server.shutdown()


@contextmanager
def reserved_port() -> Iterator[int]:
    """Yield a TCP port of loopback that nobody else gets as a free one until the block ends.

    The port is bound and not listened on, so connections to it are refused. A program that is told its number can
    listen on it all the same, as servers set SO_REUSEADDR.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
