"""Storage, memory and descriptors that run out, go away, turn read-only or slow."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import psutil

from tests.campaigns.frame import filesystems, tracing
from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.node import CampaignNode
from tests.campaigns.frame.scenario import Scenario

_Ground = Callable[[Path], AbstractContextManager[None]]


def scenarios() -> tuple[Scenario, ...]:
    """Return all that can be caused here."""
    return (*_LIMITS, *(_STORAGE if filesystems.may_mount() else ()), *(_SLOW if tracing.available() else ()))


def _ground(spool_mb: int = 0, home_mb: int = 0, inodes: int = 0) -> _Ground:
    """Return a ground with a file system for the home, and another for the spool in it, where a size is given."""

    @contextlib.contextmanager
    def mounted(folder: Path) -> Iterator[None]:
        with ExitStack() as stack:
            if home_mb:
                stack.enter_context(filesystems.small(folder / "home", megabytes=home_mb, inodes=inodes))
            if spool_mb:
                stack.enter_context(filesystems.small(folder / "home" / "spool", megabytes=spool_mb, inodes=inodes))
            yield

    return mounted


def _on(
    cause: Callable[[Path], AbstractContextManager[None]], part: str
) -> Callable[..., AbstractContextManager[None]]:
    return lambda node, _archive: cause(node.home / part)


def _limited(limit: int, parts: tuple[str, ...], room: int) -> Callable[..., AbstractContextManager[None]]:
    """Return a fault that leaves processes `room` more of a resource than they use."""

    @contextlib.contextmanager
    def fault(node: CampaignNode, _archive: Archive) -> Iterator[None]:
        limited: list[tuple[psutil.Process, tuple[int, int]]] = []
        for process in [one for part in parts for one in node.processes(part)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                before = process.rlimit(limit)
                used = process.memory_info().vms if limit == resource.RLIMIT_AS else process.num_fds()
                process.rlimit(limit, (used + room, before[1]))
                limited.append((process, before))
        try:
            yield
        finally:
            for process, before in limited:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.rlimit(limit, before)

    return fault


def _slow(node: CampaignNode, _archive: Archive) -> AbstractContextManager[None]:
    parts = ("receive child", "dispatch", "analysis child", "delivery")
    processes = [process for part in parts for process in node.processes(part)]
    return tracing.injected(processes, "fdatasync,fsync", "delay_enter=400000")


def _broken(node: CampaignNode, _archive: Archive) -> AbstractContextManager[None]:
    return tracing.injected(node.processes("receive child"), "fdatasync,fsync", "error=EIO")


_LIMITS = (
    Scenario("memory of the workers", _limited(resource.RLIMIT_AS, ("analysis child",), 4 << 20), hold_s=30),
    Scenario(
        "file descriptors",
        _limited(resource.RLIMIT_NOFILE, ("receive child", "dispatch", "analysis child", "delivery"), 1),
        hold_s=30,
    ),
)
_TIGHT = _ground(home_mb=48, spool_mb=64, inodes=4000)
"""A file system for the spool, and another for the rest of the home."""
_STORAGE = (
    Scenario("spool full", _on(filesystems.full, "spool"), _TIGHT, hold_s=60),
    Scenario("database full", _on(filesystems.full, "."), _TIGHT, hold_s=60),
    Scenario("inodes", _on(filesystems.out_of_inodes, "spool"), _TIGHT, hold_s=60),
    Scenario("spool read-only", _on(filesystems.read_only, "spool"), _TIGHT, hold_s=60),
    Scenario("spool away", _on(filesystems.away, "spool"), _TIGHT, hold_s=60),
    Scenario("objects away", _on(filesystems.away, "spool/objects"), _TIGHT, hold_s=60),
    Scenario("results away", _on(filesystems.away, "spool/results"), _TIGHT, hold_s=60),
    Scenario("home full", _on(filesystems.full, "."), _ground(home_mb=96), hold_s=60),
)
_SLOW = (
    Scenario("slow storage", _slow, hold_s=60),
    Scenario("storage that does not sync", _broken, hold_s=20),
)
