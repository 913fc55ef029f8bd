"""Waiting for conditions; a time-out ends only what would never come, so it grows with the load of the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

TIMEOUT_S = 60.0
LONGEST = 5.0
"""How many times its time-out a condition may take on a machine that is busy with other things."""


def patience() -> float:
    """Return by how much time-outs are longer now: one on an idle machine, more where processes wait for a core."""
    return min(LONGEST, max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1)))


def wait_for(
    condition: Callable[[], Found], *, timeout_s: float = TIMEOUT_S, every_s: float = 0.02, what: str = ""
) -> Found:
    """Wait until the condition returns something true, and return that."""
    begun = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - begun > timeout_s * patience():
            raise AssertionError(f"not within {timeout_s * patience():.0f} s: {what or condition}")
        time.sleep(every_s)
    return found
