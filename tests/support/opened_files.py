"""Which files a piece of code opens, as the interpreter reports it (`open` of PEP 578)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DECODER_OPENS = 1
"""Of each image, by the pixel decoder."""

_records: list[list[Path]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _records and isinstance(arguments[0], str | bytes | os.PathLike):
        for record in _records:
            record.append(Path(os.fsdecode(arguments[0])))


sys.addaudithook(_hook)  # cannot be taken out again; it does nothing where nobody asks


@contextmanager
def opened_under(folder: Path) -> Iterator[list[Path]]:
    """Yield a list that holds, once the block has ended, every file under a folder that was opened in it."""
    record: list[Path] = []
    _records.append(record)
    try:
        yield record
    finally:
        _records.remove(record)
        record[:] = [path for path in record if path.is_relative_to(folder)]
