"""The committed conformance statement is the one that the tables make."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from pathlib import Path

from node import conformance
from node.dicomweb import HTTP_STATUSES
from node.dimse.admission import Rejection
from node.dimse.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.dimse.status import ACTION_STATUSES, FAILURE_REASONS, STORE_STATUSES, Status
from node.profiles import RESULT_CLASSES, Profile, ResultKind, result_syntaxes
from node.reasons import Reason

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == conformance.statement(), "run: make docs"


def test_every_row_of_every_table_is_in_it() -> None:
    text = conformance.statement()
    for row in (*STORAGE_CLASSES, *TRANSFER_SYNTAXES):
        assert f"| {row.name} | {row.uid} |" in text
    for result in RESULT_CLASSES:
        assert f"| {result.name} | {result.sop_class_uid} | {result.purpose} |" in text
    for rejection in Rejection:
        refusal = rejection.value
        assert f"| {refusal.result} | {refusal.source} | {refusal.reason} | {refusal.meaning} |" in text
    for status in Status:
        assert f"| {status:04X} | {status.name.replace('_', ' ').capitalize()} |" in text
    for statuses in (*STORE_STATUSES, *ACTION_STATUSES, *FAILURE_REASONS, *HTTP_STATUSES):
        assert f"| {statuses.meaning} | {statuses.disposition} |" in text
    for reason in Reason:
        assert f"- `{reason}`" in text


def test_the_syntaxes_of_results_are_those_that_some_profile_gives() -> None:
    """Every profile that can be made is made, and asked."""
    found = defaultdict(set)
    for segmentation, compression in product(("BINARY", "LABELMAP"), ("none", "deflated", "rle", "jpeg-2000")):
        try:
            profile = Profile(name="any", objects=tuple(ResultKind), segmentation=segmentation, compression=compression)
        except ValueError:
            continue
        for kind in profile.objects:
            found[profile.sop_class(kind).sop_class_uid].add(profile.transfer_syntax(kind))
    assert {row.sop_class_uid: set(result_syntaxes(row)) for row in RESULT_CLASSES} == found


def test_results_that_are_routed_back_are_accepted() -> None:
    assert {row.sop_class_uid for row in RESULT_CLASSES} <= {row.uid for row in STORAGE_CLASSES}
