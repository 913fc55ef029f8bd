"""Waits between attempts to reach a destination."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from node.settings import DeliverySettings


def backoff(settings: DeliverySettings, attempts: int, generator: random.Random) -> timedelta:
    """Return the wait after this many attempts: doubling, capped, and partly random so that peers do not meet."""
    doublings = min(max(attempts - 1, 0), 30)
    delay_s = min(settings.first_delay_s * 2**doublings, settings.maximum_delay_s)
    return timedelta(seconds=delay_s * (1 + settings.jitter * generator.uniform(-1, 1)))


def next_attempt(settings: DeliverySettings, key: int | str, attempts: int, *, now: datetime) -> datetime:
    """Return when a delivery or request is to be tried again; the same for the same key and attempt."""
    generator = random.Random(f"{key}/{attempts}")  # noqa: S311  jitter, not a secret
    return now + backoff(settings, attempts, generator)
