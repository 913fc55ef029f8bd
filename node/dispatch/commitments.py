"""Records the reports about storage commitment that receivers and workers made durable. May be killed and run again."""

from __future__ import annotations

from functools import partial

import structlog

from node.db import commitments
from node.db.commitments import InstanceOutcome
from node.db.engine import Database
from node.dicom.status import FAILURE_REASONS, Disposition, disposition_of
from node.dispatch.backoff import next_attempt
from node.settings import DeliverySettings
from node.spool.commitments import CommitmentReport, CommitmentStore, FailedReference

log = structlog.get_logger()


def record_reports(store: CommitmentStore, database: Database, settings: DeliverySettings) -> int:
    """Record every report that has come; return how many. First committed, then removed, so it may be repeated."""
    count = 0
    for path, report in store.reports():
        if report is None:
            log.error("commitment.report_unreadable", file=path.name)
        else:
            _record(report, database, settings)
            count += 1
        store.discard(path)
    return count


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
