"""Which spool this is: an identity that is made once, and tells an empty mount point from the files that belong there.

The database notes the identity of the spool whose files its rows name (`node.db.belonging`).
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.errors import SpoolUnavailable
from node.spool import durable

FILE: Final = "node-id"
_FORM: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV})


def read(root: Path) -> str | None:
    """Return the identity of the spool in a folder; None where there is none.

    Raises
    ------
    SpoolUnavailable
        It cannot be read, or is none.
    """
    try:
        found = (root / FILE).read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SpoolUnavailable(f"cannot read {root / FILE}: {getattr(error, 'strerror', error)}") from error
    if not _FORM.fullmatch(found):
        raise SpoolUnavailable(f"{root / FILE} holds no identity: restore it, or remove it and see docs/deployment.md")
    return found


def make(root: Path, temporary: Path) -> None:
    """Give a spool its identity where it has none; of several processes one succeeds, and all find the same.

    Parameters
    ----------
    temporary
        Path on the same file system for the unfinished file; it is gone afterwards.
    """
    if (root / FILE).exists():
        return
    durable.write_file(temporary.with_suffix(".id"), f"{uuid.uuid4()}\n".encode("ascii"), temporary=temporary)
    unfinished = temporary.with_suffix(".id")
    try:
        with suppress(FileExistsError):  # another process was quicker
            os.link(unfinished, root / FILE)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        unfinished.replace(root / FILE)
    unfinished.unlink(missing_ok=True)
    durable.sync_directory(root)
