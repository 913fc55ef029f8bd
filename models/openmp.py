"""Settings of libgomp that a worker's process needs before torch is loaded.

libgomp's threads spin while they wait: with any other process on the machine, medians at batch 1 rose from 32 to
between 488 and 3,900 ms. With these two variables they stay (measured on two cores).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

ENVIRONMENT: Mapping[str, str] = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def apply() -> None:
    """Set the variables for this process and its children; those that are set already stay as they are."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
