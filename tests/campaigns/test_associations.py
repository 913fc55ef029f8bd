"""The short form of the campaign of mutated associations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaigns import associations


@pytest.mark.timeout(300)
def test_mutated_associations_end_and_leave_nothing_behind(tmp_path: Path):
    found = associations.run(tmp_path, count=300, seed=1)
    print(found.table())
    assert found.troubles == []
    assert found.successes > 50
    assert {name.partition(" ")[0] for names in found.answers for name in names.split("+")} == {
        *associations.ANSWERS.values(),
        "none",
    }
