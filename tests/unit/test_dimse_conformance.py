"""The committed conformance statement is the one that the tables make."""

from __future__ import annotations

from pathlib import Path

from node import conformance
from node.dimse.admission import Rejection
from node.dimse.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.dimse.status import STORE_STATUSES, Status

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == conformance.statement(), "run: make docs"


def test_every_row_of_every_table_is_in_it() -> None:
    text = conformance.statement()
    for row in (*STORAGE_CLASSES, *TRANSFER_SYNTAXES):
        assert f"| {row.name} | {row.uid} |" in text
    for rejection in Rejection:
        refusal = rejection.value
        assert f"| {refusal.result} | {refusal.source} | {refusal.reason} | {refusal.meaning} |" in text
    for status in Status:
        assert f"| {status:04X} |" in text
    for statuses in STORE_STATUSES:
        assert f"| {statuses.meaning} | {statuses.disposition} |" in text
