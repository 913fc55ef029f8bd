"""When a study is complete: a pure rule over what arrived and how the associations ended.

Every rule in use is a guess; this one fuses four, and the name of the one that held is recorded. An aborted
association never counts as a release.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from node.settings import CompletionSettings


class CompletionReason(StrEnum):
    """The rule that closed a study's revision."""

    RELEASED = "released"
    QUIET = "quiet"
    COUNT = "count"
    CAP = "cap"
    RERUN = "rerun"


def decide(
    settings: CompletionSettings,
    *,
    now: datetime,
    opened_at: datetime,
    last_arrival_at: datetime,
    outcomes: Sequence[str | None],
    held: int,
    recent: int = 0,
    archive_count: int | None = None,
) -> CompletionReason | None:
    """Say why the revision is complete, or None while it is not.

    Parameters
    ----------
    outcomes
        How each association that brought an image of this revision ended; None: still open. Empty: the revision was
        opened by `rerun` and waits for nothing.
    held
        Instances of the study that this node holds.
    recent
        Revisions of the study that were closed within the last hour: many of them make it wait longer.
    archive_count
        Instances that the archive says the study has; None: not asked, or unknown.
    """
    if not outcomes:
        return CompletionReason.RERUN
    # A clock that was set back closes the study; otherwise it would stay open until the old time comes again.
    quiet_s = abs((now - last_arrival_at).total_seconds())
    is_capped = abs((now - opened_at).total_seconds()) >= settings.cap_s
    if quiet_s < settings.late_pause_s(recent) and not is_capped:
        return None
    if archive_count is not None and 0 < archive_count <= held:
        return CompletionReason.COUNT
    if quiet_s >= settings.release_s and all(outcome == "released" for outcome in outcomes):
        return CompletionReason.RELEASED
    if quiet_s >= settings.quiet_s:
        return CompletionReason.QUIET
    if is_capped:
        return CompletionReason.CAP
    return None
