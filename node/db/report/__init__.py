"""Read-only views for people: how much waits, for how long, and what became of each study.

Imports of `node.db` the tables, what reads commitments, and the transaction.
"""

from node.db.report.status import NodeStatus, ProcessLine, status
from node.db.report.studies import JobReport, ResultLine, StudyLine, answered_as_failed, job, result_lines, study_lines

__all__ = [
    "JobReport",
    "NodeStatus",
    "ProcessLine",
    "ResultLine",
    "StudyLine",
    "answered_as_failed",
    "job",
    "result_lines",
    "status",
    "study_lines",
]
