"""Many independent things, one after the other: what fails of them hides none of the rest.

Each is tried again after a pause of its own that grows, so that one that cannot succeed costs little. What has failed
several times counts as set aside: it is listed with its reason for `hilum status`, and is still tried now and then, for
a disk may be mended and a permission given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from node.clock import Clock, utc_now
from node.errors import HilumError, place_of

log = structlog.get_logger(__name__)

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
SET_ASIDE_AFTER: Final = 5
"""Failures in a row after which a thing is listed as set aside."""


@dataclass(frozen=True, slots=True)
class Setback:
    """One thing that fails.

    Attributes
    ----------
    name
        What it is, without an attribute of a patient.
    why
        Its last error.
    since
        When it failed first.
    failures
        How often in a row.
    """

    name: str
    why: str
    since: datetime
    failures: int


class Setbacks:
    """What failed lately, and when it is due again.

    Parameters
    ----------
    note
        File in which what is set aside is noted, for other processes; None: nowhere.
    monotonic
        Seconds on a clock that is never set.
    attempted
        Called after each thing that was tried, however it went.
    """

    def __init__(
        self,
        note: Path | None = None,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        attempted: Callable[[], None] = lambda: None,
    ) -> None:
        self._note, self._clock, self._monotonic = note, clock, monotonic
        self._attempted = attempted
        self._failing: dict[str, tuple[Setback, float]] = {}
        self._noted: str | None = None

    def attempt(
        self,
        name: str,
        step: Callable[[], None],
        *,
        passing: tuple[type[Exception], ...] = (),
        pauses: bool = True,
    ) -> bool:
        """Do one thing, unless it failed a moment ago; return whether it was done.

        It is logged when it begins to fail, when it is set aside, and when it recovers.

        Parameters
        ----------
        passing
            Exceptions that are about all of the things, and none of this one: they are let through.
        pauses
            False: it is tried each time, however often it failed.
        """
        if pauses and not self.is_due(name):
            return False
        try:
            step()
        except passing:
            raise
        except HilumError as error:
            self.failed(name, str(error))
        except Exception as error:  # whatever it was, the next thing is not touched by it
            self.failed(name, _described(error))
        else:
            self.succeeded(name)
            return True
        finally:
            self._attempted()
        return False

    def is_due(self, name: str) -> bool:
        """Tell whether a thing may be tried now."""
        return name not in self._failing or self._failing[name][1] <= self._monotonic()

    def failed(self, name: str, why: str) -> None:
        """Note that a thing failed, and choose when it is due again."""
        before = self._failing.get(name)
        failures = 1 if before is None else before[0].failures + 1
        pause_s = min(FIRST_PAUSE_S * 2 ** min(failures - 1, 30), LONGEST_PAUSE_S)
        since = self._clock() if before is None else before[0].since
        self._failing[name] = (Setback(name, why, since, failures), self._monotonic() + pause_s)
        if failures == 1:
            log.error("dispatch.step_failed", step=name, error=why)
        elif failures == SET_ASIDE_AFTER:
            log.critical("dispatch.set_aside", step=name, error=why, failures=failures)

    def succeeded(self, name: str) -> None:
        """Forget what failed of a thing."""
        if self._failing.pop(name, None) is not None:
            log.info("dispatch.recovered", step=name)

    def keep_only(self, prefix: str, names: set[str]) -> None:
        """Forget the things under a prefix that are there no more."""
        for name in [n for n in self._failing if n.startswith(prefix) and n not in names]:
            del self._failing[name]

    def set_aside(self) -> list[Setback]:
        """Return what has failed several times, the oldest first."""
        found = [setback for setback, _ in self._failing.values() if setback.failures >= SET_ASIDE_AFTER]
        return sorted(found, key=lambda setback: (setback.since, setback.name))

    def write_note(self) -> None:
        """Write down what is set aside, where it has changed.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        if self._note is None:
            return
        content = json.dumps([asdict(one) | {"since": one.since.isoformat()} for one in self.set_aside()], indent=1)
        if content != self._noted:
            unfinished = self._note.with_suffix(".part")
            unfinished.write_text(content, encoding="utf-8")
            unfinished.replace(self._note)
            self._noted = content


def noted(note: Path) -> list[Setback]:
    """Read what another process has set aside; nothing where there is no note, or none that can be read."""
    try:
        values = json.loads(note.read_text(encoding="utf-8"))
        return [Setback(**one | {"since": datetime.fromisoformat(one["since"])}) for one in values]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def note_path(home: Path) -> Path:
    """Return where the dispatcher notes what is set aside."""
    return home / "set-aside.json"


def _described(error: Exception) -> str:
    """Describe an error without text of unknown origin, which may quote an attribute of the patient."""
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return place_of(error)
