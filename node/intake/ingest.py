"""Intake: durable files of the spool become recorded instances. May be killed anywhere and run again.

Order for each file: linked into its place by content, recorded and committed, then removed from `incoming`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from node.clock import Clock
from node.db import studies
from node.db.engine import Database
from node.db.received import ReceivedInstance
from node.db.states import InstanceState
from node.dicom.header import Header
from node.errors import Quarantined
from node.intake import routing
from node.intake.eligibility import Eligibility, Verdict, judge
from node.intake.reading import examine_header
from node.reasons import Reason
from node.settings import Rule
from node.spool.incoming import AssociationOutcome, IncomingFolder
from node.spool.store import KeptObject, Spool

log = structlog.get_logger()

BATCH = 32
"""Files recorded in one transaction."""

_STATES = {
    Eligibility.ACCEPT: InstanceState.ACCEPTED,
    Eligibility.DECLINE: InstanceState.DECLINED,
    Eligibility.IGNORE: InstanceState.IGNORED,
}


def ingest(spool: Spool, database: Database, *, rules: Sequence[Rule], maximum_bytes: int) -> int:
    """Record everything that has arrived; return the number of files."""
    count = 0
    for folder in spool.incoming.arrivals():
        files = list(folder.files)
        for start in range(0, max(1, len(files)), BATCH):
            # How the association ended belongs to its last file.
            outcome = folder.outcome if start + BATCH >= len(files) else None
            batch = files[start : start + BATCH]
            count += _ingest_batch(spool, database, folder, batch, outcome, rules=rules, maximum_bytes=maximum_bytes)
        if folder.outcome is not None:
            folder.remove()
    return count


def _ingest_batch(
    spool: Spool,
    database: Database,
    folder: IncomingFolder,
    files: list[Path],
    outcome: AssociationOutcome | None,
    *,
    rules: Sequence[Rule],
    maximum_bytes: int,
) -> int:
    instances = [
        examine(spool, folder, file, rules=rules, maximum_bytes=maximum_bytes, clock=database.clock) for file in files
    ]
    if not instances and outcome is None:
        return 0
    with database.write() as tx:
        studies.record_association(tx, folder.info, outcome)
        recorded = [studies.record_instance(tx, instance) for instance in instances]
    for file, instance, state in zip(files, instances, recorded, strict=True):
        log.info(
            f"instance.{state or 'repeated'}",
            association_id=folder.info.association_id,
            digest=instance.digest[:12],
            reason=instance.reason,
        )
        spool.discard(file)
    return len(files)


def examine(
    spool: Spool, folder: IncomingFolder, file: Path, *, rules: Sequence[Rule], maximum_bytes: int, clock: Clock
) -> ReceivedInstance:
    """Put one file in its place and say what it is; nothing is recorded yet.

    What it is for is judged by the pipeline of the first rule that it meets.
    """
    # When the receiver stored it; a file from the future, by a clock that was set back, counts as of now.
    received_at = min(datetime.fromtimestamp(file.stat().st_mtime, UTC), clock())
    try:
        header = examine_header(file, maximum_bytes=maximum_bytes)
    except Quarantined as error:
        kept = spool.quarantine(file, error.reason, error.detail)
        return ReceivedInstance(
            arrival=f"{folder.info.association_id}/{file.stem}",
            association_id=folder.info.association_id,
            received_at=received_at,
            digest=kept.sha256,
            size_bytes=kept.size,
            state=InstanceState.QUARANTINED,
            reason=Reason(error.reason),
            detail=error.detail,
            study_instance_uid=error.study_instance_uid,
            sop_instance_uid=error.sop_instance_uid,
        )
    pipeline = routing.pipeline_for(routing.StudyFacts.of(header, folder.info.calling_ae_title), rules)
    verdict = judge(header, pipeline)
    return _judged(folder, file, header, spool.keep(file), verdict=verdict, received_at=received_at)


def _judged(
    folder: IncomingFolder, file: Path, header: Header, kept: KeptObject, *, verdict: Verdict, received_at: datetime
) -> ReceivedInstance:
    return ReceivedInstance(
        arrival=f"{folder.info.association_id}/{file.stem}",
        association_id=folder.info.association_id,
        received_at=received_at,
        digest=kept.sha256,
        size_bytes=kept.size,
        state=_STATES[verdict.eligibility],
        reason=verdict.reason,
        detail=verdict.detail,
        study_instance_uid=header.study_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
    )
