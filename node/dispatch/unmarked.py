"""Messages that are in the broker while their rows could not be marked: a database that is read-only, say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Unmarked:
    """Remembers what was sent, so that a round that cannot mark it does not send it again.

    Parameters
    ----------
    resend_after_s
        How long a message is remembered.
    monotonic
        Seconds on a clock that is never set.
    """

    def __init__(self, *, resend_after_s: float, monotonic: Callable[[], float]) -> None:
        self._resend_after_s, self._monotonic = resend_after_s, monotonic
        self._sent: dict[str, tuple[float, Any]] = {}

    def send(self, name: str, send: Callable[[], Answer]) -> Answer:
        """Send a message, unless that was done a moment ago; return what sending it has given."""
        now = self._monotonic()
        self._sent = {one: found for one, found in self._sent.items() if now - found[0] < self._resend_after_s}
        if name not in self._sent:
            self._sent[name] = now, send()
        answer: Answer = self._sent[name][1]
        return answer

    def marked(self, name: str) -> None:
        """Forget a message whose row says that it was sent."""
        self._sent.pop(name, None)
