"""Who this node is in the objects and associations that it makes: the names by which it knows its own results again."""

from __future__ import annotations

import os
import socket
from typing import Final

from node import __version__

OWN_MANUFACTURER: Final = "Hilum"
"""Manufacturer (0008,0070) and Contributing Equipment's Manufacturer of every result."""

CONTRIBUTION_PURPOSE: Final = ("109102", "DCM")
"""Purpose of Reference of Contributing Equipment in every result: Processing Equipment (PS3.16 CID 7005)."""

IMPLEMENTATION_CLASS_UID: Final = "2.25.129642005435577901703288082355486770229"
"""Implementation Class UID (PS3.7 section D.3.3.2), the same for every version."""

IMPLEMENTATION_VERSION_NAME: Final = f"HILUM_{__version__}"[:16]
"""Implementation Version Name (PS3.7 section D.3.3.2): at most 16 characters."""


def actor(component: str) -> str:
    """Name a component and its process: the actor of audit rows, and the holder of leases."""
    return f"{component}@{socket.gethostname()}:{os.getpid()}"
