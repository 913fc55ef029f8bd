"""File systems that fill up, go away or turn read-only. They need the right to mount; `may_mount` says whether."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


@functools.cache
def may_mount() -> bool:
    """Say whether this process may mount a tmpfs."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", folder], check=True)
        return True


@contextlib.contextmanager
def small(folder: Path, *, megabytes: int, inodes: int = 0) -> Iterator[None]:
    """Make `folder` a file system of its own; `inodes` 0 sets no limit to the number of files."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m" + (f",nr_inodes={inodes}" if inodes else "")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill the file system of `folder` to the last byte while the block lasts, whatever is freed meanwhile."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        with contextlib.suppress(OSError):
            while True:
                file.write(b"\0")
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def out_of_inodes(folder: Path) -> Iterator[None]:
    """Use up the inodes of the file system of `folder`."""
    fillers = folder / "fillers"
    fillers.mkdir()
    with contextlib.suppress(OSError):
        for number in range(1 << 20):
            (fillers / str(number)).touch()
    try:
        yield
    finally:
        for path in fillers.iterdir():
            path.unlink()
        fillers.rmdir()


@contextlib.contextmanager
def away(folder: Path) -> Iterator[None]:
    """Hide `folder` behind an empty file system, as when a network share is not mounted."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let every new access to `folder` find a read-only file system; what is open stays as it is."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def requires_root() -> str | None:
    """Return why file systems cannot be mounted here; None: they can."""
    return None if may_mount() else f"user {os.getuid()} may not mount file systems here"
