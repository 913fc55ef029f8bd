"""The table of results and readers: collected, printed, written and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.paths import RECORDS
from tests.support.results import interoperability
from tests.support.results.interoperability import PAGE, Row, page, read_table, record, rows, table


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(RECORDS, str(tmp_path))
    return tmp_path


def test_what_is_recorded_twice_is_one_row(folder: Path) -> None:
    for _ in range(2):
        record(source="DX", object="SEG", profile="ohif", reader="OHIF")
    assert rows(folder) == [Row("DX", "SEG", "ohif", "OHIF", "held")]


def test_rows_of_several_processes_are_joined(folder: Path) -> None:
    record(source="DX", object="SEG", profile="ohif", reader="OHIF")
    (own,) = folder.glob("*.jsonl")
    own.rename(folder / "another.jsonl")
    record(source="CR", object="SEG", profile="ohif", reader="OHIF")
    assert {row.source for row in rows(folder)} == {"DX", "CR"}


def test_a_page_is_read_back_as_the_rows_it_was_written_from() -> None:
    found = [
        Row("DX 10×20", "SEG", "ohif", "one", "held"),
        Row("CR 10×20", "SEG", "ohif", "one", "held"),
        Row("CR 10×20", "SEG", "strict", "one", "refused: exit status 1"),
    ]
    assert len(table(found)) == 2 + 2
    assert read_table(page(found, {"one": "1.0"})) == set(found)


def test_the_committed_page_holds_what_the_viewer_and_the_second_readers_are_tried_with() -> None:
    from tests.support.viewer.cases import CASES

    found = read_table(PAGE.read_text(encoding="utf-8"))
    for reader in ("OHIF overlay", "highdicom segread", "DCMTK dcm2json", "DCMTK dcmdump"):
        assert {row.source for row in found if row.reader == reader} >= set(CASES), reader
    for reader in ("OHIF report", "highdicom srread", "DCMTK dsrdump", "dcmqi tid1500reader"):
        assert {row.source for row in found if row.reader == reader} >= set(CASES), reader


def test_the_committed_page_is_what_the_writer_makes_of_its_rows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "\n".join(table(sorted(read_table(text)))) in text
    assert interoperability.INTRODUCTION in text
    assert interoperability.LIMITS.rstrip() in text
