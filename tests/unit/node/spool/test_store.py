"""The spool: nothing half-made is seen, nothing acknowledged is lost, and every step may be repeated."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.dicom.part10 import encode_meta
from node.errors import HilumError, SpoolFull
from node.spool import durable
from node.spool.incoming import (
    EMPTY_FOLDER_S,
    AssociationInfo,
    AssociationOutcome,
    IncomingAssociation,
    IncomingFolder,
    new_association_id,
)
from node.spool.store import Spool

OPENED = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.create(tmp_path / "spool")


def info(**changes: object) -> AssociationInfo:
    values: dict[str, object] = {
        "association_id": new_association_id(OPENED),
        "calling_ae_title": "ROUTER",
        "called_ae_title": "HILUM",
        "peer_address": "10.0.0.1",
        "opened_at": OPENED,
    }
    return AssociationInfo(**{**values, **changes})  # type: ignore[arg-type]


def part10(content: bytes = b"data set", *, source: str = "ROUTER", syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    meta = encode_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        sop_instance_uid="1.2",
        transfer_syntax_uid=syntax,
        source_ae_title=source,
    )
    return meta + content


def put(spool: Spool, association: IncomingAssociation, content: bytes) -> Path:
    temporary = spool.temporary_path()
    temporary.write_bytes(content)
    return association.store(temporary)


def test_an_association_without_objects_leaves_nothing(spool: Spool) -> None:
    association = spool.incoming.open(info())
    association.close(AssociationOutcome.RELEASED)
    assert list(spool.incoming.arrivals()) == []


def test_objects_arrive_in_order_with_their_association(spool: Spool) -> None:
    association = spool.incoming.open(info(tls_subject="CN=router"))
    files = [put(spool, association, part10(bytes([n]))) for n in range(12)]
    (folder,) = spool.incoming.arrivals()
    assert folder.info == association.info
    assert folder.files == tuple(files)
    assert [f.read_bytes()[-1] for f in folder.files] == list(range(12))
    assert folder.outcome is None
    association.close(AssociationOutcome.ABORTED)
    assert next(spool.incoming.arrivals()).outcome is AssociationOutcome.ABORTED


def test_associations_are_listed_oldest_first(spool: Spool) -> None:
    for hour in (5, 3, 4):
        opened = OPENED.replace(hour=hour)
        put(spool, spool.incoming.open(info(association_id=new_association_id(opened), opened_at=opened)), part10())
    assert [f.info.opened_at.hour for f in spool.incoming.arrivals()] == [3, 4, 5]


@pytest.mark.parametrize("title", ["../../etc/passwd", "a/b", "..", "\0", "CON"])
def test_titles_of_the_network_never_become_names(spool: Spool, title: str) -> None:
    put(spool, spool.incoming.open(info(calling_ae_title=title)), part10())
    (folder,) = spool.incoming.arrivals()
    assert folder.info.calling_ae_title == title
    assert folder.path.parent == spool.root / "incoming"


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".", "x" * 65])
def test_foreign_association_ids_are_refused(spool: Spool, name: str) -> None:
    with pytest.raises(ValueError, match="association_id"):
        spool.incoming.open(info(association_id=name))


def test_only_a_closed_and_empty_folder_is_removed(spool: Spool) -> None:
    association = spool.incoming.open(info())
    file = put(spool, association, part10())
    with pytest.raises(HilumError):
        next(spool.incoming.arrivals()).remove()
    association.close(AssociationOutcome.RELEASED)
    with pytest.raises(HilumError):
        next(spool.incoming.arrivals()).remove()
    spool.discard(file)
    spool.discard(file)
    next(spool.incoming.arrivals()).remove()
    assert list(spool.incoming.arrivals()) == []


def emptied(spool: Spool) -> IncomingFolder:
    """A closed association whose only file was discarded."""
    association = spool.incoming.open(info())
    spool.discard(put(spool, association, part10()))
    association.close(AssociationOutcome.RELEASED)
    return next(folder for folder in spool.incoming.arrivals() if folder.path == association.path)


def make_old(folder: Path) -> None:
    os.utime(folder, (0, time.time() - EMPTY_FOLDER_S - 1))


def test_a_removal_that_was_killed_before_the_marker_is_repeated(spool: Spool) -> None:
    (emptied(spool).path / "association.json").unlink()
    (folder,) = spool.incoming.arrivals()
    assert folder.info.calling_ae_title == "UNKNOWN"
    folder.remove()
    assert list(spool.incoming.arrivals()) == []


def test_a_removal_that_was_killed_after_the_marker_is_finished_a_minute_later(spool: Spool) -> None:
    path = emptied(spool).path
    for file in path.iterdir():
        file.unlink()
    assert list(spool.incoming.arrivals()) == []
    assert path.exists()
    make_old(path)
    assert list(spool.incoming.arrivals()) == []
    assert not path.exists()


def test_a_folder_that_is_gone_is_removed_without_complaint(spool: Spool) -> None:
    folder = emptied(spool)
    folder.remove()
    assert not folder.path.exists()
    folder.remove()
    assert list(spool.incoming.arrivals()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_not_ours_stays_and_stops_nobody(spool: Spool, kind: str) -> None:
    first, second = emptied(spool), emptied(spool)
    stray = first.path / "stray.dcm" if kind == "folder" else first.path / "notes.txt"
    stray.mkdir() if kind == "folder" else stray.write_text("kept")
    with capture_logs() as logs:
        for _ in range(3):
            for folder in spool.incoming.arrivals():
                assert folder.files == ()
                folder.remove()
            make_old(first.path)
    assert not second.path.exists()
    assert list(first.path.iterdir()) == [stray]
    assert [entry["event"] for entry in logs] == ["spool.folder_left"]


def test_an_open_association_is_listed_also_when_all_its_files_were_taken(spool: Spool) -> None:
    association = spool.incoming.open(info())
    spool.discard(put(spool, association, part10(b"1")))
    make_old(association.path)
    (folder,) = spool.incoming.arrivals()
    assert (folder.files, folder.outcome) == ((), None)
    put(spool, association, part10(b"2"))
    assert len(next(spool.incoming.arrivals()).files) == 1


def test_a_folder_without_info_keeps_its_files(spool: Spool) -> None:
    association = spool.incoming.open(info())
    put(spool, association, part10())
    (association.path / "association.json").unlink()
    make_old(association.path)
    (folder,) = spool.incoming.arrivals()
    assert (len(folder.files), folder.outcome) == (1, None)


def test_closing_the_spool_ends_the_associations_that_are_open(spool: Spool) -> None:
    released, left = spool.incoming.open(info()), spool.incoming.open(info())
    for association in (released, left):
        put(spool, association, part10())
    released.close(AssociationOutcome.RELEASED)
    late = spool.root / "late"
    late.write_bytes(part10(b"late"))
    spool.close()
    assert {f.path: f.outcome for f in spool.incoming.arrivals()} == {
        released.path: AssociationOutcome.RELEASED,
        left.path: AssociationOutcome.ABORTED,
    }
    with pytest.raises(SpoolFull):
        left.store(late)
    left.close(AssociationOutcome.RELEASED)
    assert {f.path: (len(f.files), f.outcome) for f in spool.incoming.arrivals()}[left.path] == (
        1,
        AssociationOutcome.ABORTED,
    )


def no_space(path: Path) -> None:
    raise OSError(28, "No space left on device")


def test_an_association_that_cannot_be_ended_is_left_to_a_later_sweep(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(spool, spool.incoming.open(info()), part10())
    other = Spool(spool.root)
    with monkeypatch.context() as full:
        full.setattr(Path, "touch", no_space)
        spool.close()
        assert other.sweep_temporary() == 1
        assert next(other.incoming.arrivals()).outcome is None
    assert other.sweep_temporary() == 1
    assert next(other.incoming.arrivals()).outcome is AssociationOutcome.ABORTED
    assert other.sweep_temporary() == 0
    assert list((spool.root / "tmp").iterdir()) == []


def test_sweeps_of_many_processes_at_once_harm_nobody(spool: Spool) -> None:
    others = [Spool(spool.root) for _ in range(4)]
    for other in others:
        other.temporary_path().write_bytes(b"in use")
    (spool.root / "tmp" / "dead.lock").write_text("")
    (spool.root / "tmp" / "dead").mkdir()
    (spool.root / "tmp" / "dead" / "1.part").write_bytes(b"left")
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda n: others[n % 4].sweep_temporary(), range(200)))
    assert sum(counts) == 1
    assert len(list((spool.root / "tmp").glob("*/*.part"))) == 4
    for other in others:
        other.close()


def _forked(spool: Spool, answer: object) -> None:
    answer.put(spool.temporary_path())  # type: ignore[attr-defined]
    spool.close()


def test_a_forked_process_has_a_folder_of_its_own(spool: Spool) -> None:
    mine = spool.temporary_path()
    mine.write_bytes(b"mine")
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    child = context.Process(target=_forked, args=(spool, answer))
    child.start()
    theirs = answer.get(timeout=20)
    child.join(20)
    assert theirs.parent != mine.parent
    assert mine.exists()
    assert Spool(spool.root).sweep_temporary() == 0
    spool.close()


def test_a_marker_means_that_every_file_is_listed(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver stores and closes between the two looks of the intake: the folder then counts as open."""
    association = spool.incoming.open(info())
    put(spool, association, part10(b"1"))
    listing = os.scandir

    def late(path: Path) -> object:
        if path == association.path:
            put(spool, association, part10(b"2"))
            association.close(AssociationOutcome.RELEASED)
        return listing(path)

    monkeypatch.setattr(os, "scandir", late)
    (folder,) = spool.incoming.arrivals()
    assert folder.outcome is None
    monkeypatch.undo()
    (folder,) = spool.incoming.arrivals()
    assert (len(folder.files), folder.outcome) == (2, AssociationOutcome.RELEASED)


def test_keep_names_by_content_and_may_be_repeated(spool: Spool) -> None:
    association = spool.incoming.open(info())
    file = put(spool, association, part10())
    first, second = spool.keep(file), spool.keep(file)
    assert first == second
    assert first.path == spool.root / "objects" / first.sha256[:2] / f"{first.sha256}.dcm"
    assert first.path.read_bytes() == file.read_bytes()
    assert first.size == file.stat().st_size
    spool.discard(file)
    assert first.path.exists()


def test_identity_is_that_of_data_set_and_transfer_syntax(spool: Spool) -> None:
    association = spool.incoming.open(info())
    same = {spool.keep(put(spool, association, part10(source=s))).sha256 for s in ("A", "ANOTHER")}
    assert same == {hashlib.sha256(b"1.2.840.10008.1.2.1\0data set").hexdigest()}
    other = spool.keep(put(spool, association, part10(syntax="1.2.840.10008.1.2"))).sha256
    assert other not in same


def test_keep_copies_where_hard_links_are_impossible(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    file = put(spool, spool.incoming.open(info()), part10())
    kept = spool.keep(file)
    assert kept.path.read_bytes() == file.read_bytes()
    assert spool.keep(file) == kept


def test_quarantine_keeps_bytes_and_reason(spool: Spool) -> None:
    file = put(spool, spool.incoming.open(info()), b"no DICOM at all")
    kept = spool.quarantine(file, "malformed-object", "no prefix")
    assert spool.quarantine(file, "malformed-object", "no prefix") == kept
    assert kept.sha256 == hashlib.sha256(b"no DICOM at all").hexdigest()
    assert kept.path.read_bytes() == b"no DICOM at all"
    record = json.loads(kept.path.with_suffix(".json").read_text())
    assert (record["reason"], record["detail"]) == ("malformed-object", "no prefix")
    assert record["association"]["calling_ae_title"] == "ROUTER"
    assert record["arrival"].endswith("/000001.dcm")
    assert file.exists()


def test_results_are_kept_once_and_repaired(spool: Spool) -> None:
    sha256, path = spool.store_result(b"result")
    assert (sha256, path) == (hashlib.sha256(b"result").hexdigest(), spool.result_path(sha256))
    path.write_bytes(b"damaged")
    assert spool.store_result(b"result") == (sha256, path)
    assert path.read_bytes() == b"result"


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63])
def test_only_digests_name_content(spool: Spool, name: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        spool.object_path(name)


def test_a_full_disk_is_spool_full_and_the_number_is_not_used_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    association = spool.incoming.open(info())
    put(spool, association, part10(b"1"))
    real = durable.sync_directory

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "sync_directory", full)
    with pytest.raises(SpoolFull):
        put(spool, association, part10(b"2"))
    with pytest.raises(SpoolFull):
        association.close(AssociationOutcome.RELEASED)
    with pytest.raises(SpoolFull):
        spool.store_result(b"result")
    monkeypatch.setattr(durable, "sync_directory", real)
    third = put(spool, association, part10(b"3"))
    assert third.name == "000003.dcm"


def test_free_bytes_are_those_of_the_file_system(spool: Spool) -> None:
    assert 0 < spool.free_bytes() <= shutil.disk_usage(spool.root).total


def _live(root: Path, ready: object, leave: object, *, crash: bool) -> None:
    spool = Spool(root)
    spool.temporary_path().write_bytes(b"unfinished")
    put(spool, spool.incoming.open(info()), part10(b"acknowledged"))
    ready.set()  # type: ignore[attr-defined]
    leave.wait()  # type: ignore[attr-defined]
    if crash:
        os._exit(9)
    spool.close()


@pytest.mark.parametrize("crash", [True, False])
def test_the_sweep_takes_what_the_dead_left_and_nothing_else(spool: Spool, crash: bool) -> None:
    context = multiprocessing.get_context("fork")
    ready, leave = context.Event(), context.Event()
    child = context.Process(target=_live, args=(spool.root, ready, leave), kwargs={"crash": crash})
    child.start()
    assert ready.wait(20)
    spool.temporary_path().write_bytes(b"mine")
    unfinished = list((spool.root / "tmp").glob("*/*.part"))
    assert len(unfinished) == 2
    assert spool.sweep_temporary() == 0
    assert next(spool.incoming.arrivals()).outcome is None
    leave.set()
    child.join(20)
    assert spool.sweep_temporary() == (1 if crash else 0)
    (left,) = (spool.root / "tmp").glob("*/*.part")
    assert left.read_bytes() == b"mine"
    (folder,) = spool.incoming.arrivals()
    assert len(folder.files) == 1
    assert folder.outcome is AssociationOutcome.ABORTED
    spool.close()
    assert list((spool.root / "tmp").iterdir()) == []


def test_a_stray_file_among_the_arrivals_does_no_harm(spool: Spool) -> None:
    (spool.root / "incoming" / "stray").write_text("")
    (spool.root / "incoming" / "empty").mkdir()
    put(spool, spool.incoming.open(info()), part10())
    assert [len(f.files) for f in spool.incoming.arrivals() if f.files] == [1]


def test_a_recorded_object_is_found_where_it_was_accepted_or_quarantined(spool: Spool) -> None:
    association = spool.incoming.open(info())
    accepted, refused = put(spool, association, part10()), put(spool, association, b"no DICOM at all")
    kept = spool.keep(accepted)
    aside = spool.quarantine(refused, "malformed", "no DICOM")
    assert spool.received_path(kept.sha256) == kept.path
    assert spool.received_path(aside.sha256) == aside.path
    assert spool.quarantine(accepted, "too-large", "by a limit of before").path != kept.path
    assert spool.received_path(kept.sha256) == kept.path, "the sound copy counts"
    assert spool.received_path("0" * 64) == spool.object_path("0" * 64), "it is neither: where it should be"
