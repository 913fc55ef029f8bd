"""Markdown in the form of the other pages: blocks with an empty line between, prose filled to 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from node.dicom.status import StatusRange


def section(*blocks: str) -> str:
    """Join blocks."""
    return "\n\n".join(blocks)


def prose(text: str) -> str:
    """Fill a paragraph."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def status_table(head: str, rows: Sequence[StatusRange], *, decimal: bool = False) -> str:
    """Format a table of what statuses mean for a delivery."""
    form = "d" if decimal else "04X"
    return table(
        (head, "Meaning", "Delivery"),
        [
            (
                f"{row.first:{form}}" + ("" if row.first == row.last else f" to {row.last:{form}}"),
                row.meaning,
                row.disposition,
            )
            for row in rows
        ],
    )


def yes(value: object) -> str:
    """Write a truth as a word."""
    return "yes" if value else "no"
