"""Records the reports about storage commitment that receivers and workers made durable. May be killed and run again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import structlog

from node.db import commitments
from node.db.commitments import InstanceOutcome
from node.db.engine import UNAVAILABLE, Database
from node.dicom.status import FAILURE_REASONS, Disposition, disposition_of
from node.dispatch.backoff import next_attempt
from node.setbacks import Setbacks
from node.settings import DeliverySettings
from node.spool.commitments import CommitmentReport, CommitmentStore, FailedReference

log = structlog.get_logger()

_REPORT: Final = "report/"


def record_reports(
    store: CommitmentStore, database: Database, settings: DeliverySettings, *, setbacks: Setbacks | None = None
) -> int:
    """Record every report that has come; return how many. First committed, then removed, so it may be repeated.

    Parameters
    ----------
    setbacks
        What failed of them before; None: nothing did.
    """
    setbacks, paths = setbacks or Setbacks(), store.reports()
    setbacks.keep_only(_REPORT, {_REPORT + path.name for path in paths})
    recorded: list[Path] = []

    def take(path: Path) -> None:
        if _take(store, path, database, settings):
            recorded.append(path)

    for path in paths:
        setbacks.attempt(_REPORT + path.name, partial(take, path), passing=UNAVAILABLE)
    return len(recorded)


def _take(store: CommitmentStore, path: Path, database: Database, settings: DeliverySettings) -> bool:
    """Record one report and remove it; return False for a file that holds none."""
    report = store.report(path)
    if report is None:
        log.error("commitment.report_unreadable", file=path.name)
    else:
        _record(report, database, settings)
    store.discard(path)
    return report is not None


def _record(report: CommitmentReport, database: Database, settings: DeliverySettings) -> None:
    outcomes = _outcomes(report)
    with database.write() as tx:
        retry_at = partial(next_attempt, settings, now=tx.now)
        recorded = commitments.record(tx, report.transaction_uid, outcomes, retry_at=retry_at)
    log.info(
        "commitment.recorded" if recorded.job_id else "commitment.unknown",
        job_id=recorded.job_id,
        repeated=recorded.repeated,
        committed=recorded.committed,
        failed=recorded.failed,
        passed_over=recorded.passed_over,
    )


def _outcomes(report: CommitmentReport) -> dict[str, InstanceOutcome]:
    """Say what the report means for each instance; one that it names twice has failed where it failed once."""
    committed = {
        reference.sop_instance_uid: InstanceOutcome(reference.sop_class_uid, Disposition.ACCEPTED, None, "")
        for reference in report.committed
    }
    return committed | {reference.sop_instance_uid: _failure(reference) for reference in report.failed}


def _failure(reference: FailedReference) -> InstanceOutcome:
    if reference.reason is None:
        return InstanceOutcome(reference.sop_class_uid, Disposition.RETRY, None, "without reason")
    disposition, meaning = disposition_of(reference.reason, FAILURE_REASONS)
    if disposition is Disposition.ACCEPTED:
        disposition = Disposition.RETRY  # no reason is a commitment: whatever a table would accept, the archive has not
    return InstanceOutcome(reference.sop_class_uid, disposition, reference.reason, f"{reference.reason:#06x} {meaning}")
