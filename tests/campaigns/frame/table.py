"""The table of campaigns, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tests.campaigns.frame import fuzzed, outcome
from tests.campaigns.frame.fuzzed import Fuzzed
from tests.campaigns.frame.outcome import Outcome


def table(results: Sequence[Outcome | Fuzzed]) -> str:
    """Return one table for faults and one for mutated input, and below them what did not hold."""
    faults = [one for one in results if isinstance(one, Outcome)]
    inputs = [one for one in results if isinstance(one, Fuzzed)]
    parts = [
        "\n".join(("| " + " | ".join(headings) + " |", "|---" * len(headings) + "|", *(one.row() for one in rows)))
        for headings, rows in ((outcome.HEADINGS, faults), (fuzzed.HEADINGS, inputs))
        if rows
    ]
    parts += [f"{one.campaign}: {trouble}" for one in results for trouble in one.troubles[:20]]
    return "\n\n".join(parts)
