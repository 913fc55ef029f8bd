"""The one checker of all campaigns: what was promised for everything that was answered with Success."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from sqlalchemy import func, select

from node.db import audit
from node.db.engine import Transaction
from node.db.states import DeliveryState, InstanceState, JobState, StudyState
from node.db.tables import DeliveryRow, InstanceRow, JobRow, ResultRow, StudyRow
from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.node import CampaignNode
from tests.campaigns.frame.outcome import Outcome
from tests.campaigns.frame.router import SentInstance, sha256_of_dataset

SETTLED_S = 120.0
"""Time after the last fault within which everything has ended."""

FINAL_JOBS = (JobState.DONE, JobState.UNDELIVERED, JobState.FAILED)
FINAL_DELIVERIES = (DeliveryState.ACCEPTED, DeliveryState.DEAD)
RECORDED = (InstanceState.ACCEPTED, InstanceState.DECLINED, InstanceState.QUARANTINED)


def wait_until_settled(node: CampaignNode, taken: Sequence[SentInstance], *, timeout_s: float = SETTLED_S) -> float:
    """Wait until everything that was taken has ended, at most `timeout_s`; return the seconds that it took."""
    begun = time.monotonic()
    while time.monotonic() - begun < timeout_s:
        if _settled(node, taken):
            break
        time.sleep(0.5)
    return time.monotonic() - begun


def _settled(node: CampaignNode, taken: Sequence[SentInstance]) -> bool:
    with node.database() as database, database.read() as tx:
        studies = tx.scalar(select(func.count()).select_from(StudyRow)) or 0
        return studies >= len({one.study_instance_uid for one in taken}) and not unfinished(tx)


def unfinished(tx: Transaction) -> list[str]:
    """Return what is in no final state."""
    studies = tx.scalars(select(StudyRow.id).where(StudyRow.state != StudyState.COMPLETE))
    jobs = tx.execute(select(JobRow.id, JobRow.state).where(JobRow.state.not_in(FINAL_JOBS)))
    deliveries = tx.execute(select(DeliveryRow.id, DeliveryRow.state).where(DeliveryRow.state.not_in(FINAL_DELIVERIES)))
    return [
        *(f"study {id_} is open" for id_ in studies),
        *(f"job {id_} is {state}" for id_, state in jobs),
        *(f"delivery {id_} is {state}" for id_, state in deliveries),
    ]


def check(
    node: CampaignNode,
    taken: Sequence[SentInstance],
    archive: Archive,
    outcome: Outcome,
    *,
    allowed_in_log: Collection[str] = (),
) -> None:
    """Ask of a node that has come to rest whether it kept its promises; what did not hold goes into `outcome`.

    Call it after the node was stopped, so that nothing is on its way.
    """
    outcome.instances = len(taken)
    outcome.studies = len({one.study_instance_uid for one in taken})
    with node.database() as database, database.read() as tx:
        stuck = unfinished(tx)
        outcome.stuck += len(stuck)
        outcome.troubles += stuck
        _instances(tx, taken, outcome)
        _answers(tx, taken, outcome)
        _results(tx, node, archive, outcome)
        _files(tx, node, outcome)
        problem = audit.verify(tx).problem
    if problem is not None:
        outcome.troubles.append(f"audit: {problem}")
    _log(node, outcome, allowed_in_log)


def _instances(tx: Transaction, taken: Sequence[SentInstance], outcome: Outcome) -> None:
    """Each instance is recorded once, with the bytes that were sent."""
    query = select(InstanceRow.sop_instance_uid, InstanceRow.digest).where(InstanceRow.state.in_(RECORDED))
    recorded = Counter((uid, digest) for uid, digest in tx.execute(query))
    for one in set(taken):
        count = recorded[one.sop_instance_uid, one.digest]
        if count == 0:
            outcome.lost += 1
            outcome.troubles.append(f"lost: {one.sop_instance_uid} was answered with Success and is not recorded")
        elif count > 1:
            outcome.doubled += 1
            outcome.troubles.append(f"doubled: {one.sop_instance_uid} is recorded {count} times")


def _answers(tx: Transaction, taken: Sequence[SentInstance], outcome: Outcome) -> None:
    """Each study has ended with an answer that every destination accepted, in one revision."""
    newest = select(func.max(JobRow.revision)).where(JobRow.study_id == StudyRow.id).correlate(StudyRow)
    query = (
        select(StudyRow.study_instance_uid, JobRow)
        .join(JobRow, JobRow.study_id == StudyRow.id)
        .where(JobRow.revision == newest.scalar_subquery())
    )
    jobs = dict(tx.execute(query).all())
    for uid in {one.study_instance_uid for one in taken}:
        job = jobs.get(uid)
        if job is None or job.state is not JobState.DONE:
            outcome.lost += 1
            outcome.troubles.append(f"unanswered: study {uid}, {job.state if job else 'no job'}")
        elif job.report_only is not None:
            outcome.lost += 1
            outcome.troubles.append(f"answered without analysis: study {uid}, {job.report_only}: {job.last_error}")
        elif not tx.scalar(select(func.count()).where(ResultRow.job_id == job.id, ResultRow.kind == "SR")):
            outcome.lost += 1
            outcome.troubles.append(f"unanswered: study {uid} has no SR")


def _results(tx: Transaction, node: CampaignNode, archive: Archive, outcome: Outcome) -> None:
    """The archive holds what is stored, byte for byte, and nothing else."""
    rows = tx.execute(select(ResultRow.sop_instance_uid, ResultRow.sha256)).all()
    ours = dict(rows)
    accepted = set(
        tx.scalars(
            select(ResultRow.sop_instance_uid)
            .join(DeliveryRow, DeliveryRow.result_id == ResultRow.id)
            .where(DeliveryRow.state == DeliveryState.ACCEPTED)
        )
    )
    for uid, sha256 in ours.items():
        path = node.spool.result_path(sha256)
        wanted = {sha256_of_dataset(path)} if path.exists() else set()
        found = archive.digests.get(uid, set())
        if uid in accepted and found != wanted:
            outcome.doubled += len(found) > 1
            outcome.lost += not found
            outcome.troubles.append(f"result {uid}: the archive has {len(found)} contents, not the stored one alone")
    for uid in archive.digests.keys() - ours.keys():
        outcome.doubled += 1
        outcome.troubles.append(f"doubled: the archive has {uid}, which is no result of this node")


def _files(tx: Transaction, node: CampaignNode, outcome: Outcome) -> None:
    """No file without a row and no row without its file."""
    spool = node.home / "spool"
    rows = tx.execute(select(InstanceRow.digest, InstanceRow.state)).all()
    known = {digest for digest, _ in rows}
    kept = {digest for digest, state in rows if state in RECORDED}
    results = set(tx.scalars(select(ResultRow.sha256)))
    held = {path.stem for path in (spool / "objects").glob("*/*.dcm")} | {
        path.stem for path in (spool / "quarantine").glob("*.dcm")
    }
    stored = {path.stem for path in (spool / "results").glob("*/*.dcm")}
    orphans = [
        *(f"object without a row: {name}" for name in sorted(held - known)),
        *(f"row without its object: {name}" for name in sorted(kept - held)),
        *(f"result without a row: {name}" for name in sorted(stored - results)),
        *(f"row without its result: {name}" for name in sorted(results - stored)),
        *(f"findings without a row: {path.name}" for path in _findings_without(spool, known)),
        *(f"left in incoming: {path.name}" for path in sorted((spool / "incoming").iterdir())),
        *(f"left in tmp: {path.name}" for path in sorted((spool / "tmp").rglob("*.part"))),
    ]
    outcome.orphans += len(orphans)
    outcome.troubles += orphans


def _findings_without(spool: Path, digests: Collection[str]) -> list[Path]:
    return [path for path in sorted((spool / "findings").glob("*/*")) if path.name.partition("-")[0] not in digests]


def _log(node: CampaignNode, outcome: Outcome, allowed: Collection[str]) -> None:
    """No traceback stands in any log."""
    lines = node.log_text().splitlines()
    for number, line in enumerate(lines):
        if "Traceback (most recent call last)" in line or "<traceback object" in line:
            words = _traceback(lines[number:])
            if not any(text in words for text in allowed):
                outcome.troubles.append(f"traceback in the log: {words}")


def _traceback(lines: Sequence[str]) -> str:
    """Return where a traceback that begins in the first line was raised, and its error."""
    if "\\n" in lines[0]:  # in one line, as JSON
        return lines[0][-1200:]
    of_it = [lines[0], *itertools.takewhile(lambda line: line.startswith(" "), lines[1:])]
    return " / ".join(line.strip() for line in (*of_it[-4:], *lines[len(of_it) : len(of_it) + 1]))
