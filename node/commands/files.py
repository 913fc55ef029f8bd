"""Files that an operator names on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from node.errors import Misconfigured


def listed(paths: Iterable[Path]) -> list[Path]:
    """Return the paths given and the regular files inside the folders given, in order."""
    found: list[Path] = []
    for path in paths:
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return found


def files_under(paths: Iterable[Path]) -> list[Path]:
    """Return the files given and those inside the folders given, in order.

    Raises
    ------
    Misconfigured
        One of them is a pipe, a socket or a device: reading it may never end.
    """
    found = listed(paths)
    for path in found:
        if path.exists() and not path.is_file():
            raise Misconfigured(f"{path} is not a regular file")
    return found
