"""Anchors of the audit chain: its head, noted now and then in a file beside the database.

Rows cut off the end of the log, with its head set back, leave a chain that holds. The anchors know that it was longer.
Copy the file to another machine, or ship it with the logs, and whoever owns this one cannot rewrite both.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

from node.db.audit import Head
from node.spool import durable

FILE = "audit-anchors.txt"
_LINE = re.compile(r"\S+ (\d+) ([0-9a-f]{64})")


def note(home: Path, head: Head, *, now: datetime) -> None:
    """Append the head, unless it is the last one noted."""
    path = home / FILE
    noted = read(home)
    if head.sequence == 0 or (noted and noted[-1] == head):
        return
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")  # the line before was torn
        file.write(f"{now.isoformat(timespec='seconds')} {head.sequence} {head.hash}\n".encode("ascii"))
    durable.sync_file(path)


def read(home: Path) -> list[Head]:
    """Return the heads noted, oldest first; a line that was torn by a power cut is left out."""
    try:
        lines = (home / FILE).read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [Head(int(found[1]), found[2]) for line in lines if (found := _LINE.fullmatch(line))]
