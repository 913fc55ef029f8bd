"""What keeps a patient's data to the user of the node, however its processes were started."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077


def keep_to_this_user() -> None:
    """Let nobody else read or write what this process and its children make: files, folders, sockets."""
    os.umask(_OTHERS)


def leave_no_core() -> None:
    """Let no process leave a dump of its memory, which holds pixels and names."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def is_open_to_others(folder: Path) -> bool:
    """Say whether somebody else may look into a folder; False where there is none yet."""
    try:
        return bool(folder.stat().st_mode & 0o007)
    except OSError:
        return False
