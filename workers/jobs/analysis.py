"""One analysis job from claim to publication, without Celery: claimed by its row, kept alive by heartbeats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog

from node.db import belonging, jobs, studies
from node.db.engine import UNAVAILABLE
from node.db.jobs import ClaimedJob, NewResult, Publication, WithheldResult
from node.db.states import InstanceState, JobState
from node.db.studies import StoredInstance
from node.delivery.profiles import OHIF, Profile
from node.errors import BrokerUnavailable, BytesLost, MachineFault, SpoolUnavailable, StaleClaim, place_of
from node.reasons import LOST, Reason
from workers.jobs.heartbeat import beating
from workers.jobs.runtime import Runtime
from workers.pipelines import protocol
from workers.pipelines.faults import is_of_machine
from workers.pipelines.run import Analysis, Asked, Withheld, run
from workers.pipelines.study import Study, StudyImage, read_image
from workers.results.request import Predecessor

log = structlog.get_logger()

RETRY_DELAY_S: Final = 5.0
"""Pause before the second attempt at a job; it grows with each attempt, and doubles with each fault of the machine."""
LONGEST_DELAY_S: Final = 300.0
MAXIMUM_FAULTS: Final = 12
"""So often in a row may the machine fail under one job, though it seems well: then the job itself is what fails."""


def analyse_job(runtime: Runtime, job_id: str) -> bool:
    """Run one job; return False when there was nothing to claim. May be called any number of times.

    Nothing is claimed while the machine is unwell (`workers.jobs.machine`): the job stays queued, and is sent again.

    Raises
    ------
    BelongsElsewhere, SpoolUnavailable
        The images of the database's jobs are not here.
    """
    settings = runtime.settings.analysis
    if not runtime.machine.is_well():
        return False
    spool_id = runtime.spool.identity()
    with runtime.database.write() as tx:
        belonging.require(tx, spool_id)
        claimed = jobs.claim(tx, job_id, lease_s=settings.lease_s)
    if claimed is None:
        log.debug("job.not_claimed")
        return False
    log.info("job.started", attempt=claimed.attempts, answer_only=claimed.report_only)
    try:
        with beating(partial(_heartbeat, runtime, claimed), lease_s=settings.lease_s):
            analysis = analysis_of(runtime, claimed)
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


def analysis_of(runtime: Runtime, claimed: ClaimedJob) -> Analysis:
    """Compute what a job comes to, and note what was found of its images; nothing is published.

    Raises
    ------
    Exception
        Whatever an attempt fails with; `workers.pipelines.faults` tells whose fault it is.
    """
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
        opener=claimed.opener,
        urgent=claimed.priority == jobs.STAT,
        assumed_age_years=_assumed_age_years(runtime, claimed),
    )
    study = Study(claimed.study_instance_uid, _images(runtime, claimed, instances))
    pipeline = protocol.named(claimed.pipeline)
    analysis = run(pipeline, runtime.networks, study, asked, kept=runtime.spool.findings)
    for failed in analysis.failed:
        runtime.spool.read_received(failed.image.digest)  # the disk may have failed, where the image seems to
    if analysis.undecodable:
        ids = {instance.sop_instance_uid: instance.id for instance in instances}
        with runtime.database.write() as tx:
            for item in analysis.undecodable:
                studies.quarantine_pixels(tx, ids[item.image.sop_instance_uid], detail=item.detail)
    return analysis


def _assumed_age_years(runtime: Runtime, claimed: ClaimedJob) -> float | None:
    """Return what the rule of a job assumes where an image gives no age; nothing once it is no longer configured."""
    rules = {rule.name: rule for rule in runtime.settings.rules}
    return rules[claimed.rule].assume_age_years if claimed.rule in rules else None


def _images(runtime: Runtime, claimed: ClaimedJob, instances: Sequence[StoredInstance]) -> tuple[StudyImage, ...]:
    """Read the headers of recorded instances, once for the whole job; one whose bytes are lost costs no other.

    Raises
    ------
    SpoolUnavailable
        The spool cannot be read now.
    """
    images: list[StudyImage] = []
    noted: dict[int, BytesLost | None] = {}
    for instance in instances:
        declined = None if instance.state is InstanceState.ACCEPTED else instance.reason
        lost = None
        try:
            image = read_image(
                runtime.spool.received_path(instance.digest),
                digest=instance.digest,
                content=_content(runtime, claimed, instance),
                sop_instance_uid=instance.sop_instance_uid,
                declined=declined,
                detail=instance.detail if declined else "",
            )
        except BytesLost as error:
            lost = error
            image = _without_bytes(runtime, instance, declined, lost)
            log.error("object.lost", digest=instance.digest[:12], reason=lost.reason, why=lost.detail)
        images.append(image)
        if lost is not None or instance.reason in LOST:
            noted[instance.id] = lost
    if noted:
        with runtime.database.write() as tx:
            for instance_id, lost in noted.items():
                studies.note_copy(tx, instance_id, lost)
    return tuple(images)


def _content(runtime: Runtime, claimed: ClaimedJob, instance: StoredInstance) -> bytes:
    """Read an object; one that alone cannot be read, again and again, is as good as lost."""
    try:
        return runtime.spool.read_received(instance.digest)
    except SpoolUnavailable as error:
        if claimed.faults < MAXIMUM_FAULTS:
            raise
        raise BytesLost(Reason.DAMAGED, "its stored bytes cannot be read; send it again") from error


def _without_bytes(runtime: Runtime, instance: StoredInstance, declined: Reason | None, lost: BytesLost) -> StudyImage:
    """Return an image of which only the row is left; no attribute of damaged bytes is believed."""
    return StudyImage(
        path=runtime.spool.received_path(instance.digest),
        digest=instance.digest,
        sop_instance_uid=instance.sop_instance_uid,
        header=None,
        source=None,
        declined=declined or Reason(lost.reason),
        detail=instance.detail if declined else lost.detail,
        unusable=lost.detail,
    )


def _profiles(runtime: Runtime, claimed: ClaimedJob) -> dict[str, Profile]:
    """Return the object profile of each destination; one that is no longer configured gets the default."""
    configured, known = runtime.settings.destinations, runtime.settings.object_profiles
    return {name: known[configured[name].profile] if name in configured else OHIF for name in claimed.destinations}


def _held_back(runtime: Runtime, claimed: ClaimedJob, analysis: Analysis) -> str | None:
    """Say why the study keeps the results that it has: what came since names another patient, and speaks of none of it.

    A report under the first patient that nothing was analysed would supersede findings that are sound, and one under
    the other patient would be filed with somebody whose study this may not be. So nothing is sent, and the operator is
    told.
    """
    if not analysis.excluded:
        return None
    with runtime.database.read() as tx:
        before = jobs.predecessors(tx, study_id=claimed.study_id, revision=claimed.revision)
    return "images name different patients, and the results of the revision before stay as they are" if before else None


def _publish(runtime: Runtime, claimed: ClaimedJob, analysis: Analysis) -> None:
    held_back = _held_back(runtime, claimed, analysis)
    withheld = [_quarantine_result(runtime, item) for item in analysis.withheld]
    stored = []
    for profile, result in analysis.results if held_back is None else ():
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
        held_back=held_back,
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
    """Queue a job again whose attempt failed; the attempt counts where the fault is not the machine's."""
    # The text of an unknown exception may quote an attribute of the patient; only its type and place are kept.
    why = str(error) if isinstance(error, MachineFault) else place_of(error)
    runtime.machine.doubt(error)
    try:
        if is_of_machine(error) and claimed.faults < MAXIMUM_FAULTS:
            _defer(runtime, claimed, why)
        else:
            _charge(runtime, claimed, why)
    except StaleClaim:
        log.warning("job.lost", why="the lease ran out and the job was given to another worker")
    except UNAVAILABLE as away:
        log.error("job.not_given_back", error=type(away).__name__, why="it is given to another worker by its lease")


def _defer(runtime: Runtime, claimed: ClaimedJob, why: str) -> None:
    delay_s = min(RETRY_DELAY_S * 2**claimed.faults, LONGEST_DELAY_S)
    log.warning("job.deferred", why=why, again_in_s=delay_s)
    with runtime.database.write() as tx:
        jobs.defer(tx, claimed, error=why, delay_s=delay_s)


def _charge(runtime: Runtime, claimed: ClaimedJob, why: str) -> None:
    log.error("job.attempt_failed", error=why, attempt=claimed.attempts)
    with runtime.database.write() as tx:
        state = jobs.retry_or_answer(
            tx,
            claimed,
            error=why,
            maximum_attempts=runtime.settings.analysis.maximum_attempts,
            delay_s=RETRY_DELAY_S * claimed.attempts,
        )
    if state is JobState.FAILED:
        log.critical("job.failed", error=why, why="the study goes unanswered; `hilum rerun --failed` tries again")
