"""Rows of a node under test, as intake, workers and delivery would have made them."""

from __future__ import annotations

from dataclasses import replace

from pydicom.uid import UID

from node.db import jobs, processes, report, studies
from node.db.jobs import NewResult, Publication
from node.db.states import InstanceState, JobState
from node.db.studies.received import ReceivedInstance
from node.reasons import Reason
from node.spool.incoming import AssociationInfo, AssociationOutcome
from tests.support.data.radiographs import radiograph, write
from tests.support.peers.pacs import SR
from tests.support.stand_ins import NOW, at, later

DECISION = studies.RoutingDecision("default", "chest", "routine", None, ["pacs", "vna"])
RESULT = NewResult("SR", "ohif", "1.2.3", "2.25.1", "2.25.2", "d" * 64, 10)
PUBLICATION = Publication(
    results=(RESULT,),
    profiles={"pacs": "ohif", "vna": "ohif"},
    configuration_digest="c" * 64,
    bundle_digests={},
    timings={"infer": 1.0},
    summary={},
)


def arrive(tx, number=1, *, study="1.2.3", digest=None, state=InstanceState.ACCEPTED, sop=None, outcome="released"):
    """Record an image, and the association that it came over."""
    info = AssociationInfo(f"a{number}", "ROUTER", "HILUM", "127.0.0.1", NOW)
    studies.record_association(tx, info, AssociationOutcome(outcome) if outcome else None)
    tx.now = later(number)
    return studies.record_instance(
        tx,
        ReceivedInstance(
            arrival=f"a{number}/000001",
            association_id=f"a{number}",
            received_at=later(number),
            digest=digest or f"{number:064d}",
            size_bytes=100,
            state=state,
            reason=Reason.LATERAL_VIEW if state is InstanceState.DECLINED else None,
            study_instance_uid=study,
            sop_instance_uid=sop or f"1.2.3.{number}",
            sop_class_uid="1.2",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
        ),
    )


def queued_job(database, number=1, *, decision=DECISION, study=None) -> str:
    """Return the job of a study with one image."""
    with database.write() as tx:
        arrive(tx, number, study=study or f"1.2.{number}")
        (found,) = studies.open_studies(tx)
        return studies.complete(tx, found.id, reason="released", decision=decision)


def claimed_job(database, job_id, *, now=NOW, lease_s=60.0):
    """Claim a job."""
    with at(database, now).write() as tx:
        return jobs.claim(tx, job_id, lease_s=lease_s)


def publish(database, claimed, *, now=NOW, retry_for_s=100.0, **changes):
    """Publish what a claimed job has come to: `PUBLICATION`, with changes."""
    with at(database, now).write() as tx:
        jobs.publish(tx, claimed, replace(PUBLICATION, **changes), retry_for_s=retry_for_s)


def state_of(database, job_id) -> JobState:
    """Return the state of a job."""
    with database.read() as tx:
        return report.job(tx, job_id).state


def published(runtime, results=1, profiles=None) -> str:
    """Return a job whose results lie in the runtime's folder and wait for their delivery."""
    job_id = queued_job(runtime.database)
    rows = []
    for number in range(results):
        path = runtime.settings.home / "sr.dcm"
        write(path, radiograph(SOPClassUID=UID(SR), SOPInstanceUID=UID(f"2.25.{number + 1}"), PixelData=None))
        digest, _ = runtime.spool.store_result(path.read_bytes())
        rows.append(NewResult("SR", "ohif", SR, f"2.25.{number + 1}", "2.25.9", digest, 1))
    claimed = claimed_job(runtime.database, job_id)
    publish(runtime.database, claimed, retry_for_s=3600, results=rows, profiles=profiles or {"pacs": "ohif"})
    return job_id


def lines(runtime, job_id):
    """Return the results of a job, and its state."""
    with runtime.database.read() as tx:
        return report.result_lines(tx, job_id), report.job(tx, job_id).state


def reclaim(tx, *, maximum_attempts=3, lease_s=60.0):
    """Return the jobs of silent workers to the queue; their ids."""
    silent = processes.silent(tx)
    return [j for j in silent if processes.reclaim(tx, j, maximum_attempts=maximum_attempts, lease_s=lease_s)]


def reopen_failed(tx) -> int:
    """Open the studies again that the node failed, as `rerun --failed` does; how many."""
    uids = report.answered_as_failed(tx)
    return len([studies.reopen(tx, uid) for uid in uids])
