"""Instances and studies: what was received, what became of it, and when a study is complete.

Imports of `node.db` the tables, and the transaction.
"""

from node.db.studies.recorded import note_copy, quarantine_pixels, record_association, record_instance
from node.db.studies.revisions import (
    Opener,
    OpenStudy,
    RoutingDecision,
    StoredInstance,
    complete,
    instances_of,
    open_studies,
    openers,
    reopen,
)

__all__ = [
    "OpenStudy",
    "Opener",
    "RoutingDecision",
    "StoredInstance",
    "complete",
    "instances_of",
    "note_copy",
    "open_studies",
    "openers",
    "quarantine_pixels",
    "record_association",
    "record_instance",
    "reopen",
]
