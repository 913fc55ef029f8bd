"""Delivery of a job's results: one association for each destination, the stored bytes every time.

Where a destination is to commit itself to keeping them, it is asked right after (`workers.jobs.commitment`).

Retries live in the rows: the next attempt's time is written there, and the dispatcher sends a message when it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from node.db import belonging, deliveries
from node.db.deliveries import ClaimedDelivery, Settlement
from node.delivery.destinations import Destination
from node.delivery.outcome import OutgoingFile
from node.dicom.status import Disposition
from node.dispatch.backoff import next_attempt
from node.dispatch.queue import associations_of
from node.errors import BytesLost, MachineFault, Misconfigured, PeerBusy, PeerUnavailable, StaleClaim, place_of
from workers.jobs import commitment
from workers.jobs.circuit import note
from workers.jobs.heartbeat import Lease, beating
from workers.jobs.remake import NotRemade, remake
from workers.jobs.runtime import Runtime
from workers.jobs.transport import transmit
from workers.pipelines.faults import is_of_machine

log = structlog.get_logger()


def deliver_job(runtime: Runtime, job_id: str, destination: str | None = None) -> int:
    """Send what is due of one job; return how many results were tried. May be called any number of times.

    No destination can keep the worker from the others for long: by DICOM an attempt ends within four times
    `connect_timeout_s` (TCP, TLS, A-ASSOCIATE, release), `response_timeout_s` for each result and a second for the
    abort; by STOW-RS within 2 * `connect_timeout_s` + `response_timeout_s` for each result. After the first one without
    an answer the rest is not tried. Resolving the name is left to the system's own timeouts. And no destination has
    more associations than its settings say, which are fewer than a delivery worker has threads.

    Parameters
    ----------
    destination
        To which; None: to each, those that answered last time first.

    Raises
    ------
    BelongsElsewhere, SpoolUnavailable
        The results are not here.
    """
    destinations = [destination]
    spool_id = runtime.spool.identity()
    with runtime.database.read() as tx:
        belonging.require(tx, spool_id)
        if destination is None:
            destinations = [*deliveries.waiting_destinations(tx, job_id)]
    tried = 0
    for name in filter(None, destinations):
        try:
            tried += _deliver_to(runtime, job_id, name)
        except Exception as error:  # the next destination has its own rows; those of this one are given back by lease
            log.error("delivery.not_recorded", destination=name, error=place_of(error))
        _ask(runtime, job_id, name)
    return tried


def _deliver_to(runtime: Runtime, job_id: str, destination: str) -> int:
    lease_s = runtime.settings.analysis.lease_s
    with runtime.database.write() as tx:
        threshold = runtime.settings.delivery.breaker_failures
        limit = associations_of(runtime.settings).get(destination, 1)
        batch = deliveries.claim(tx, job_id, destination, lease_s=lease_s, threshold=threshold, associations=limit)
    if not batch:
        return 0
    with beating(partial(_heartbeat, runtime, batch), lease_s=lease_s) as lease:
        try:
            settlements = _send(runtime, destination, batch, lease)
        except Exception as error:  # one destination's trouble must not reach the others: it is tried again later
            log.error("delivery.attempt_failed", destination=destination, error=type(error).__name__)
            if not is_of_machine(error):
                note(runtime, destination, reached=False)
            settlements = [_later(runtime, d, f"the attempt failed: {type(error).__name__}") for d in batch]
    with runtime.database.write() as tx:
        state = deliveries.settle(tx, job_id, settlements)
    log.info(
        "delivery.tried",
        destination=destination,
        results=len(batch),
        accepted=sum(s.disposition is Disposition.ACCEPTED for s in settlements),
        job_state=state,
    )
    return len(batch)


def _ask(runtime: Runtime, job_id: str, destination: str) -> None:
    try:
        commitment.ask(runtime, job_id, destination)
    except Exception as error:  # as above; what was to be asked about is due again
        log.error("commitment.attempt_failed", destination=destination, error=type(error).__name__)
        note(runtime, destination, reached=False)


def _heartbeat(runtime: Runtime, batch: Sequence[ClaimedDelivery]) -> None:
    with runtime.database.write() as tx:
        ours = deliveries.heartbeat(tx, batch, lease_s=runtime.settings.analysis.lease_s)
    if not ours:
        raise StaleClaim("the deliveries were given to another worker")


def _send(runtime: Runtime, name: str, batch: Sequence[ClaimedDelivery], lease: Lease) -> list[Settlement]:
    destination = runtime.settings.destinations.get(name)
    if destination is None:
        return [_later(runtime, d, "the destination is not configured any more") for d in batch]
    sound, settlements = _checked(runtime, batch)
    if not sound:
        return settlements
    files = [OutgoingFile(d.sop_class_uid, d.sop_instance_uid, runtime.spool.result_path(d.sha256)) for d in sound]
    try:
        outcomes = transmit(runtime.settings, destination, files, go_on=lambda: lease.holds)
    except PeerBusy as error:
        log.info("delivery.peer_busy", destination=name, error=str(error))
        soon = runtime.database.clock() + timedelta(seconds=deliveries.BUSY_PAUSE_S)
        return settlements + [
            Settlement(d.id, d.token, Disposition.RETRY, None, str(error), soon, counts=False) for d in sound
        ]
    except (PeerUnavailable, Misconfigured) as error:
        opened = note(runtime, name, reached=False)
        log.warning("delivery.peer_unavailable", destination=name, error=str(error), circuit_open=opened)
        return settlements + [_later(runtime, d, str(error)) for d in sound]
    # A peer that takes the association and then says nothing is as dead as one that is not there.
    note(runtime, name, reached=all(outcome.answered for outcome in outcomes))
    by_uid = {outcome.sop_instance_uid: outcome for outcome in outcomes}
    ask = isinstance(destination, Destination) and destination.commitment.ask
    for delivery in sound:
        outcome = by_uid[delivery.sop_instance_uid]
        again = outcome.disposition in (Disposition.RETRY, Disposition.DOUBTFUL)
        retry_at = _retry_at(runtime, delivery) if again else None
        settlements.append(
            Settlement(delivery.id, delivery.token, outcome.disposition, outcome.status, outcome.detail, retry_at, ask)
        )
    return settlements


def _later(runtime: Runtime, delivery: ClaimedDelivery, why: str) -> Settlement:
    return Settlement(delivery.id, delivery.token, Disposition.RETRY, None, why, _retry_at(runtime, delivery))


def _retry_at(runtime: Runtime, delivery: ClaimedDelivery) -> datetime:
    return next_attempt(runtime.settings.delivery, delivery.id, delivery.attempts, now=runtime.database.clock())


def _checked(runtime: Runtime, batch: Sequence[ClaimedDelivery]) -> tuple[list[ClaimedDelivery], list[Settlement]]:
    """Return the deliveries whose stored bytes are sound, made again where they were not; the others are settled."""
    sound: list[ClaimedDelivery] = []
    settlements: list[Settlement] = []
    for delivery in batch:
        try:
            _make_sound(runtime, delivery)
        except NotRemade as error:
            log.critical("result.lost", sha256=delivery.sha256, why=str(error))
            settlements.append(Settlement(delivery.id, delivery.token, Disposition.REFUSED, None, str(error)))
        except MachineFault as error:  # of this machine: the bytes may be sound, and the destination is well
            log.error("delivery.spool_unavailable", why=str(error))
            settlements.append(_later(runtime, delivery, f"fault of this machine: {error}"))
        else:
            sound.append(delivery)
    return sound, settlements


def _make_sound(runtime: Runtime, delivery: ClaimedDelivery) -> None:
    try:
        runtime.spool.require_result(delivery.sha256)
    except BytesLost as lost:
        log.error("result.damaged", sha256=delivery.sha256, reason=lost.reason, why=lost.detail)
        remake(runtime, delivery.job_id, delivery.sha256, lost=lost)
        log.warning("result.made_again", sha256=delivery.sha256)
