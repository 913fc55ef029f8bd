"""A receiver under test: its settings, and what it has taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from node.settings import Settings
from node.spool.incoming import IncomingFolder
from node.spool.store import Spool
from tests.support.peers import servers
from tests.support.waiting import wait_for


def settings_with(tmp_path: Path, *, spool: dict[str, Any] | None = None, **receiver: Any) -> Settings:
    """Return settings of a receiver of one process, on a free port, in a folder of the test."""
    return Settings(
        home=tmp_path / "home",
        receiver={"port": 0, "processes": 1, **receiver},
        spool={"minimum_free_bytes": 0, **(spool or {})},
    )


def arrivals(settings: Settings) -> list[IncomingFolder]:
    """List what has arrived."""
    return list(Spool(settings.home / "spool").incoming.arrivals())


def closed_arrivals(settings: Settings) -> list[IncomingFolder]:
    """Wait until every association that left something is over."""

    def found() -> list[IncomingFolder]:
        folders = arrivals(settings)
        return folders if folders and all(f.outcome for f in folders) else []

    return wait_for(found, what="closed arrivals")  # type: ignore[no-any-return]


def unfinished(settings: Settings) -> list[Path]:
    """List the files that are being received."""
    return list((settings.home / "spool" / "tmp").glob("*/*.part"))


@contextmanager
def serving(settings: Settings) -> Iterator[int]:
    """Run the receiver in this process, and yield its port."""
    with servers.hilum(settings) as port:
        yield port
