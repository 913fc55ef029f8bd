"""Heads of the audit chain in a file: what a power cut tore is no tampering."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.db.audit import Head
from node.dispatch import anchors

NOW = datetime(2026, 12, 1, tzinfo=UTC)
FIRST, SECOND, THIRD = (Head(number, f"{number:064x}") for number in (1, 2, 3))


@pytest.mark.parametrize("cut", [1, 2, 20, 63, 65, 70, 90])
def test_a_torn_line_is_left_out_and_the_next_one_is_whole(tmp_path: Path, cut: int):
    anchors.note(tmp_path, FIRST, now=NOW)
    anchors.note(tmp_path, SECOND, now=NOW)
    file = tmp_path / anchors.FILE
    file.write_bytes(file.read_bytes()[:-cut])
    kept = [FIRST, SECOND] if cut == 1 else [FIRST]
    assert anchors.read(tmp_path) == kept
    anchors.note(tmp_path, THIRD, now=NOW)
    assert anchors.read(tmp_path) == [*kept, THIRD]


def test_a_head_is_noted_once(tmp_path: Path):
    for head in (FIRST, FIRST, SECOND):
        anchors.note(tmp_path, head, now=NOW)
    assert anchors.read(tmp_path) == [FIRST, SECOND]
