"""Whose fault it is that a step failed: the machine's, which is tried again, or the study's, which is answered.

Where an exception was raised says more than its class. What parses an object's header has it in memory and is handed no
file of the spool, so that a system call's error is the machine's; a parser's own OSError has no number.
"""

from __future__ import annotations

from typing import Final

from models.errors import BundleRefused
from node.db.engine import UNAVAILABLE
from node.errors import MachineFault

_OF_THE_MACHINE: Final = (MachineFault, BundleRefused, MemoryError, *UNAVAILABLE)
_NO_MEMORY: Final = ("can't start new thread", "can't allocate memory", "out of memory", "Insufficient memory")
"""What Python, torch and OpenCV say where memory or processes have run out, in classes that say nothing."""


def is_of_machine(error: BaseException) -> bool:
    """Tell whether disk, memory, database, broker, bundles or settings failed, and not what was worked on."""
    if isinstance(error, OSError):
        return error.errno is not None or isinstance(error, _OF_THE_MACHINE)
    return isinstance(error, _OF_THE_MACHINE) or any(words in str(error) for words in _NO_MEMORY)
