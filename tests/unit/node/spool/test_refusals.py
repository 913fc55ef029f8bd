"""What is kept of refused callers: counted, bounded, said once, and readable for another process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from node.spool import refusals
from node.spool.refusals import MAXIMUM_ENTRIES, MAXIMUM_TITLES, OTHERS, Refusals

WHY = "calling AE title not recognized"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_WRITE_EVERY_S", 0.0)


def test_the_same_refusal_is_said_once_a_while_with_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Refusals(tmp_path)
    assert [counts.note("192.0.2.1", "WARD", WHY) for _ in range(5)] == [1, 0, 0, 0, 0]
    monkeypatch.setattr(refusals, "SAY_AGAIN_S", 0.0)
    assert [counts.note("192.0.2.1", "WARD", WHY) for _ in range(2)] == [5, 1]


def test_two_processes_are_one_list_with_the_latest_first(tmp_path: Path) -> None:
    first, second = Refusals(tmp_path), Refusals(tmp_path)
    for counts, title in ((first, "WARD"), (second, "WARD"), (second, "CATH")):
        counts.note("192.0.2.1", title, WHY)
        counts.write()
    found = refusals.read(tmp_path)
    assert [(one.calling_ae_title, one.times) for one in found] == [("CATH", 1), ("WARD", 2)]
    assert found[1].first_at < found[1].last_at < found[0].last_at


def test_a_caller_with_ever_new_titles_and_ever_new_callers_take_no_memory(tmp_path: Path) -> None:
    counts = Refusals(tmp_path)
    said = sum(counts.note("192.0.2.1", f"T{number}", WHY) for number in range(1000))
    counts.write()
    assert said == MAXIMUM_TITLES + 1
    assert {one.calling_ae_title: one.times for one in refusals.read(tmp_path)}[OTHERS] == 1000 - MAXIMUM_TITLES
    for number in range(2 * MAXIMUM_ENTRIES):
        counts.note(f"198.51.100.{number}", "WARD", WHY)
    counts.write()
    found = refusals.read(tmp_path)
    assert len(found) == MAXIMUM_ENTRIES
    assert found[0].peer_address == f"198.51.100.{2 * MAXIMUM_ENTRIES - 1}"


def test_where_nothing_was_refused_there_is_nothing(tmp_path: Path) -> None:
    Refusals(tmp_path).write()
    assert refusals.read(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_and_one_of_days_ago_are_passed_by(tmp_path: Path) -> None:
    old, counts = Refusals(tmp_path), Refusals(tmp_path)
    old.note("192.0.2.9", "OLD", WHY)
    old.write()
    (of_old,) = (tmp_path / refusals.FOLDER).iterdir()
    os.utime(of_old, (0, 0))
    for content in ("{", "[1]", json.dumps([{"why": 1}])):
        (tmp_path / refusals.FOLDER / f"{len(content)}.json").write_text(content)
    assert refusals.read(tmp_path) == []
    counts.note("192.0.2.1", "WARD", WHY)
    counts.write()
    assert [one.calling_ae_title for one in refusals.read(tmp_path)] == ["WARD"]
    assert not of_old.exists()


def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    counts = Refusals(tmp_path)
    (tmp_path / refusals.FOLDER).write_text("in the way")
    counts.note("192.0.2.1", "WARD", WHY)
    counts.write()
    assert refusals.read(tmp_path) == []
    (tmp_path / refusals.FOLDER).unlink()
    counts.write()
    assert [one.times for one in refusals.read(tmp_path)] == [1]
