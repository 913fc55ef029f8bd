"""What is looked at to say how well the node is: rows, spool, disk, broker, certificates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from node import setbacks
from node.db import report
from node.db.engine import UNAVAILABLE, Database
from node.db.report import NodeStatus
from node.dispatch.queue import broker_alive
from node.errors import Misconfigured
from node.setbacks import Setback
from node.settings import Settings
from node.spool import refusals
from node.spool.refusals import Refused
from node.spool.store import Spool


@dataclass(frozen=True)
class Certificate:
    """One of this node's own certificates: for what it is, and when it ends; None: it cannot be read."""

    purpose: str
    path: Path
    ends_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The node at one moment.

    Attributes
    ----------
    rows
        None: the database cannot be asked, and `database_error` says why.
    free_bytes, free_inodes
        Of the spool's file system; None: there is no spool, or it is away. A file system without a limit of inodes has
        None of them.
    incoming, oldest_incoming_at
        Files that were answered with Success and are not recorded yet.
    """

    now: datetime
    rows: NodeStatus | None
    database_error: str = ""
    broker: bool = True
    free_bytes: int | None = None
    free_inodes: int | None = None
    incoming: int = 0
    oldest_incoming_at: datetime | None = None
    set_aside: tuple[Setback, ...] = ()
    refused: tuple[Refused, ...] = ()
    certificates: tuple[Certificate, ...] = ()


def look(settings: Settings, database: Database) -> Facts:
    """Look at everything; what cannot be looked at is a fact, too."""
    rows, error = _rows(database)
    spool = Spool(settings.home / "spool")
    free_bytes = free_inodes = oldest = None
    waiting = 0
    try:
        free_bytes, free_inodes = spool.free_bytes(), spool.free_inodes()
        waiting, oldest = spool.incoming.waiting()
    except OSError:
        pass
    return Facts(
        now=database.clock(),
        rows=rows,
        database_error=error,
        broker=broker_alive(settings),
        free_bytes=free_bytes,
        free_inodes=free_inodes,
        incoming=waiting,
        oldest_incoming_at=oldest,
        set_aside=tuple(setbacks.noted(setbacks.note_path(settings.home))),
        refused=tuple(refusals.read(spool.root)),
        certificates=tuple(own_certificates(settings)),
    )


def own_certificates(settings: Settings) -> Iterator[Certificate]:
    """Yield the certificates that this node shows to others."""
    named = [("receiver", settings.receiver.tls.certificate)]
    for name, destination in settings.destinations.items():
        named.append((f"destination {name}", destination.tls.certificate))
    for purpose, path in named:
        if path is not None:
            yield Certificate(purpose, path, _end_of(path))


def _rows(database: Database) -> tuple[NodeStatus | None, str]:
    try:
        database.require_current_schema()
        with database.read() as tx:
            return report.status(tx), ""
    except Misconfigured as error:
        return None, str(error)
    except UNAVAILABLE as error:
        return None, f"the database cannot be asked: {getattr(error, 'orig', None) or error}"


def _end_of(path: Path) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None
