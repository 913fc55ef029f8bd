"""Delivery of a job's results: one association for each destination, the stored bytes every time.

Retries live in the rows: the next attempt's time is written there, and the dispatcher sends a message when it comes.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from node.db import deliveries
from node.db.deliveries import ClaimedDelivery, Settlement, Verdict
from node.dimse import scu
from node.dimse.scu import OutgoingFile
from node.dimse.status import Disposition
from node.errors import PeerUnavailable
from node.settings import DeliverySettings
from workers.runtime import Runtime

log = structlog.get_logger()

_VERDICTS = {
    Disposition.ACCEPTED: Verdict.ACCEPTED,
    Disposition.RETRY: Verdict.RETRY,
    Disposition.REFUSED: Verdict.REFUSED,
}


def backoff(settings: DeliverySettings, attempts: int, generator: random.Random) -> timedelta:
    """Return the wait after this many attempts: doubling, capped, and partly random so that peers do not meet."""
    doublings = min(attempts - 1, 30)
    delay_s = min(settings.first_delay_s * 2**doublings, settings.maximum_delay_s)
    return timedelta(seconds=delay_s * (1 + settings.jitter * generator.uniform(-1, 1)))


def deliver_job(runtime: Runtime, job_id: str) -> int:
    """Send what is due of one job; return how many results were tried. May be called any number of times."""
    settings = runtime.settings.delivery
    lease_s = 2 * settings.connect_timeout_s + 8 * settings.response_timeout_s
    with runtime.database.write() as tx:
        claimed = deliveries.claim(tx, job_id, lease_s=lease_s, now=runtime.clock())
    batches: dict[str, list[ClaimedDelivery]] = defaultdict(list)
    for delivery in claimed:
        batches[delivery.destination].append(delivery)
    for destination, batch in batches.items():
        settlements = _send(runtime, destination, batch)
        with runtime.database.write() as tx:
            state = deliveries.settle(tx, job_id, settlements, actor=runtime.actor, now=runtime.clock())
        log.info(
            "delivery.tried",
            destination=destination,
            results=len(batch),
            accepted=sum(s.verdict is Verdict.ACCEPTED for s in settlements),
            job_state=state,
        )
    return len(claimed)


def _send(runtime: Runtime, name: str, batch: Sequence[ClaimedDelivery]) -> list[Settlement]:
    destination = runtime.settings.destinations.get(name)
    if destination is None:
        return [_later(runtime, d, "the destination is not configured any more") for d in batch]
    damaged = [d for d in batch if not _intact(d)]
    sound = [d for d in batch if d not in damaged]
    settlements = [
        Settlement(d.id, d.token, Verdict.REFUSED, None, "the stored bytes do not match their SHA-256") for d in damaged
    ]
    try:
        outcomes = scu.send(
            destination,
            [OutgoingFile(d.sop_class_uid, d.sop_instance_uid, d.path) for d in sound],
            calling_ae_title=runtime.settings.receiver.ae_title,
            connect_timeout_s=runtime.settings.delivery.connect_timeout_s,
            response_timeout_s=runtime.settings.delivery.response_timeout_s,
        )
    except PeerUnavailable as error:
        opened = _note(runtime, name, reached=False)
        log.warning("delivery.peer_unavailable", destination=name, error=str(error), circuit_open=opened)
        return settlements + [_later(runtime, d, str(error)) for d in sound]
    _note(runtime, name, reached=True)
    by_uid = {outcome.sop_instance_uid: outcome for outcome in outcomes}
    for delivery in sound:
        outcome = by_uid[delivery.sop_instance_uid]
        verdict = _VERDICTS[outcome.disposition]
        retry_at = _next_attempt(runtime, delivery) if verdict is Verdict.RETRY else None
        settlements.append(Settlement(delivery.id, delivery.token, verdict, outcome.status, outcome.detail, retry_at))
    return settlements


def _later(runtime: Runtime, delivery: ClaimedDelivery, why: str) -> Settlement:
    return Settlement(delivery.id, delivery.token, Verdict.RETRY, None, why, _next_attempt(runtime, delivery))


def _next_attempt(runtime: Runtime, delivery: ClaimedDelivery) -> datetime:
    generator = random.Random(f"{delivery.id}/{delivery.attempts}")  # noqa: S311  jitter, not a secret
    return runtime.clock() + backoff(runtime.settings.delivery, delivery.attempts, generator)


def _intact(delivery: ClaimedDelivery) -> bool:
    try:
        return hashlib.sha256(delivery.path.read_bytes()).hexdigest() == delivery.sha256
    except OSError:
        return False


def _note(runtime: Runtime, destination: str, *, reached: bool) -> bool:
    settings = runtime.settings.delivery
    with runtime.database.write() as tx:
        if reached:
            deliveries.note_success(tx, destination)
            return False
        return deliveries.note_failure(
            tx,
            destination,
            threshold=settings.breaker_failures,
            open_s=settings.breaker_open_s,
            actor=runtime.actor,
            now=runtime.clock(),
        )
