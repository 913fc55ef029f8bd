"""Files that an operator names on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def files_under(paths: Iterable[Path]) -> list[Path]:
    """Return the files given and those inside the folders given, in order."""
    found: list[Path] = []
    for path in paths:
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return found
