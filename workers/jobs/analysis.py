"""One analysis job from claim to publication, without Celery: claimed by its row, kept alive by heartbeats."""

from __future__ import annotations

from functools import partial

import structlog

from node.db import jobs, studies
from node.db.jobs import ClaimedJob, NewResult, Publication, WithheldResult
from node.db.states import InstanceState, JobState
from node.db.studies import StoredInstance
from node.delivery.profiles import OHIF, Profile
from node.errors import BrokerUnavailable, StaleClaim, place_of
from node.reasons import Reason
from workers.jobs.heartbeat import beating
from workers.jobs.runtime import Runtime
from workers.pipelines import protocol
from workers.pipelines.run import Analysis, Asked, Withheld, run
from workers.pipelines.study import Study, StudyImage, read_image
from workers.results.request import Predecessor

log = structlog.get_logger()

RETRY_DELAY_S = 5.0
"""Pause before the second attempt at a job; it grows with each attempt."""


def analyse_job(runtime: Runtime, job_id: str) -> bool:
    """Run one job; return False when there was nothing to claim. May be called any number of times."""
    settings = runtime.settings.analysis
    with runtime.database.write() as tx:
        claimed = jobs.claim(tx, job_id, lease_s=settings.lease_s)
    if claimed is None:
        log.debug("job.not_claimed")
        return False
    log.info("job.started", attempt=claimed.attempts, answer_only=claimed.report_only)
    try:
        with beating(partial(_heartbeat, runtime, claimed), lease_s=settings.lease_s):
            analysis = _run(runtime, claimed)
        _publish(runtime, claimed, analysis)
    except StaleClaim:
        log.warning("job.lost", why="the lease ran out and the job was given to another worker")
        return True
    except Exception as error:  # the task body: whatever went wrong is recorded and the job goes back
        _give_back(runtime, claimed, error)
        return True
    try:
        for destination in claimed.destinations:
            runtime.sender.deliver(claimed.id, destination, priority=claimed.priority)
    except BrokerUnavailable:
        log.info("delivery.left_to_dispatcher")
    return True


def _heartbeat(runtime: Runtime, claimed: ClaimedJob) -> None:
    with runtime.database.write() as tx:
        jobs.heartbeat(tx, claimed, lease_s=runtime.settings.analysis.lease_s)


def _run(runtime: Runtime, claimed: ClaimedJob) -> Analysis:
    with runtime.database.read() as tx:
        instances = studies.instances_of(tx, claimed.study_id, revision=claimed.revision)
        before = jobs.predecessors(tx, study_id=claimed.study_id, revision=claimed.revision)
    used = {profile.name: profile for profile in _profiles(runtime, claimed).values()} or {OHIF.name: OHIF}
    profiles = [used[name] for name in sorted(used)]
    asked = Asked(
        created_at=claimed.created_at,
        profiles=profiles,
        bundles=claimed.bundles,
        revision=claimed.revision,
        predecessors={
            profile.name: [
                Predecessor(p.sop_class_uid, p.sop_instance_uid, p.series_instance_uid)
                for p in before
                if p.profile == profile.name
            ]
            for profile in profiles
        },
        report_only=claimed.report_only,
        urgent=claimed.priority == jobs.STAT,
    )
    study = Study(claimed.study_instance_uid, tuple(_image(runtime, instance) for instance in instances))
    pipeline = protocol.named(claimed.pipeline)
    analysis = run(pipeline, runtime.networks, study, asked, kept=runtime.spool.findings)
    if analysis.undecodable:
        ids = {instance.sop_instance_uid: instance.id for instance in instances}
        with runtime.database.write() as tx:
            for item in analysis.undecodable:
                studies.quarantine_pixels(tx, ids[item.image.sop_instance_uid], detail=item.detail)
    return analysis


def _image(runtime: Runtime, instance: StoredInstance) -> StudyImage:
    """Read the header of a recorded instance, once for the whole job."""
    return read_image(
        runtime.spool.received_path(instance.digest),
        digest=instance.digest,
        sop_instance_uid=instance.sop_instance_uid,
        declined=None if instance.state is InstanceState.ACCEPTED else instance.reason,
        detail=instance.detail,
    )


def _profiles(runtime: Runtime, claimed: ClaimedJob) -> dict[str, Profile]:
    """Return the object profile of each destination; one that is no longer configured gets the default."""
    configured, known = runtime.settings.destinations, runtime.settings.object_profiles
    return {name: known[configured[name].profile] if name in configured else OHIF for name in claimed.destinations}


def _publish(runtime: Runtime, claimed: ClaimedJob, analysis: Analysis) -> None:
    withheld = [_quarantine_result(runtime, item) for item in analysis.withheld]
    stored = []
    for profile, result in analysis.results:
        sha256, _ = runtime.spool.store_result(result.content)
        stored.append(
            NewResult(
                kind=result.kind,
                profile=profile.name,
                sop_class_uid=result.sop_class_uid,
                sop_instance_uid=result.sop_instance_uid,
                series_instance_uid=result.series_instance_uid,
                sha256=sha256,
                size_bytes=len(result.content),
            )
        )
    publication = Publication(
        results=stored,
        profiles={name: profile.name for name, profile in _profiles(runtime, claimed).items()},
        withheld=withheld,
        left_out=analysis.excluded,
        configuration_digest=analysis.request.configuration_digest,
        bundle_digests={bundle.name: bundle.digest for bundle in analysis.request.bundles},
        timings=analysis.timings_s,
        summary=analysis.summary,
    )
    with runtime.database.write() as tx:
        jobs.publish(tx, claimed, publication, retry_for_s=runtime.settings.delivery.retry_for_s)
    if analysis.excluded:
        log.error("study.different_patients", images_left_out=len(analysis.excluded))
    log.info("job.analysed", results=len(stored), **{k: round(v, 3) for k, v in analysis.timings_s.items()})


def _quarantine_result(runtime: Runtime, item: Withheld) -> WithheldResult:
    """Keep a result that failed its preflight where the operator can look at it, and say so loudly."""
    result = item.result
    if result is None:
        log.error("result.withheld", profile=item.profile.name, faults=list(item.faults))
        return WithheldResult(None, item.profile.name, None, None, item.faults)
    sha256 = runtime.spool.quarantine_result(result.content, Reason.RESULT_WITHHELD, "; ".join(item.faults))
    log.error("result.withheld", kind=result.kind, profile=item.profile.name, sha256=sha256, faults=list(item.faults))
    return WithheldResult(result.kind, item.profile.name, result.sop_instance_uid, sha256, item.faults)


def _give_back(runtime: Runtime, claimed: ClaimedJob, error: Exception) -> None:
    # The text of an unknown exception may quote an attribute of the patient; only its type and place are kept.
    place = place_of(error)
    log.error("job.attempt_failed", error=place, attempt=claimed.attempts)
    try:
        with runtime.database.write() as tx:
            state = jobs.retry_or_answer(
                tx,
                claimed,
                error=place,
                maximum_attempts=runtime.settings.analysis.maximum_attempts,
                delay_s=RETRY_DELAY_S * claimed.attempts,
            )
    except StaleClaim:
        log.warning("job.lost", why="the lease ran out and the job was given to another worker")
        return
    if state is JobState.FAILED:
        log.critical("job.failed", error=place, why="the study goes unanswered; `hilum rerun --dead` tries again")
