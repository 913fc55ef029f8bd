"""The warnings of a training that nobody can act on, silenced where it runs; every other one is shown."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

EXPECTED = (
    ".*LeafSpec.*",  # Lightning 2.x with the newest torch
    ".*treespec.*",
    ".*does not have many workers.*",  # the arrays are in memory maps: reading them is not what takes the time
    ".*GPU available but not used.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*smaller than the logging interval.*",
    ".*but have no `val_dataloader`.*",  # a final run trains on all that may be trained on
)


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence what is expected within a `with` block."""
    with warnings.catch_warnings():
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message)
        yield
