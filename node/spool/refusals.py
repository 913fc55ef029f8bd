"""Whom the receivers have refused, and how often: what an operator asks for when an image does not come.

::

    refused/<process>.json      written now and then by one receiver process; not worth waiting for the disk

The counts are those of processes that ran within the last day. What stands in the file came from the network, except
the reason: titles are made printable before, and their number is bounded, as that of all entries.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FOLDER: Final = "refused"
SAY_AGAIN_S: Final = 60.0
"""Pause after which the same refusal is worth a line in the log again."""
MAXIMUM_ENTRIES: Final = 256
MAXIMUM_TITLES: Final = 8
"""Different calling AE titles of one address and reason; further ones are counted as `OTHERS`."""
OTHERS: Final = "(others)"

_WRITE_EVERY_S: Final = 1.0
_KEEP_S: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Refused:
    """What was refused to one caller for one reason."""

    peer_address: str
    calling_ae_title: str
    """Empty where it was not read."""
    why: str
    times: int
    first_at: datetime
    last_at: datetime


class Refusals:
    """Counts the refusals of one receiver process; usable by several threads.

    Parameters
    ----------
    spool_root
        Root of the spool.
    """

    def __init__(self, spool_root: Path) -> None:
        self._folder = spool_root / FOLDER
        self._name = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str], Refused] = {}
        self._said: dict[tuple[str, str, str], tuple[float, int]] = {}
        """When each was last worth a line, and how many there were then."""
        self._changed, self._written_at = False, 0.0

    def note(self, peer_address: str, calling_ae_title: str, why: str) -> int:
        """Count a refusal; return how many of its kind there were since the last line about it, 0: say nothing now.

        Parameters
        ----------
        why
            One of a few reasons, without details.
        """
        now = datetime.now(UTC)
        with self._lock:
            key = self._key(peer_address, calling_ae_title, why)
            entry = self._entries.pop(key, None) or Refused(*key, times=0, first_at=now, last_at=now)
            entry = self._entries[key] = replace(entry, times=entry.times + 1, last_at=now)  # now the last in order
            self._changed = True
            if len(self._entries) > MAXIMUM_ENTRIES:
                oldest = next(iter(self._entries))
                del self._entries[oldest]
                self._said.pop(oldest, None)
            said_at, said = self._said.get(key, (None, 0))
            if said_at is not None and time.monotonic() - said_at < SAY_AGAIN_S:
                return 0
            self._said[key] = (time.monotonic(), entry.times)
            return entry.times - said

    def write(self) -> None:
        """Write what has changed, not more often than once a second; where that fails, the next call tries again."""
        with self._lock:
            if not self._changed or time.monotonic() - self._written_at < _WRITE_EVERY_S:
                return
            content = [asdict(entry) for entry in self._entries.values()]
            self._written_at, self._changed = time.monotonic(), False
        aside = self._folder / f"{self._name}.part"
        try:
            self._folder.mkdir(exist_ok=True)
            aside.write_text(json.dumps(content, default=datetime.isoformat), encoding="utf-8")
            aside.replace(aside.with_suffix(".json"))
            _forget_old(self._folder)
        except OSError:  # the log says the same
            self._changed = True

    def _key(self, peer_address: str, calling_ae_title: str, why: str) -> tuple[str, str, str]:
        """Name the entry of a refusal: a caller with a new title each time is one entry after a few."""
        key = (peer_address, calling_ae_title, why)
        if key not in self._entries:
            titles = sum(1 for address, _, reason in self._entries if (address, reason) == (peer_address, why))
            if titles >= MAXIMUM_TITLES:
                return (peer_address, OTHERS, why)
        return key


def read(spool_root: Path) -> list[Refused]:
    """List the refusals of all receiver processes of the last day, the latest first."""
    found: dict[tuple[str, str, str], Refused] = {}
    for entry in _entries(spool_root / FOLDER):
        key = (entry.peer_address, entry.calling_ae_title, entry.why)
        other = found.get(key, entry)
        both = entry.times + (other.times if other is not entry else 0)
        first_at, last_at = min(entry.first_at, other.first_at), max(entry.last_at, other.last_at)
        found[key] = replace(entry, times=both, first_at=first_at, last_at=last_at)
    return sorted(found.values(), key=lambda entry: entry.last_at, reverse=True)


def _entries(folder: Path) -> Iterator[Refused]:
    """Yield what each process has written; a file that cannot be read is passed by."""
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            if _is_old(path):
                continue
            for values in json.loads(path.read_text(encoding="utf-8")):
                moments = {name: datetime.fromisoformat(values[name]) for name in ("first_at", "last_at")}
                yield Refused(**values | moments)


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if _is_old(path):
                path.unlink()


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _KEEP_S
