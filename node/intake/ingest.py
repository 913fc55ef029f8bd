"""Intake: durable files of the spool become recorded instances. May be killed anywhere and run again.

Order for each file: linked into its place by content, recorded and committed, then removed from `incoming`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from node.clock import Clock
from node.db import studies
from node.db.engine import UNAVAILABLE, Database
from node.db.states import InstanceState
from node.db.studies.received import ReceivedInstance
from node.dicom.header import Header
from node.dicom.part10 import identity_digest
from node.errors import Quarantined, place_of
from node.intake import openers, routing
from node.intake.eligibility import Eligibility, Verdict, judge
from node.intake.reading import examine_header
from node.reasons import Reason
from node.setbacks import Setbacks
from node.settings import Rule
from node.spool.incoming import AssociationOutcome, IncomingFolder
from node.spool.store import KeptObject, Spool

log = structlog.get_logger()

BATCH = 32
"""Files recorded in one transaction."""

_INCOMING: Final = "incoming/"

_STATES = {
    Eligibility.ACCEPT: InstanceState.ACCEPTED,
    Eligibility.DECLINE: InstanceState.DECLINED,
    Eligibility.IGNORE: InstanceState.IGNORED,
}


def ingest(
    spool: Spool, database: Database, *, rules: Sequence[Rule], maximum_bytes: int, setbacks: Setbacks | None = None
) -> int:
    """Record everything that has arrived; return the number of files.

    A folder, and a file, that fails hides none of the others: it is tried again after a pause that grows, and stays in
    `incoming` until it can be recorded.

    Parameters
    ----------
    setbacks
        What failed of them before; None: nothing did.

    Raises
    ------
    SpoolUnavailable
        The spool cannot be read or written.
    """
    spool.require_usable()
    taking = _Intake(spool, database, rules, maximum_bytes, setbacks or Setbacks())
    return taking.all()


@dataclass
class _Intake:
    """One round over everything that has arrived."""

    spool: Spool
    database: Database
    rules: Sequence[Rule]
    maximum_bytes: int
    setbacks: Setbacks
    count: int = 0
    names: set[str] = field(default_factory=set)

    def all(self) -> int:
        for path in self.spool.incoming.folders():
            name = f"{_INCOMING}{path.name}"
            self.names.add(name)
            self.setbacks.attempt(name, partial(self._folder, path), passing=UNAVAILABLE)
        self.setbacks.keep_only(_INCOMING, self.names)
        return self.count

    def _folder(self, path: Path) -> None:
        """Record what is in one folder; how the association ended is recorded with the last of its files."""
        folder = self.spool.incoming.look(path)
        if folder is None:
            return
        self.names.update(map(_name, folder.files))
        due = [file for file in folder.files if self.setbacks.is_due(_name(file))]
        is_whole = len(due) == len(folder.files)
        for start in range(0, max(1, len(due)), BATCH):
            batch = self._examined(folder, due[start : start + BATCH])
            is_whole = is_whole and len(batch) == len(due[start : start + BATCH])
            outcome = folder.outcome if is_whole and start + BATCH >= len(due) else None
            is_whole = self._record(folder, batch, outcome) and is_whole
        if folder.outcome is not None and is_whole:
            folder.remove()

    def _examined(self, folder: IncomingFolder, files: Sequence[Path]) -> list[tuple[Path, ReceivedInstance]]:
        """Return each file that could be read, with what it is."""
        found: list[tuple[Path, ReceivedInstance]] = []

        def examined(file: Path) -> None:
            instance = examine(
                self.spool,
                folder,
                file,
                rules=self.rules,
                maximum_bytes=self.maximum_bytes,
                clock=self.database.clock,
            )
            found.append((file, instance))

        for file in files:
            self.setbacks.attempt(_name(file), partial(examined, file))
        return found

    def _record(
        self,
        folder: IncomingFolder,
        batch: Sequence[tuple[Path, ReceivedInstance]],
        outcome: AssociationOutcome | None,
    ) -> bool:
        """Record files in one transaction; where that fails each in its own. Return whether all are recorded."""
        if not batch and outcome is None:
            return True
        try:
            self._commit(folder, batch, outcome)
        except UNAVAILABLE:
            raise
        except Exception as error:  # one of them cannot be recorded, and the others must not wait for it
            if len(batch) < 2:
                log.error("ingest.not_recorded", association_id=folder.info.association_id, error=place_of(error))
                for file, _ in batch:
                    self.setbacks.failed(_name(file), place_of(error))
                return False
            alone = [self._record(folder, [one], None) for one in batch]
            return all(alone) and self._record(folder, (), outcome)
        return True

    def _commit(
        self,
        folder: IncomingFolder,
        batch: Sequence[tuple[Path, ReceivedInstance]],
        outcome: AssociationOutcome | None,
    ) -> None:
        instances = openers.with_openers(
            self.database,
            self.spool,
            [instance for _, instance in batch],
            calling_ae_title=folder.info.calling_ae_title,
        )
        with self.database.write() as tx:
            studies.record_association(tx, folder.info, outcome)
            recorded = [studies.record_instance(tx, instance) for instance in instances]
        for (file, instance), state in zip(batch, recorded, strict=True):
            event = state or ("repaired" if instance.repaired else "repeated")
            say = log.warning if state is InstanceState.CONFLICT else log.info
            say(
                f"instance.{event}",
                association_id=folder.info.association_id,
                digest=instance.digest[:12],
                reason=instance.reason,
            )
            self.spool.discard(file)
            self.count += 1


def _name(file: Path) -> str:
    """Name a file for the list of what fails."""
    return f"{_INCOMING}{file.parent.name}/{file.name}"


def examine(
    spool: Spool, folder: IncomingFolder, file: Path, *, rules: Sequence[Rule], maximum_bytes: int, clock: Clock
) -> ReceivedInstance:
    """Put one file in its place and say what it is; nothing is recorded yet.

    What it is for is judged by the pipeline of the first rule that it meets.

    Raises
    ------
    OSError
        The file cannot be read, or its place not be written.
    """
    # When the receiver stored it; a file from the future, by a clock that was set back, counts as of now.
    received_at = min(datetime.fromtimestamp(file.stat().st_mtime, UTC), clock())
    # All of it is read before anything is mapped into memory, where a disk that fails would kill the process.
    named = identity_digest(file)
    try:
        header = examine_header(file, maximum_bytes=maximum_bytes)
    except Quarantined as error:
        kept = spool.quarantine(file, error.reason, error.detail, named=named)
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
            repaired=kept.repaired,
        )
    pipeline = routing.pipeline_for(routing.StudyFacts.of(header, folder.info.calling_ae_title), rules)
    verdict = judge(header, pipeline)
    return _judged(folder, file, header, spool.keep(file, named=named), verdict=verdict, received_at=received_at)


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
        repaired=kept.repaired,
    )
