"""What is asked of the decoder's process, and what it answers; both are one message of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

MESSAGE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """One frame for one codec. Frame and picture travel beside it, as two files in memory.

    Attributes
    ----------
    syntax
        Transfer Syntax UID.
    plugin
        Name of pydicom's plugin.
    samples, bits_allocated, bits_stored, signed, photometric
        Of the frame as it is, which is not always what the object's header says.
    memory_bytes, cpu_s, wall_s
        The most that decoding may take beyond what the process has, may compute, and may last.
    """

    syntax: str
    plugin: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    memory_bytes: int
    cpu_s: int
    wall_s: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the picture: rows, columns, and samples where there are several."""
        size = (self.rows, self.columns)
        return size if self.samples == 1 else (*size, self.samples)

    @property
    def picture_bytes(self) -> int:
        """Size of the picture."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    def encoded(self) -> bytes:
        """Return the message."""
        return json.dumps(asdict(self)).encode()


class Outcome(StrEnum):
    """What became of one frame."""

    DECODED = "decoded"
    REFUSED = "refused"
    """The codec raised an error, or needed more memory than it was given."""
    DIED = "died"
    """The codec's process ended, by itself or at its limit of computing."""
    LOST = "lost"
    """The codec's process was killed from outside, or computed nothing and did not end."""


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """What became of one frame, and in words why there is no picture."""

    outcome: Outcome
    why: str = ""

    def encoded(self) -> bytes:
        """Return the message."""
        return json.dumps([self.outcome, self.why]).encode()

    @classmethod
    def of(cls, message: bytes) -> FrameAnswer:
        """Read a message."""
        outcome, why = json.loads(message)
        return cls(Outcome(outcome), str(why))
