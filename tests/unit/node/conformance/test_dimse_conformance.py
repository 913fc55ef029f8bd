"""The committed conformance statement is the one that the tables make."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import product

import pytest

from node import conformance
from node.delivery.profiles import Profile
from node.dicom.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.dicom.kinds import RESULT_CLASSES, ResultKind
from node.dicom.status import ACTION_STATUSES, FAILURE_REASONS, STORE_STATUSES, Status
from node.dicomweb.stow import HTTP_STATUSES
from node.dimse.scp.admission import Rejection
from node.dispatch.archive import COUNTS_AT_ONCE
from node.dispatch.queue import MINIMUM_DELIVERY_THREADS
from node.reasons import Reason
from tests.support.paths import DOCS

DOCUMENT = DOCS / "conformance.md"


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
    assert {row.sop_class_uid: set(row.transfer_syntaxes) for row in RESULT_CLASSES} == found


TEMPLATE = {
    "1": "SOP Classes",
    "2": "Association Policies",
    "2.1": "General",
    "2.2": "Number of Associations",
    "2.3": "Asynchronous Nature",
    "2.4": "Implementation Identifying Information",
    "3": "Association Initiation Policy",
    "4": "Association Acceptance Policy",
}
"""PS3.2 sections A.4.2.x.1 to A.4.2.x.4."""


def headings() -> dict[str, str]:
    """Return the title of each numbered section, in order."""
    return dict(re.findall(r"^#+ (\d[\d.]*) (.+)$", conformance.statement(), re.MULTILINE))


@pytest.mark.parametrize("ae", ["4.2.1", "4.2.2"])
def test_the_sections_of_an_ae_are_those_of_ps3_2(ae: str) -> None:
    found = {
        number.removeprefix(f"{ae}."): title for number, title in headings().items() if number.startswith(f"{ae}.")
    }
    for number, title in TEMPLATE.items():
        assert found[number].lower() == title.lower()
    assert [number for number in found if "." not in number] == ["1", "2", "3", "4"]
    assert [number for number in found if number.startswith("2.")] == ["2.1", "2.2", "2.3", "2.4"]


def test_the_sections_about_objects_are_those_of_ps3_2() -> None:
    found = {number: title for number, title in headings().items() if number.startswith("8.1.")}
    assert list(found) == ["8.1.1", "8.1.2", "8.1.3", "8.1.4"]
    assert found["8.1.3"] == "Attribute mapping"


def test_sections_stand_in_order_and_each_below_its_own() -> None:
    numbers = [tuple(map(int, number.split("."))) for number in headings()]
    assert numbers == sorted(numbers)
    for number in numbers:
        assert len(number) == 1 or number[:-1] in numbers
    for line in conformance.statement().splitlines():
        if found := re.match(r"(#+) (\d[\d.]*) ", line):
            assert len(found[1]) == len(found[2].split(".")) + 1, line


def test_every_section_that_is_referred_to_is_there() -> None:
    referred = set(re.findall(r"(?<![\d.A-Z])(4(?:\.\d+){2,}|8\.\d(?:\.\d)?)(?![.\d]*\d)", conformance.statement()))
    assert {"4.2.1.4.1", "4.2.1.4.3", "4.2.2.3.2", "8.5"} <= referred
    assert referred <= set(headings())


def test_the_numbers_of_associations_are_those_of_the_code() -> None:
    text = conformance.statement()
    assert f"| The archive is counted | {COUNTS_AT_ONCE} |" in text
    assert f"{MINIMUM_DELIVERY_THREADS} or more for each `hilum work --delivery` (`--concurrency`) |" in text


def test_results_that_are_routed_back_are_accepted() -> None:
    assert {row.sop_class_uid for row in RESULT_CLASSES} <= {row.uid for row in STORAGE_CLASSES}
