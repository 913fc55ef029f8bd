"""`hilum verify-audit`: whether the audit log is whole, by its chain and by the heads that were noted of it."""

from __future__ import annotations

from pathlib import Path

from node.db import audit
from node.db.engine import Transaction
from node.dispatch import anchors


def check(tx: Transaction, home: Path, head: str | None) -> tuple[audit.Verification, str | None]:
    """Follow the chain, and look for the heads that the dispatcher noted in `home`, and for `head`.

    Returns
    -------
    tuple
        What the chain says, and what is wrong with the log; None: nothing.
    """
    outcome = audit.verify(tx)
    noted = [anchor.hash for anchor in anchors.read(home)] + ([head] if head else [])
    if outcome.problem is None and not all(audit.contains(tx, link) for link in noted):
        return outcome, "a head noted earlier is not in the chain: rows were cut off, or the log was rewritten"
    return outcome, outcome.problem
