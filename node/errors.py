"""One root exception; each class is named for the decision that it causes.

Messages say what, which value, and what was expected. They never hold a patient attribute.
"""

from __future__ import annotations


class HilumError(Exception):
    """Root of every exception that this project raises on purpose."""


class MachineFault(HilumError):
    """Something of the machine fails or is not there: no fault of a study, and so none of its attempts."""


class Misconfigured(MachineFault):
    """A setting is missing or wrong; the operator must change it."""


class BelongsElsewhere(Misconfigured):
    """Database and spool are not of the same node, or the spool is not there; nothing of either may be touched."""


class DatabaseUnusable(Misconfigured):
    """The database cannot be reached, opened, read or written as it is configured."""


class Quarantined(HilumError):
    """The object cannot be used; its bytes are kept in quarantine with `reason`.

    The UIDs are given where they could still be read, so that the study can be answered.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        study_instance_uid: str | None = None,
        sop_instance_uid: str | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.study_instance_uid = study_instance_uid
        self.sop_instance_uid = sop_instance_uid


def place_of(error: BaseException) -> str:
    """Name an exception and the line that raised it, without its text, which may quote an attribute of the patient."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"


class SpoolUnavailable(MachineFault):
    """The spool cannot be read or written now: a disk that fails, or that is not there."""


class SpoolFull(SpoolUnavailable):
    """The spool's file system is under its watermark or cannot be written (status 0xA700)."""


class BytesLost(MachineFault):
    """Stored bytes are gone, or are not those that were stored; reading them again helps nothing.

    `reason` is one of `node.reasons.LOST`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class PeerUnavailable(HilumError):
    """The peer could not be reached, refused the association, or broke it off."""


class PeerBusy(PeerUnavailable):
    """The peer is there and has no room now; it is tried again soon, and no failure is counted."""


class StaleClaim(HilumError):
    """Another worker holds this row now; what was computed under the old lease must be dropped."""


class ImpossibleTransition(HilumError):
    """A state change that the tables of `node.db.states` do not allow."""


class BrokerUnavailable(MachineFault):
    """The Celery broker cannot be reached; the rows stay due and are sent later."""
