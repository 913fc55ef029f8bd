"""The short form of the campaign of mutated codestreams."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns import codestreams


def test_mutated_codestreams_are_pictures_or_undecodable(tmp_path: Path):
    found = codestreams.campaign(60, 1, tmp_path)
    print(found.table())
    assert found.findings == []
    assert found.count == 60
