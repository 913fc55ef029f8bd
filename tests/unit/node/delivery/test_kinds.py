"""The table of kinds of result is whole, and its rows do not contradict each other."""

from __future__ import annotations

from collections import Counter

import pytest
from pydicom.datadict import tag_for_keyword

from node.dicom.kinds import KINDS, REFERENCED_REQUESTS, RESULT_CLASSES, ResultKind, kind_of


def test_every_kind_has_its_row() -> None:
    assert list(KINDS) == list(ResultKind)


def test_every_sop_class_is_of_the_kind_in_whose_row_it_stands() -> None:
    for kind, facts in KINDS.items():
        assert {row.kind for row in facts.classes} == {kind}
    assert max(Counter(row.sop_class_uid for row in RESULT_CLASSES).values()) == 1


def test_no_two_kinds_share_a_series_number() -> None:
    assert max(Counter(facts.series_number for facts in KINDS.values()).values()) == 1


@pytest.mark.parametrize("kind", ResultKind)
def test_every_attribute_of_a_row_is_one_of_ps3_6(kind: ResultKind) -> None:
    facts = KINDS[kind]
    named = [facts.sources, facts.order, *facts.fixed, *facts.always, *filter(None, [facts.predecessor])]
    assert [keyword for keyword in named if tag_for_keyword(keyword) is None] == []


def test_a_kind_is_found_by_its_sop_class_and_no_other_is() -> None:
    assert [kind_of(row.sop_class_uid) for row in RESULT_CLASSES] == [row.kind for row in RESULT_CLASSES]
    with pytest.raises(KeyError):
        kind_of("1.2.840.10008.5.1.4.1.1.2")


def test_only_documents_of_content_items_name_the_order_in_their_content() -> None:
    assert {kind for kind, facts in KINDS.items() if facts.order == REFERENCED_REQUESTS} == {"SR", "KO"}
