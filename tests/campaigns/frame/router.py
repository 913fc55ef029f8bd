"""A router: sends small studies until each image was answered with Success, and remembers which were."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import generate_uid

from models import phantom
from node.delivery.destinations import Destination
from node.delivery.outcome import OutgoingFile
from node.dicom.part10 import identity_digest
from node.dimse.scu import storage
from node.errors import PeerUnavailable

ROWS, COLUMNS = 320, 288
"""Of the phantoms: small, and yet read as a chest."""


class Studies:
    """Studies without end: copies of a few phantoms under identifiers of their own."""

    def __init__(self, folder: Path, *, images: int = 1, patterns: int = 4) -> None:
        self._folder, self._images = folder, images
        self._patterns = [_part10(seed) for seed in range(patterns)]

    def write(self, number: int) -> list[Path]:
        """Write the images of study `number`; the same number gives the same files."""
        study = generate_uid(entropy_srcs=["campaign-study", str(number)])
        paths = []
        for index in range(self._images):
            ds = dcmread(BytesIO(self._patterns[(number + index) % len(self._patterns)]))
            ds.StudyInstanceUID = study
            ds.SeriesInstanceUID = generate_uid(entropy_srcs=["campaign-series", str(number)])
            ds.SOPInstanceUID = generate_uid(entropy_srcs=["campaign-image", str(number), str(index)])
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.PatientID, ds.InstanceNumber = f"CAMPAIGN-{number}", index + 1
            paths.append(self._folder / f"{number}-{index}.dcm")
            ds.save_as(paths[-1])
        return paths


def _part10(seed: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "phantom.dcm"
        phantom.write(path, phantom.generate(seed, rows=ROWS, columns=COLUMNS))
        return path.read_bytes()


@dataclass(frozen=True)
class SentInstance:
    """An image that was answered with Success."""

    sop_instance_uid: str
    study_instance_uid: str
    digest: str
    """As the node names it (`node.dicom.part10.identity_digest`)."""


@dataclass
class Router:
    """Sends to one node until everything is taken, from several threads."""

    node: Destination
    studies: Studies
    calling_ae_title: str = "ROUTER"
    taken: list[SentInstance] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _given_up: threading.Event = field(default_factory=threading.Event)

    def send(self, numbers: Sequence[int], *, threads: int = 4) -> None:
        """Send the studies of these numbers; returns when all are taken, or after `give_up`."""
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(self.send_study, number) for number in numbers]:
                done.result()

    @contextmanager
    def sending(self, numbers: Sequence[int], *, threads: int = 4) -> Iterator[threading.Thread]:
        """Send in the background; at the end of the block everything is taken."""
        failures: list[BaseException] = []

        def run() -> None:
            try:
                self.send(numbers, threads=threads)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run, name="router")
        thread.start()
        try:
            yield thread
        except BaseException:
            self.give_up()
            raise
        finally:
            thread.join()
        if failures:
            raise failures[0]

    def give_up(self) -> None:
        """Send nothing more."""
        self._given_up.set()

    def send_study(self, number: int) -> None:
        """Send one study again and again, as a router does, until each of its images was answered with Success."""
        left = self.studies.write(number)
        files = {path: _outgoing(path) for path in left}
        pause = 0.2
        while left and not self._given_up.is_set():
            refused = self._try(left, files)
            pause = 0.2 if len(refused) < len(left) else min(2 * pause, 3.0)
            left = refused
            if left:
                self._given_up.wait(pause)
        for path in files:
            path.unlink()

    def _try(self, paths: Sequence[Path], files: dict[Path, tuple[OutgoingFile, SentInstance]]) -> list[Path]:
        """Send over one association; return what was not taken."""
        try:
            outcomes = storage.send(
                self.node,
                [files[path][0] for path in paths],
                calling_ae_title=self.calling_ae_title,
                connect_timeout_s=20,
                response_timeout_s=60,
            )
        except PeerUnavailable:
            return list(paths)
        with self._guard:
            taken = [path for path, outcome in zip(paths, outcomes, strict=True) if outcome.status == 0x0000]
            self.taken += [files[path][1] for path in taken]
        return [path for path in paths if path not in taken]


def _outgoing(path: Path) -> tuple[OutgoingFile, SentInstance]:
    ds = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"])
    digest, _ = identity_digest(path)
    sent = SentInstance(str(ds.SOPInstanceUID), str(ds.StudyInstanceUID), digest)
    return OutgoingFile(str(ds.SOPClassUID), sent.sop_instance_uid, path), sent


def sha256_of_dataset(path: Path) -> str:
    """Return the digest of what a C-STORE carries of a file."""
    from tests.support.peers.system import dataset_bytes

    return hashlib.sha256(dataset_bytes(path)).hexdigest()
