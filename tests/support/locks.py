"""The lock files of the images, as versions by name."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

LOCKS = ROOT / "deploy" / "locks"
ENTRY = re.compile(r"([a-z0-9-]+)==([\w.+!]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def locked(name: str) -> dict[str, str]:
    """Return the versions of a lock file, by name of the distribution."""
    return {entry[1]: entry[2] for entry in ENTRY.finditer((LOCKS / f"{name}.txt").read_text())}
