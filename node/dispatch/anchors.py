"""Anchors of the audit chain: its head, noted now and then in a file beside the database.

Rows cut off the end of the log, with its head set back, leave a chain that holds. The anchors know that it was longer.
Copy the file to another machine, or ship it with the logs, and whoever owns this one cannot rewrite both.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from node.db.audit import Head
from node.spool import durable

FILE = "audit-anchors.txt"


def note(home: Path, head: Head, *, now: datetime) -> None:
    """Append the head, unless it is the last one noted."""
    path = home / FILE
    noted = read(home)
    if head.sequence == 0 or (noted and noted[-1] == head):
        return
    with path.open("a", encoding="ascii") as file:
        file.write(f"{now.isoformat(timespec='seconds')} {head.sequence} {head.hash}\n")
    durable.sync_file(path)


def read(home: Path) -> list[Head]:
    """Return the heads noted, oldest first; a line that is cut off is left out."""
    try:
        lines = (home / FILE).read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    words = [line.split() for line in lines]
    return [Head(int(w[1]), w[2]) for w in words if len(w) == 3 and w[1].isdigit()]
