"""How long a node needs to go on after a fault."""

from __future__ import annotations

import bisect
from collections.abc import Sequence


def longest_recovery_s(arrivals: Sequence[float], faults: Sequence[float]) -> float:
    """Return the longest time from the end of a fault to the next result in the archive.

    Parameters
    ----------
    arrivals, faults
        Moments of one monotonic clock; `arrivals` may be out of order by a little. A fault after which nothing came,
        because nothing was left to do, does not count.
    """
    ordered = sorted(arrivals)
    found = [bisect.bisect_right(ordered, fault) for fault in faults]
    return max((ordered[at] - fault for at, fault in zip(found, faults, strict=True) if at < len(ordered)), default=0.0)
