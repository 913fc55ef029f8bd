"""Clocks that jump, and processes that stand still for longer than their leases."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.node import CampaignNode
from tests.campaigns.frame.scenario import Scenario
from tests.support.peers.databases import redis_server

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
_TIME = "clock.txt"
"""File in the node's folder that says by how much its clocks are off."""


def scenarios() -> tuple[Scenario, ...]:
    """Return all that can be caused here."""
    jumps = () if LIBRARY is None else tuple(_jump(name, by) for name, by in _JUMPS.items())
    return (*jumps, *(_stopped(part) for part in _PARTS))


_ENVIRONMENT = {
    "LD_PRELOAD": str(LIBRARY),
    "FAKETIME_TIMESTAMP_FILE": _TIME,  # relative to the node's folder, where its processes run
    "FAKETIME_CACHE_DURATION": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}
_JUMPS = {"an hour ahead": "+3600", "an hour back": "-3600", "four days ahead": "+345600", "four days back": "-345600"}
_PARTS = ("receive child", "dispatch", "analysis", "analysis child", "delivery", "broker")


@contextlib.contextmanager
def _ground(folder: Path) -> Iterator[dict[str, str]]:
    """Write the file that says the time, and run a broker outside: jemalloc in Redis and libfaketime clash."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _TIME).write_text("+0s")
    with redis_server(folder / "redis") as url:
        yield {"broker_url": url}


def _jump(name: str, by: str) -> Scenario:
    """Return the scenario of a clock that is off by so many seconds for a while, and then right again."""

    @contextlib.contextmanager
    def fault(node: CampaignNode, _archive: Archive) -> Iterator[None]:
        clock = node.folder / _TIME
        clock.write_text(f"{by}s")
        try:
            yield
        finally:
            clock.write_text("+0s")

    return Scenario(f"clock {name}", fault, _ground, hold_s=20, environment=_ENVIRONMENT)


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
