"""Clocks that jump, and processes that stand still for longer than their leases."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.node import CampaignNode
from tests.campaigns.frame.scenario import Scenario

_SOURCE = Path(__file__).parent / "frame" / "clock.c"
_OFFSET = "clock.offset"
"""File in the node's folder that says by how many seconds its clocks are off."""

_JUMPS = {"an hour ahead": 3600, "an hour back": -3600, "four days ahead": 345600, "four days back": -345600}
_PARTS = ("receive child", "dispatch", "analysis", "analysis child", "delivery", "broker")


def scenarios() -> tuple[Scenario, ...]:
    """Return all that can be caused here."""
    library = _library()
    jumps = () if library is None else _jumps(library)
    return (*jumps, *(_stopped(part) for part in _PARTS))


@functools.cache
def _library() -> Path | None:
    """Compile what is preloaded; None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    made = Path(tempfile.mkdtemp(prefix="hilum-clock-")) / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(made), str(_SOURCE)], check=True)
    return made


def _jumps(library: Path) -> tuple[Scenario, ...]:
    """Return the scenarios of clocks that are off for a while, and then right again."""
    # The offset's path is relative to the node's folder, where its processes run.
    environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": _OFFSET}

    def jump(name: str, seconds: int) -> Scenario:
        @contextlib.contextmanager
        def fault(node: CampaignNode, _archive: Archive) -> Iterator[None]:
            _set(node.folder, seconds)
            try:
                yield
            finally:
                _set(node.folder, 0)

        return Scenario(f"clock {name}", fault, _ground, hold_s=20, environment=environment)

    return tuple(jump(name, seconds) for name, seconds in _JUMPS.items())


@contextlib.contextmanager
def _ground(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _OFFSET).write_bytes(bytes(8))
    yield


def _set(folder: Path, seconds: int) -> None:
    """Write in place: the processes have mapped the file."""
    descriptor = os.open(folder / _OFFSET, os.O_WRONLY)
    try:
        os.pwrite(descriptor, struct.pack("=q", seconds), 0)
    finally:
        os.close(descriptor)


def _stopped(part: str) -> Scenario:
    """Return the scenario of a process that stands still for three leases."""

    def fault(node: CampaignNode, _archive: Archive) -> AbstractContextManager[None]:
        return _standing(node, part)

    return Scenario(f"{part} stands still", fault, hold_s=24)


@contextlib.contextmanager
def _standing(node: CampaignNode, part: str) -> Iterator[None]:
    process = node.signal(part, signal.SIGSTOP)
    try:
        yield
    finally:
        if process is not None and process.is_running():
            process.send_signal(signal.SIGCONT)
