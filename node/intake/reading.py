"""Read the header of a file that has arrived: every failure is a reason to quarantine it."""

from __future__ import annotations

from pathlib import Path

from node.dicom.header import Header, read_header
from node.errors import Quarantined
from node.reasons import Reason


def examine_header(file: Path, *, maximum_bytes: int) -> Header:
    """Read and check the header of one file, as intake and `hilum explain` do.

    Raises
    ------
    Quarantined
        The object cannot be used, whatever went wrong: a hostile file must not stop the files behind it.
    OSError
        The file cannot be read, which says nothing about the object.
    """
    try:
        if file.stat().st_size > maximum_bytes:
            raise Quarantined(Reason.TOO_LARGE, f"the object is larger than the limit of {maximum_bytes} bytes")
        return read_header(file)
    except (Quarantined, OSError, MemoryError):
        raise
    except Exception as unexpected:
        # Without its text, which may quote an attribute of the patient.
        detail = f"the header cannot be read ({type(unexpected).__name__})"
        raise Quarantined(Reason.MALFORMED, detail) from unexpected
