"""Incoming associations: what has arrived and was made durable, until the intake has taken it.

::

    <association>/association.json     who sent, and when
    <association>/<000001>.dcm         durable, as received, in order of arrival
    <association>/released|aborted     the association is over

Several receivers and the intake share the folder. No name comes from the network. It is part of `node.spool.store`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog

from node.errors import HilumError, SpoolFull, SpoolUnavailable
from node.spool import durable

log = structlog.get_logger(__name__)

_ASSOCIATION_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_INFO: Final = "association.json"

EMPTY_FOLDER_S: Final = 60.0
"""Age from which an incoming folder with nothing in it is removed: its removal was cut short."""


class AssociationOutcome(StrEnum):
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
    outcome: AssociationOutcome | None
    """None while the association is open: more files may come. Otherwise `files` is all there is."""

    def remove(self) -> None:
        """Remove the folder of a closed association whose files were all discarded; gone already is no error.

        A file that is not ours stays, with its folder, which `Incoming.arrivals` then passes by; it is logged.

        Raises
        ------
        HilumError
            The association is open, or an arrived file is left.
        SpoolUnavailable
            The file system refuses.
        """
        try:
            if self.outcome is None or _arrived(self.path):
                raise HilumError(f"incoming folder {self.path.name} is open or not empty")
            # The marker after the info: a removal that was cut short is listed and repeated as long as there is one.
            for name in (_INFO, *AssociationOutcome):
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise SpoolUnavailable(f"cannot remove {self.path.name}: {error.strerror}") from error
            log.warning("spool.folder_left", association=self.path.name, error=error.strerror)


class IncomingAssociation:
    """The receiver's side of one incoming folder; the folder is made when the first object is stored.

    Made by `Incoming.open`. `store` is called by one thread; `close` may come from another.
    """

    def __init__(self, info: AssociationInfo, incoming: Incoming) -> None:
        self.info = info
        self._incoming = incoming
        self._guard = threading.Lock()
        self._attempts = 0
        self._made = self._closed = False

    @property
    def path(self) -> Path:
        """The folder, which may not exist yet."""
        return self._incoming.path(self.info.association_id)

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
                    self._incoming.make(self.info)
                    self._made = True
                # No number is used twice: the intake may already hold the file of a store that failed after its rename.
                self._attempts += 1
                target = self.path / f"{self._attempts:06d}.dcm"
                temporary.replace(target)
                durable.sync_directory(self.path)
        except OSError as error:
            raise SpoolFull(f"cannot store an object in {self.path.name}: {error.strerror}") from error
        return target

    def close(self, outcome: AssociationOutcome) -> None:
        """Record that no object will follow. Does nothing where none was stored, or where it was recorded before.

        Raises
        ------
        SpoolFull
            The marker cannot be written; the folder then counts as open, until `Incoming.close` or a sweep.
        """
        with self._guard:
            if self._made and not self._closed:
                try:
                    _mark(self.path, outcome)
                except OSError as error:
                    raise SpoolFull(f"cannot close {self.path.name}: {error.strerror}") from error
            self._closed = True


class Incoming:
    """The folder `root`, which `create` has made.

    Parameters
    ----------
    new_path
        Gives a path for an unfinished file on the same file system, in a folder that is named after its process.
    """

    def __init__(self, root: Path, new_path: Callable[[], Path]) -> None:
        self._root, self._new_path = root, new_path
        self._guard = threading.Lock()
        self._associations: list[IncomingAssociation] = []

    @staticmethod
    def create(root: Path) -> None:
        """Make the folder where it does not exist."""
        durable.make_directory(root)

    def waiting(self) -> tuple[int, datetime | None]:
        """Count the files that the intake has not taken, and say since when the oldest waits; it only looks.

        Raises
        ------
        OSError
            The folder cannot be read.
        """
        count, oldest = 0, None
        for folder in os.scandir(self._root):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # the intake was faster
                for file in Path(folder.path).glob("*.dcm"):
                    count, moment = count + 1, file.stat().st_mtime
                    oldest = moment if oldest is None else min(oldest, moment)
        return count, None if oldest is None else datetime.fromtimestamp(oldest, UTC)

    def close(self) -> int:
        """Close the associations whose threads have not ended as aborted; may be used again after.

        Returns
        -------
        int
            How many could not be marked; the next sweep of any process does it.
        """
        with self._guard:
            associations, self._associations = self._associations, []
        unmarked = 0
        for association in associations:
            try:
                association.close(AssociationOutcome.ABORTED)
            except SpoolFull as error:
                unmarked += 1
                log.error("association.not_closed", error=str(error))
        return unmarked

    def open(self, info: AssociationInfo) -> IncomingAssociation:
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

    def path(self, association_id: str) -> Path:
        """Return the path of an incoming folder, whether it exists or not."""
        return self._root / association_id

    def make(self, info: AssociationInfo) -> None:
        """Make the folder of an association in one step: it is never seen without its info.

        Raises
        ------
        OSError
            The file system cannot take it.
        """
        made = self._new_path().with_suffix(".association")
        record = json.loads(info.to_json()) | {"owner": made.parent.name}
        try:
            made.mkdir()
            durable.write_file(made / _INFO, json.dumps(record, indent=1).encode(), temporary=made / "aside")
            made.rename(self.path(info.association_id))
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            raise
        durable.sync_directory(self._root)

    def arrivals(self) -> Iterator[IncomingFolder]:
        """List what has arrived, oldest association first."""
        for path in self.folders():
            folder = self.look(path)
            if folder is not None:
                yield folder

    def folders(self) -> list[Path]:
        """List the folders of associations, the oldest first; `look` says what is in one."""
        return sorted(self._root.iterdir())

    def look(self, path: Path) -> IncomingFolder | None:
        """Say what has arrived in a folder; None where it is gone, or not ours. Made to be polled: few system calls.

        Raises
        ------
        OSError
            The folder cannot be read.
        """
        # The marker first: it is written after the last file, so what is listed after seeing it is complete.
        outcome = next((o for o in AssociationOutcome if (path / o).exists()), None)
        try:
            files = tuple(_arrived(path))
            if outcome is None and not files and _is_remnant(path):
                return None
            info = AssociationInfo.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None  # removed by another process in this moment, or not ours
        return IncomingFolder(path, info, files, outcome)

    def abort_those_of_the_dead(self, is_dead: Callable[[str], bool]) -> set[str]:
        """Close the folders that dead processes left open, and give the owners for whom it failed."""
        unmarked: set[str] = set()
        for path in self._root.iterdir():
            try:
                if any((path / outcome).exists() for outcome in AssociationOutcome):
                    continue
            except OSError as error:
                log.error("association.not_closed", association=path.name, error=error.strerror)
                continue
            owner = _owner_of(path)
            if owner is not None and is_dead(owner):
                try:
                    _mark(path, AssociationOutcome.ABORTED)
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


def _mark(folder: Path, outcome: AssociationOutcome) -> None:
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
