"""The spool: every byte that the node keeps on disk, and the only module that knows its folders.

::

    tmp/<owner>.lock, tmp/<owner>/              unfinished files of one process, which holds the lock
    incoming/<association>/association.json     who sent, and when
    incoming/<association>/<000001>.dcm         durable, as received, in order of arrival
    incoming/<association>/released|aborted     the association is over
    objects/<ab>/<sha256>.dcm                   accepted, named by content
    quarantine/<sha256>.dcm, <sha256>.json      not usable, and why
    results/<ab>/<sha256>.dcm                   our own results, as they are sent
    commitment/                                 what archives were asked and reported (see `node.mailbox`)

Several receivers, the intake and the workers share one spool. Each step is one rename or one hard link, so a process
may be killed between any two: `keep`, `quarantine` and `discard` may be repeated, and only `discard` removes a received
file. No name comes from the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog

from node import durable
from node.errors import HilumError, SpoolFull
from node.mailbox import Mailbox
from node.part10 import identity_digest
from node.temporary import TemporaryFolder, leftovers

log = structlog.get_logger(__name__)

_ASSOCIATION_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_INFO: Final = "association.json"

EMPTY_FOLDER_S: Final = 60.0
"""Age from which an incoming folder with nothing in it is removed: its removal was cut short."""


class Outcome(StrEnum):
    """How an association ended; also the name of its marker file."""

    RELEASED = "released"
    ABORTED = "aborted"
    """Aborted by either side, timed out, connection lost, or receiver dead: never a sign that a study is complete."""


def new_association_id(opened_at: datetime) -> str:
    """Make a name for one association; names sort by the time of opening."""
    return f"{opened_at.astimezone(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class AssociationInfo:
    """Who opened an association, from where, and when."""

    association_id: str
    """From `new_association_id`; also the name of the folder."""
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    opened_at: datetime
    tls_subject: str | None = None
    """Subject of the peer's certificate (RFC 4514); None without TLS."""

    def to_json(self) -> str:
        """Encode as the content of association.json."""
        return json.dumps(asdict(self) | {"opened_at": self.opened_at.isoformat()}, indent=1)

    @classmethod
    def read(cls, folder: Path) -> AssociationInfo:
        """Read the info of an incoming folder; what cannot be read is given as unknown, the files still count."""
        try:
            values = json.loads((folder / _INFO).read_text(encoding="utf-8"))
            values.pop("owner", None)
            return cls(**values | {"opened_at": datetime.fromisoformat(values["opened_at"])})
        except (OSError, ValueError, TypeError, KeyError):
            opened_at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
            return cls(folder.name, "UNKNOWN", "UNKNOWN", "unknown", opened_at)


@dataclass(frozen=True, slots=True)
class IncomingFolder:
    """What one association has left so far."""

    path: Path
    info: AssociationInfo
    files: tuple[Path, ...]
    """Durable Part 10 files in order of arrival that have not been discarded yet."""
    outcome: Outcome | None
    """None while the association is open: more files may come. Otherwise `files` is all there is."""

    def remove(self) -> None:
        """Remove the folder of a closed association whose files were all discarded; gone already is no error.

        A file that is not ours stays, with its folder, which `Spool.arrivals` then passes by; it is logged.

        Raises
        ------
        HilumError
            The association is open, or an arrived file is left.
        """
        try:
            if self.outcome is None or _arrived(self.path):
                raise HilumError(f"incoming folder {self.path.name} is open or not empty")
            # The marker after the info: a removal that was cut short is listed and repeated as long as there is one.
            for name in (_INFO, *Outcome):
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("spool.folder_left", association=self.path.name, error=error.strerror)


@dataclass(frozen=True, slots=True)
class KeptObject:
    """An object in the spool, named by its content."""

    sha256: str
    """SHA-256 of transfer syntax UID and data set (`node.part10.identity_digest`)."""
    path: Path
    size: int
    """Size of the file in bytes."""


class IncomingAssociation:
    """The receiver's side of one incoming folder; the folder is made when the first object is stored.

    Made by `Spool.open_association`. `store` is called by one thread; `close` may come from another.
    """

    def __init__(self, info: AssociationInfo, spool: Spool) -> None:
        self.info = info
        self._spool = spool
        self._guard = threading.Lock()
        self._attempts = 0
        self._made = self._closed = False

    @property
    def path(self) -> Path:
        """The folder, which may not exist yet."""
        return self._spool.incoming_path(self.info.association_id)

    @property
    def is_open(self) -> bool:
        """Whether more objects may come, or the end could not be recorded yet."""
        return not self._closed

    def store(self, temporary: Path, *, synced: bool = False) -> Path:
        """Make a finished temporary file part of the arrivals; when this returns, the object survives a power cut.

        Parameters
        ----------
        temporary
            File from `Spool.temporary_path`; it is renamed.
        synced
            The caller has already waited for its content to be on the disk.

        Raises
        ------
        SpoolFull
            The file system cannot take it, or the association is closed; the temporary file is left to the caller.
        """
        try:
            if not synced:
                durable.sync_file(temporary)
            with self._guard:
                if self._closed:
                    raise SpoolFull(f"{self.info.association_id} is closed")
                if not self._made:
                    self._spool.make_incoming(self.info)
                    self._made = True
                # No number is used twice: the intake may already hold the file of a store that failed after its rename.
                self._attempts += 1
                target = self.path / f"{self._attempts:06d}.dcm"
                temporary.replace(target)
                durable.sync_directory(self.path)
        except OSError as error:
            raise SpoolFull(f"cannot store an object in {self.path.name}: {error.strerror}") from error
        return target

    def close(self, outcome: Outcome) -> None:
        """Record that no object will follow. Does nothing where none was stored, or where it was recorded before.

        Raises
        ------
        SpoolFull
            The marker cannot be written; the folder then counts as open, until `Spool.close` or a sweep.
        """
        with self._guard:
            if self._made and not self._closed:
                try:
                    _mark(self.path, outcome)
                except OSError as error:
                    raise SpoolFull(f"cannot close {self.path.name}: {error.strerror}") from error
            self._closed = True


class Spool:
    """The folders under `root`, which `create` has made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = TemporaryFolder(root / "tmp")
        self.mailbox = Mailbox(root / "commitment", self.temporary_path)
        self._guard = threading.Lock()
        self._associations: list[IncomingAssociation] = []

    @classmethod
    def create(cls, root: Path) -> Spool:
        """Make the folders where they do not exist, and open the spool."""
        root.mkdir(parents=True, exist_ok=True)
        for name in ("tmp", "incoming", "objects", "quarantine", "results"):
            durable.make_directory(root / name)
        Mailbox.create(root / "commitment")
        return cls(root)

    def close(self) -> None:
        """Give back what this process holds: its unfinished files and its lock. The spool may be used again after.

        Associations whose threads have not ended are closed as aborted; where that cannot be written, the next sweep of
        any process does it.
        """
        with self._guard:
            associations, self._associations = self._associations, []
        unmarked = 0
        for association in associations:
            try:
                association.close(Outcome.ABORTED)
            except SpoolFull as error:
                unmarked += 1
                log.error("association.not_closed", error=str(error))
        self._temporary.close(keep_lock_file=unmarked > 0)

    # The receiver

    def temporary_path(self) -> Path:
        """Give a new path for an unfinished file, on the file system of the spool.

        If the process dies, `sweep_temporary` of another one removes the file.
        """
        return self._temporary.new_path()

    def open_association(self, info: AssociationInfo) -> IncomingAssociation:
        """Begin to take objects of one association; nothing is written before the first of them.

        Raises
        ------
        ValueError
            The association id is not one of ours, and so no name for a folder.
        """
        if not _ASSOCIATION_ID.fullmatch(info.association_id):
            raise ValueError("association_id must come from new_association_id")
        association = IncomingAssociation(info, self)
        with self._guard:
            self._associations = [a for a in self._associations if a.is_open] + [association]
        return association

    def incoming_path(self, association_id: str) -> Path:
        """Path of an incoming folder, whether it exists or not."""
        return self.root / "incoming" / association_id

    def make_incoming(self, info: AssociationInfo) -> None:
        """Make the folder of an association in one step: it is never seen without its info.

        Raises
        ------
        OSError
            The file system cannot take it.
        """
        made = self.temporary_path().with_suffix(".association")
        made.mkdir()
        record = json.loads(info.to_json()) | {"owner": made.parent.name}
        durable.write_file(made / _INFO, json.dumps(record, indent=1).encode(), aside=made / "aside")
        made.rename(self.incoming_path(info.association_id))
        durable.sync_directory(self.root / "incoming")

    def free_bytes(self) -> int:
        """Count the bytes that an unprivileged process may still write."""
        figures = os.statvfs(self.root)
        return figures.f_bavail * figures.f_frsize

    def sweep_temporary(self) -> int:
        """Remove unfinished files of dead processes and mark the associations that died with them as aborted.

        Files of running processes stay. Any process may call it at any time, also while others do: it costs two system
        calls for each running process, and looks at the incoming folders only where somebody died. An association that
        cannot be marked, because the disk is full, is left to the next sweep.

        Returns
        -------
        int
            How many dead processes had left something.
        """
        dead = leftovers(self.root / "tmp")
        try:
            for left in dead:
                left.remove_files()
            unmarked = self._abort_associations_of({left.owner for left in dead}) if dead else set()
            for left in dead:
                if left.owner not in unmarked:
                    left.forget()
        finally:
            for left in dead:
                left.close()
        return len(dead)

    # The intake

    def arrivals(self) -> Iterator[IncomingFolder]:
        """List what has arrived, oldest association first. Made to be polled: few system calls for each open folder."""
        for path in sorted((self.root / "incoming").iterdir()):
            # The marker first: it is written after the last file, so what is listed after seeing it is complete.
            outcome = next((o for o in Outcome if (path / o).exists()), None)
            try:
                files = tuple(_arrived(path))
                if outcome is None and not files and _is_remnant(path):
                    continue
                info = AssociationInfo.read(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # removed by another process in this moment, or not ours
            yield IncomingFolder(path, info, files, outcome)

    def keep(self, file: Path) -> KeptObject:
        """Accept an arrived file: give it its name by content. The arrived file stays until `discard`.

        Repeating it changes nothing; the same content under two arrivals is one object.
        """
        sha256, size = identity_digest(file)
        target = self.object_path(sha256)
        durable.make_directory(target.parent)
        durable.link_file(file, target, aside=self.temporary_path())
        return KeptObject(sha256, target, size)

    def quarantine(self, file: Path, reason: str, detail: str) -> KeptObject:
        """Put an arrived file aside, with the reason next to it. The arrived file stays until `discard`.

        Parameters
        ----------
        reason
            A `node.reasons.Reason`.
        detail
            What was found and what was expected; never a patient attribute.
        """
        sha256, size = identity_digest(file)
        target = self.root / "quarantine" / f"{sha256}.dcm"
        record = {
            "reason": str(reason),
            "detail": detail,
            "quarantined_at": datetime.now(UTC).isoformat(),
            "arrival": f"{file.parent.name}/{file.name}",
            "association": json.loads(AssociationInfo.read(file.parent).to_json()),
        }
        durable.link_file(file, target, aside=self.temporary_path())
        content = json.dumps(record, indent=1).encode()
        durable.write_file(target.with_suffix(".json"), content, aside=self.temporary_path())
        return KeptObject(sha256, target, size)

    def discard(self, file: Path) -> None:
        """Remove an arrived file that was kept, quarantined or is to be ignored; gone already is no error."""
        file.unlink(missing_ok=True)

    def object_path(self, sha256: str) -> Path:
        """Path of an accepted object, whether it exists or not."""
        return self._by_content("objects", sha256)

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
            if not path.exists() or path.read_bytes() != content:
                durable.make_directory(path.parent)
                durable.write_file(path, content, aside=self.temporary_path())
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise SpoolFull(f"cannot store result {sha256}: {error.strerror}") from error
        if found != sha256:
            raise SpoolFull(f"result {sha256} reads back as {found}")
        return sha256, path

    def quarantine_result(self, content: bytes, reason: str, detail: str) -> str:
        """Put a result aside that must not be sent, with the reason next to it; return the SHA-256 of its bytes.

        Raises
        ------
        SpoolFull
            It cannot be written.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.root / "quarantine" / f"{sha256}.dcm"
        record = {"reason": str(reason), "detail": detail, "quarantined_at": datetime.now(UTC).isoformat()}
        try:
            durable.write_file(target, content, aside=self.temporary_path())
            durable.write_file(
                target.with_suffix(".json"), json.dumps(record, indent=1).encode(), aside=self.temporary_path()
            )
        except OSError as error:
            raise SpoolFull(f"cannot put result {sha256} aside: {error.strerror}") from error
        return sha256

    def result_path(self, sha256: str) -> Path:
        """Path of a result, whether it exists or not."""
        return self._by_content("results", sha256)

    # Private

    def _by_content(self, folder: str, sha256: str) -> Path:
        """Path of content-addressed bytes."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError("sha256 must be 64 lower-case hexadecimal digits")
        return self.root / folder / sha256[:2] / f"{sha256}.dcm"

    def _abort_associations_of(self, owners: Set[str]) -> set[str]:
        """Close the folders that dead processes left open, and give those of `owners` for whom it failed."""
        unmarked: set[str] = set()
        for path in (self.root / "incoming").iterdir():
            if any((path / outcome).exists() for outcome in Outcome):
                continue
            owner = _owner_of(path)
            if owner is not None and owner in owners:
                try:
                    _mark(path, Outcome.ABORTED)
                except FileNotFoundError:
                    continue  # removed in this moment
                except OSError as error:
                    unmarked.add(owner)
                    log.error("association.not_closed", association=path.name, error=error.strerror)
        return unmarked


def _arrived(folder: Path) -> list[Path]:
    """List the arrived files of a folder in order; the kind of each is in the listing, so that no file is asked."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name.endswith(".dcm") and e.is_file(follow_symlinks=False)]
    return [folder / name for name in sorted(names)]


def _mark(folder: Path, outcome: Outcome) -> None:
    """Write the marker of an association that is over."""
    (folder / outcome).touch()
    durable.sync_directory(folder)


def _is_remnant(folder: Path) -> bool:
    """Tell whether a folder without files and outcome is what a removal left: then its info is gone too.

    What is empty is removed once it is old; what holds a file that is not ours stays.
    """
    if (folder / _INFO).exists():
        return False
    if time.time() - folder.stat().st_mtime > EMPTY_FOLDER_S:
        with contextlib.suppress(OSError):
            folder.rmdir()
    return True


def _owner_of(folder: Path) -> str | None:
    """Name the process that made an incoming folder; None where that cannot be read."""
    try:
        return str(json.loads((folder / _INFO).read_text(encoding="utf-8"))["owner"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
