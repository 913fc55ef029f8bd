"""Nothing stays behind of what failed or was cut short: unfinished files, folders without an owner."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.errors import SpoolFull, SpoolUnavailable
from node.spool import durable
from node.spool.incoming import AssociationInfo, AssociationOutcome, new_association_id
from node.spool.store import Spool

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.create(tmp_path / "spool")


def unfinished(spool: Spool) -> list[Path]:
    return [path for path in (spool.root / "tmp").rglob("*") if path.suffix in (".part", ".association")]


def arrived(spool: Spool) -> Path:
    association = spool.incoming.open(AssociationInfo(new_association_id(NOW), "A", "B", "127.0.0.1", NOW))
    file = spool.temporary_path()
    file.write_bytes(b"object")
    return association.store(file)


def test_a_write_whose_place_is_gone_leaves_no_unfinished_file(spool: Spool, tmp_path: Path):
    with pytest.raises(OSError):
        durable.write_file(tmp_path / "gone" / "file", b"content", temporary=spool.temporary_path())
    with pytest.raises(OSError):
        durable.link_file(
            arrived(spool), tmp_path / "gone" / "file", temporary=spool.temporary_path(), is_sound=lambda _: True
        )
    assert unfinished(spool) == []


def test_a_result_that_cannot_be_stored_leaves_no_unfinished_file(spool: Spool):
    shutil.rmtree(spool.root / "results")
    with pytest.raises((SpoolFull, SpoolUnavailable)):
        spool.store_result(b"result")
    assert unfinished(spool) == []


def test_an_association_whose_folder_cannot_be_made_leaves_nothing(spool: Spool):
    shutil.rmtree(spool.root / "incoming")
    with pytest.raises(SpoolFull):
        arrived(spool)
    left = unfinished(spool)
    assert [path.suffix for path in left] == [".part"], "the caller's own file, and no folder"


def test_a_folder_without_a_lock_is_swept(spool: Spool):
    orphan = spool.root / "tmp" / "0123456789abcdef"
    orphan.mkdir()
    (orphan / "1.part").write_bytes(b"half")
    mine = spool.temporary_path()
    mine.write_bytes(b"mine")
    spool.sweep_temporary()
    assert not orphan.exists()
    assert mine.exists()


def test_an_incoming_folder_whose_owner_has_no_lock_is_closed_as_aborted(spool: Spool):
    arrived(spool)
    for lock in (spool.root / "tmp").glob("*.lock"):
        lock.unlink()  # a folder that was copied or restored without it
    Spool(spool.root).sweep_temporary()
    (folder,) = spool.incoming.arrivals()
    assert folder.outcome is AssociationOutcome.ABORTED
    assert len(folder.files) == 1


def test_an_open_association_of_a_living_process_stays_open(spool: Spool):
    arrived(spool)
    Spool(spool.root).sweep_temporary()
    (folder,) = spool.incoming.arrivals()
    assert folder.outcome is None
