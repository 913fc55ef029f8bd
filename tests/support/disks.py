"""File systems that fail for real: one that is small, and a file whose every read is an I/O error. They need root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount a file system of this size on a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with _mounted(["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], folder):
        yield folder


@contextmanager
def unreadable(file: Path) -> Iterator[Path]:
    """Have the reading of a file end in EIO, for root too: what is mounted over it has no first byte."""
    with _mounted(["--bind", f"/proc/{os.getpid()}/mem", str(file)], file):
        yield file


@contextmanager
def fill(folder: Path, *, leave: int = 0) -> Iterator[None]:
    """Use up the space of a file system but for some bytes."""
    blocks = folder / "fill"
    with blocks.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
        if leave:
            file.truncate(max(0, file.tell() - leave))
    try:
        yield
    finally:
        blocks.unlink()


@contextmanager
def _mounted(arguments: list[str], target: Path) -> Iterator[None]:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True, timeout=20)
