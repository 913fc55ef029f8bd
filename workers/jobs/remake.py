"""Results whose stored bytes are damaged or gone, made again: the same job gives the same bytes, to the last one.

Findings that were kept spare the networks, so that a delivery worker can do it; without them they are computed again.
"""

from __future__ import annotations

import hashlib

from node.db import jobs
from node.errors import BytesLost, HilumError
from workers.jobs.runtime import Runtime


class NotRemade(HilumError):
    """The job gives other bytes now, so that the result is lost for good; the message says what can be done."""


def remake(runtime: Runtime, job_id: str, sha256: str, *, lost: BytesLost) -> None:
    """Make the results of a job again and store those that are its own, byte for byte.

    Parameters
    ----------
    sha256, lost
        The result that is needed, and how it was lost.

    Raises
    ------
    NotRemade
        The result with this SHA-256 is not among them.
    MachineFault, OSError, MemoryError, BundleRefused
        The machine fails; the result may be made later.
    """
    from workers.jobs.analysis import analysis_of  # loads what makes results, which a delivery hardly ever needs

    with runtime.database.read() as tx:
        job, own = jobs.recorded(tx, job_id)
    made = {hashlib.sha256(r.content).hexdigest(): r.content for _, r in analysis_of(runtime, job).results}
    for digest, content in made.items():
        if digest in own:
            runtime.spool.store_result(content)
    if sha256 not in made:
        raise NotRemade(
            f"{lost.detail}, and it could not be made again: software, bundles, settings or images have changed since; "
            "`hilum rerun UID` makes a new revision"
        )
