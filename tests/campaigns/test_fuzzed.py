"""The short form of the campaigns of mutated input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns import associations, codestreams, objects
from tests.campaigns.frame.fuzzed import Fuzzed
from tests.campaigns.frame.table import table


def assert_holds(found: Fuzzed, *, count: int) -> None:
    print(table([found]))
    assert found.findings == []
    assert found.count == count


@pytest.mark.timeout(300)
def test_mutated_associations_end_and_leave_nothing_behind(tmp_path: Path):
    found = associations.run(tmp_path, count=300, seed=1)
    assert_holds(found, count=300)
    assert found.outcomes.pop("objects stored") > 50
    assert {name.partition(" ")[0] for names in found.outcomes for name in names.split("+")} == {
        *associations.ANSWERS.values(),
        "none",
    }


def test_mutated_objects_are_judged_or_quarantined(tmp_path: Path):
    assert_holds(objects.run(tmp_path, count=400, seed=1), count=400)


def test_a_study_with_a_mutated_object_is_answered(tmp_path: Path):
    assert_holds(objects.run_pipeline(tmp_path, count=12, seed=1), count=12)


def test_mutated_codestreams_are_pictures_or_undecodable(tmp_path: Path):
    assert_holds(codestreams.run(tmp_path, count=60, seed=1), count=60)
