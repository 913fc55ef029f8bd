"""Files that survive a power cut: written under a temporary name, synced, renamed, and the directory synced too.

A rename is atomic, but it is on the disk only after its directory was synced; so every function here does both.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV})


class Linked(StrEnum):
    """What `link_file` has done."""

    NEW = "new"
    HELD = "held"
    """The target was there, and sound."""
    REPLACED = "replaced"
    """The target was there, and damaged."""


def sync_file(path: Path) -> None:
    """Wait until the content of `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Wait until the names in directory `path` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create directory `path` durably where it does not exist; its parent must exist."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    sync_directory(path.parent)


def write_file(path: Path, content: bytes, *, temporary: Path) -> None:
    """Write `content` to `path`: all of it or nothing, also after a crash.

    Parameters
    ----------
    temporary
        Path on the same file system for the unfinished file; it is gone afterwards.
    """
    with _gone_afterwards(temporary):
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fdatasync(file.fileno())
        temporary.replace(path)
    sync_directory(path.parent)


def link_file(source: Path, target: Path, *, temporary: Path, is_sound: Callable[[Path], bool]) -> Linked:
    """Give the durable file `source` a second durable name; copy it where the file system has no hard links.

    Parameters
    ----------
    temporary
        Path on the same file system for the unfinished file; it is gone afterwards.
    is_sound
        Asked of a target that exists: a sound one is left as it is, a damaged one is replaced in one step.
    """
    linked = Linked.NEW
    if os.path.lexists(target):
        if is_sound(target):
            return Linked.HELD
        linked = Linked.REPLACED
    with _gone_afterwards(temporary):
        try:
            temporary.hardlink_to(source)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            shutil.copyfile(source, temporary)
            sync_file(temporary)
        temporary.replace(target)
    sync_directory(target.parent)
    return linked


@contextlib.contextmanager
def _gone_afterwards(temporary: Path) -> Iterator[None]:
    """Leave no unfinished file where writing it, or giving it its name, fails."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
