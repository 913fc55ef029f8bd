"""The spool: every byte that the node keeps on disk, in folders that no other module but its parts knows.

::

    tmp/<owner>.lock, tmp/<owner>/              unfinished files of one process, which holds the lock
    incoming/                                   received and not yet recorded (see `node.spool.incoming`)
    objects/<ab>/<sha256>.dcm                   accepted, named by content
    quarantine/<sha256>.dcm, <sha256>.json      not usable, and why
    results/<ab>/<sha256>.dcm                   our own results, as they are sent
    findings/<ab>/<sha256>-<rest>.findings      what networks found (see `node.spool.findings`)
    commitment/                                 what archives were asked and reported (see `node.spool.commitments`)
    refused/                                    whom the receivers have refused (see `node.spool.refusals`)
    node-id                                     which spool this is (see `node.spool.identity`)
    .present, objects/.present, results/.present    tell an empty folder from an empty mount point

Several receivers, the intake and the workers share one spool. Each step is one rename or one hard link, so a process
may be killed between any two: `keep`, `quarantine` and `discard` may be repeated, and only `discard` removes a received
file. No name comes from the network.

Received objects and results are read here and compared with their digest: what fails is either the machine's
(`SpoolUnavailable`, to be tried again) or the bytes are lost (`BytesLost`). What parses headers has them in memory, so
that an OSError of a parser is never taken for one of the disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final

from node.dicom.part10 import identity_digest, identity_digest_of
from node.errors import BytesLost, SpoolFull, SpoolUnavailable
from node.reasons import Reason
from node.spool import durable, identity
from node.spool.commitments import CommitmentStore
from node.spool.findings import SHA256, FindingsStore
from node.spool.incoming import AssociationInfo, Incoming
from node.spool.temporary import TemporaryFolder, leftovers, lock_of, remove_unowned

_CONTENT: Final = ("objects", "results")
"""Folders whose files cannot be had again from elsewhere: once made, they are never made anew."""
_PRESENT: Final = ".present"
_PROBE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object in the spool, named by its content."""

    sha256: str
    """SHA-256 of transfer syntax UID and data set (`node.dicom.part10.identity_digest`)."""
    path: Path
    size: int
    """Size of the file in bytes."""
    repaired: bool = False
    """The copy that was held was damaged, and this one has taken its place."""


class Spool:
    """The folders under `root`, which `create` has made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = TemporaryFolder(root / "tmp")
        self.commitments = CommitmentStore(root / "commitment", self.temporary_path)
        self.findings = FindingsStore(root / "findings", self.temporary_path)
        self.incoming = Incoming(root / "incoming", self.temporary_path)

    @classmethod
    def create(cls, root: Path) -> Spool:
        """Make the folders where they do not exist, and open the spool."""
        root.mkdir(parents=True, exist_ok=True)
        for name in ("tmp", "quarantine"):
            durable.make_directory(root / name)
        Incoming.create(root / "incoming")
        CommitmentStore.create(root / "commitment")
        FindingsStore.create(root / "findings")
        spool = cls(root)
        if not (root / _PRESENT).exists():
            for folder in (*(root / name for name in _CONTENT), root):  # the root last: it says that all was made
                durable.make_directory(folder)
                durable.write_file(folder / _PRESENT, b"", temporary=spool.temporary_path())
        identity.make(root, spool.temporary_path())
        return spool

    def identity(self) -> str:
        """Return which spool this is, as it says now: another one may have been mounted since.

        Raises
        ------
        SpoolUnavailable
            It does not say so: its folder is gone, or cannot be read.
        """
        found = identity.read(self.root)
        if found is None:
            raise SpoolUnavailable(f"the spool is not there: {identity.FILE}: {os.strerror(errno.ENOENT)}")
        return found

    def close(self) -> None:
        """Release what this process holds: its unfinished files and its lock. The spool may be used again after.

        Associations whose threads have not ended are closed as aborted; where that cannot be written, the next sweep of
        any process does it.
        """
        self._temporary.close(keep_lock_file=self.incoming.close() > 0)

    def require_usable(self, *, room_bytes: int = 0) -> None:
        """Find out, before anything is begun, that the spool can be read and written.

        Raises
        ------
        SpoolFull
            There is less room than `room_bytes`, or a file cannot be written.
        SpoolUnavailable
            Its folders are not there.
        """
        self._require_present()
        try:
            free = self.free_bytes()
            if free < room_bytes:
                raise SpoolFull(f"the spool has {free} bytes free, {room_bytes} are needed")
            self._try_writing()
        except OSError as error:
            raise SpoolFull(f"the spool cannot be written: {error.strerror}") from error

    # The receiver

    def temporary_path(self) -> Path:
        """Return a new path for an unfinished file, on the file system of the spool.

        If the process dies, `sweep_temporary` of another one removes the file.
        """
        return self._temporary.new_path()

    def free_bytes(self) -> int:
        """Count the bytes that an unprivileged process may still write."""
        figures = os.statvfs(self.root)
        return figures.f_bavail * figures.f_frsize

    def free_inodes(self) -> int | None:
        """Count the files that an unprivileged process may still make; None: the file system has no limit."""
        figures = os.statvfs(self.root)
        return figures.f_favail if figures.f_files else None

    def sweep_temporary(self) -> int:
        """Remove unfinished files of dead processes and mark the associations that died with them as aborted.

        Files of running processes stay. Any process may call it at any time, also while others do. An association that
        cannot be marked, because the disk is full, is left to the next sweep.

        Returns
        -------
        int
            How many dead processes had left something.
        """
        temporary = self.root / "tmp"
        remove_unowned(temporary)
        dead = leftovers(temporary)
        found = {left.owner for left in dead}

        def is_dead(owner: str) -> bool:  # whoever lives has a lock, and had it before its first incoming folder
            return owner in found or not lock_of(temporary, owner).exists()

        try:
            for left in dead:
                left.remove_files()
            unmarked = self.incoming.abort_those_of_the_dead(is_dead)
            for left in dead:
                if left.owner not in unmarked:
                    left.forget()
        finally:
            for left in dead:
                left.close()
        return len(dead)

    # The intake

    def keep(self, file: Path, *, named: tuple[str, int] | None = None) -> KeptObject:
        """Accept an arrived file: give it its name by content. The arrived file stays until `discard`.

        Repeating it changes nothing; the same content under two arrivals is one object. One that is held and damaged is
        replaced.

        Parameters
        ----------
        named
            What `identity_digest` gave for the file, where it was asked already.
        """
        sha256, size = named or identity_digest(file)
        target = self.object_path(sha256)
        durable.make_directory(target.parent)
        return KeptObject(sha256, target, size, self._link(file, target))

    def quarantine(self, file: Path, reason: str, detail: str, *, named: tuple[str, int] | None = None) -> KeptObject:
        """Quarantine an arrived file, with the reason next to it. The arrived file stays until `discard`.

        Parameters
        ----------
        reason
            A `node.reasons.Reason`.
        detail
            What was found and what was expected; never a patient attribute.
        named
            As for `keep`.
        """
        sha256, size = named or identity_digest(file)
        target = self.root / "quarantine" / f"{sha256}.dcm"
        record = {
            "reason": str(reason),
            "detail": detail,
            "quarantined_at": datetime.now(UTC).isoformat(),
            "arrival": f"{file.parent.name}/{file.name}",
            "association": json.loads(AssociationInfo.read(file.parent).to_json()),
        }
        repaired = self._link(file, target)
        content = json.dumps(record, indent=1).encode()
        durable.write_file(target.with_suffix(".json"), content, temporary=self.temporary_path())
        return KeptObject(sha256, target, size, repaired)

    def discard(self, file: Path) -> None:
        """Remove an arrived file that was kept, quarantined or is to be ignored; gone already is no error."""
        file.unlink(missing_ok=True)

    def object_path(self, sha256: str) -> Path:
        """Return the path of an accepted object, whether it exists or not."""
        return self._by_content("objects", sha256)

    def received_path(self, sha256: str) -> Path:
        """Return where a recorded object lies: among the accepted ones, or in quarantine where it is only there.

        Not by the state of its row: an image whose pixels turn out to be undecodable stays where it is.
        """
        accepted = self.object_path(sha256)
        quarantined = self.root / "quarantine" / accepted.name
        return quarantined if quarantined.exists() and not accepted.exists() else accepted

    def read_received(self, sha256: str) -> bytes:
        """Return the bytes of a recorded object, once they are known to be those that were recorded.

        Raises
        ------
        BytesLost
            They are gone, or are others.
        SpoolUnavailable
            They cannot be read now.
        """
        try:
            path = self.received_path(sha256)
        except OSError as error:
            raise SpoolUnavailable(f"cannot read objects: {error.strerror}") from error
        content = self._read(path)
        if identity_digest_of(BytesIO(content)) != sha256:
            raise BytesLost(Reason.DAMAGED, "its stored bytes are not those that were received; send it again")
        return content

    # The workers

    def store_result(self, content: bytes) -> tuple[str, Path]:
        """Keep a result for ever-equal sending: durable, and read back before this returns.

        Returns
        -------
        tuple
            SHA-256 of all bytes, and the path.

        Raises
        ------
        SpoolFull
            It cannot be written, or what was written is not what is read.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.result_path(sha256)
        try:
            self._require_present()
            if not path.exists() or path.read_bytes() != content:
                durable.make_directory(path.parent)
                durable.write_file(path, content, temporary=self.temporary_path())
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise SpoolFull(f"cannot store result {sha256}: {error.strerror}") from error
        if found != sha256:
            raise SpoolFull(f"result {sha256} reads back as {found}")
        return sha256, path

    def quarantine_result(self, content: bytes, reason: str, detail: str) -> str:
        """Quarantine a result that must not be sent, with the reason next to it; return the SHA-256 of its bytes.

        Raises
        ------
        SpoolFull
            It cannot be written.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.root / "quarantine" / f"{sha256}.dcm"
        record = {"reason": str(reason), "detail": detail, "quarantined_at": datetime.now(UTC).isoformat()}
        try:
            durable.write_file(target, content, temporary=self.temporary_path())
            durable.write_file(
                target.with_suffix(".json"), json.dumps(record, indent=1).encode(), temporary=self.temporary_path()
            )
        except OSError as error:
            raise SpoolFull(f"cannot quarantine result {sha256}: {error.strerror}") from error
        return sha256

    def result_path(self, sha256: str) -> Path:
        """Return the path of a result, whether it exists or not."""
        return self._by_content("results", sha256)

    def require_result(self, sha256: str) -> Path:
        """Return the path of a result, once its bytes are known to be those that were stored.

        Raises
        ------
        BytesLost
            They are gone, or are others.
        SpoolUnavailable
            They cannot be read now.
        """
        path = self.result_path(sha256)
        if hashlib.sha256(self._read(path)).hexdigest() != sha256:
            raise BytesLost(Reason.DAMAGED, "the stored bytes do not match their SHA-256")
        return path

    # Private

    def _read(self, path: Path) -> bytes:
        """Return the bytes of a file that must be there."""
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            self._require_present()
            raise BytesLost(Reason.MISSING, "its file is gone from the spool") from error
        except OSError as error:
            raise SpoolUnavailable(f"cannot read {path.parent.parent.name}: {error.strerror}") from error

    def _require_present(self) -> None:
        """Tell a file that is gone from a folder that is gone, or from a mount point with nothing mounted there."""
        for folder in (self.root, *(self.root / name for name in _CONTENT)):
            try:
                (folder / _PRESENT).stat()
            except OSError as error:
                where = f"{folder.name}/{_PRESENT}"
                raise SpoolUnavailable(f"the spool is not there: {where}: {error.strerror}") from error

    def _try_writing(self) -> None:
        """Write a block and remove it again."""
        probe = self.temporary_path()
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)

    def _link(self, file: Path, target: Path) -> bool:
        """Give an arrived file its place by content; return whether a damaged one was there before."""

        def is_sound(held: Path) -> bool:
            try:
                return identity_digest(held)[0] == target.stem
            except OSError:
                return False

        return (
            durable.link_file(file, target, temporary=self.temporary_path(), is_sound=is_sound)
            is durable.Linked.REPLACED
        )

    def _by_content(self, folder: str, sha256: str) -> Path:
        """Return the path of content-addressed bytes."""
        if not SHA256.fullmatch(sha256):
            raise ValueError("sha256 must be 64 lower-case hexadecimal digits")
        return self.root / folder / sha256[:2] / f"{sha256}.dcm"
