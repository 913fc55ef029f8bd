"""Unfinished files: each process has a folder of its own, and holds a lock for as long as it lives.

The kernel drops the lock with the process, however it dies; so a lock that can be taken is that of a dead one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path


class TemporaryFolder:
    """The folder of this process under `parent`, made when it is first needed; usable by several threads."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._guard = threading.Lock()
        self._owned: tuple[int, Path] | None = None
        self._process = os.getpid()
        self._count = 0

    def new_path(self) -> Path:
        """Return a path that nobody else uses; its folder's name is that of the owner."""
        with self._guard:
            if self._process != os.getpid():  # forked: the folder and its lock are the parent's
                self._drop()
                self._process = os.getpid()
            if self._owned is None:
                self._owned = _own_folder(self._parent)
            self._count += 1
            return self._owned[1] / f"{self._count}.part"

    def close(self, *, keep_lock_file: bool = False) -> None:
        """Remove the folder with all that is in it, and release the lock. It may be used again after.

        Parameters
        ----------
        keep_lock_file
            Leave the lock's file, so that the next sweep takes this owner for dead and ends what was begun here.
        """
        with self._guard:
            if self._owned is not None and self._process == os.getpid():
                shutil.rmtree(self._owned[1], ignore_errors=True)
                if not keep_lock_file:
                    self._owned[1].with_suffix(".lock").unlink(missing_ok=True)
            self._drop()

    def _drop(self) -> None:
        if self._owned is not None:
            os.close(self._owned[0])
            self._owned = None


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a dead process left. It is this process's to clean up until `close`: another sweep passes it by."""

    owner: str
    _lock: Path
    _descriptor: int

    def remove_files(self) -> None:
        """Remove its unfinished files."""
        shutil.rmtree(self._lock.with_suffix(""), ignore_errors=True)

    def forget(self) -> None:
        """Remove the lock's file: nothing is left to do."""
        self._lock.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock; what was not forgotten is found by the next sweep."""
        os.close(self._descriptor)


def leftovers(parent: Path) -> list[Leftover]:
    """Take the leftovers of dead processes under `parent`. May be called by any process at any time."""
    found = []
    for lock in sorted(parent.glob("*.lock")):
        descriptor = _try_lock(lock)
        if descriptor is not None:
            found.append(Leftover(lock.stem, lock, descriptor))
    return found


def lock_of(parent: Path, owner: str) -> Path:
    """Return the lock of a process under `parent`."""
    return parent / f"{owner}.lock"


def remove_unowned(parent: Path) -> None:
    """Remove folders without a lock: theirs was the first thing that was made, and the last that was removed."""
    for folder in parent.iterdir():
        if not lock_of(parent, folder.name).exists() and folder.suffix != ".lock" and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def _own_folder(parent: Path) -> tuple[int, Path]:
    """Make a folder for this process; the lock beside it says for as long as the process lives that it is in use."""
    while True:
        lock = parent / f"{uuid.uuid4().hex}.lock"
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if lock.exists():  # else a sweep took it for dead between the two calls above
            folder = lock.with_suffix("")
            folder.mkdir()
            return descriptor, folder
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    """Take the lock of a dead process; None where the process lives, or the file is gone or not ours."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    if os.fstat(descriptor).st_nlink == 0:  # another sweep was quicker
        os.close(descriptor)
        return None
    return descriptor
