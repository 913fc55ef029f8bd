"""Transactions of storage commitment on disk: what archives were asked, and what they reported (PS3.4 Annex J).

Files, because a receiver has no database: the worker writes each transaction down before the request is sent,
whoever gets the report checks it against the transaction and keeps it before it is answered, and the dispatcher records
it in the database and removes it. ::

    asked/<sha256 of the Transaction UID>.json        who is authorised to report
    reports/<time>-<random>.json                      durable, to be recorded

No name comes from the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import structlog

from node.errors import SpoolFull
from node.spool import durable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CommitmentTransaction:
    """One request for commitment, and who is authorised to report on it."""

    transaction_uid: str
    ae_title: str
    """Calling AE Title of the archive's report."""
    networks: tuple[str, ...]
    """Networks (CIDR) that the report may come from; empty: any that may open an association."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance of a report (PS3.3 section C.14)."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class FailedReference:
    """One instance that the archive does not commit itself to, with its Failure Reason (0008,1197)."""

    sop_class_uid: str
    sop_instance_uid: str
    reason: int | None
    """None: not given."""


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What one N-EVENT-REPORT says (PS3.4 Table J.3-2)."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[FailedReference, ...]


class CommitmentStore:
    """The two folders under `root`, which `create` has made.

    Parameters
    ----------
    new_path
        Returns a path for an unfinished file on the same file system.
    """

    def __init__(self, root: Path, new_path: Callable[[], Path]) -> None:
        self._transactions, self._reports, self._new_path = root / "asked", root / "reports", new_path

    @staticmethod
    def create(root: Path) -> None:
        """Make the folders where they do not exist."""
        for folder in (root, root / "asked", root / "reports"):
            durable.make_directory(folder)

    def record(self, transaction: CommitmentTransaction) -> None:
        """Write a transaction down durably, before the archive is asked.

        Raises
        ------
        SpoolFull
            It cannot be written.
        """
        self._write(self._path(transaction.transaction_uid), asdict(transaction))

    def find(self, transaction_uid: str) -> CommitmentTransaction | None:
        """Look up a transaction; None where there is none, or none that can be read."""
        try:
            values = json.loads(self._path(transaction_uid).read_text(encoding="utf-8"))
            found = CommitmentTransaction(values["transaction_uid"], values["ae_title"], tuple(values["networks"]))
            for network in found.networks:
                ip_network(network)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.error("commitment.note_unreadable", error=type(error).__name__)
            return None
        return found

    def remove_transactions_before(self, moment: datetime) -> None:
        """Remove the transactions that were begun before a moment; reports about them are unknown from then on."""
        for path in self._transactions.glob("*.json"):
            try:
                if path.stat().st_mtime < moment.timestamp():
                    path.unlink(missing_ok=True)
            except OSError as error:  # the next one is not touched by it
                log.warning("commitment.transaction_left", error=error.strerror)

    def add_report(self, report: CommitmentReport) -> None:
        """Keep a report; when this returns, it survives a power cut.

        Raises
        ------
        SpoolFull
            It cannot be written.
        """
        self._write(self._reports / f"{time.time_ns():020d}-{uuid.uuid4().hex}.json", asdict(report))

    def reports(self) -> list[Path]:
        """List the reports that wait to be recorded, oldest first."""
        return sorted(self._reports.glob("*.json"))

    def report(self, path: Path) -> CommitmentReport | None:
        """Read a report; None where what is in the file is none.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        try:
            return _read(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError):
            return None

    def discard(self, path: Path) -> None:
        """Remove a report that was recorded; gone already is no error."""
        path.unlink(missing_ok=True)

    def _path(self, transaction_uid: str) -> Path:
        return self._transactions / f"{hashlib.sha256(transaction_uid.encode('utf-8', 'replace')).hexdigest()}.json"

    def _write(self, path: Path, values: object) -> None:
        try:
            durable.write_file(path, json.dumps(values).encode(), temporary=self._new_path())
        except OSError as error:
            raise SpoolFull(f"cannot write {path.parent.name}: {os.strerror(error.errno or 0)}") from error


def _read(values: dict[str, list[dict[str, str]]]) -> CommitmentReport:
    return CommitmentReport(
        transaction_uid=str(values["transaction_uid"]),
        committed=tuple(Reference(r["sop_class_uid"], r["sop_instance_uid"]) for r in values["committed"]),
        failed=tuple(
            FailedReference(r["sop_class_uid"], r["sop_instance_uid"], _reason(r.get("reason")))
            for r in values["failed"]
        ),
    )


def _reason(value: object) -> int | None:
    return value if isinstance(value, int) else None
