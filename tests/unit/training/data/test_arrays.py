"""Arrays filled row by row: killed in the middle they go on, finished they are as numpy writes them."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from models.image import pixels
from models.image.inputs import InputSpec
from training.data import arrays, cache
from training.data.collection import Collection
from training.data.sources import Record, SourceRefused

IDS = [f"i{n}" for n in range(100)]


class Stopped(Exception):
    """Stands for whatever ends a run."""


def value(index: int) -> dict[str, np.ndarray]:
    return {"images": np.full((4, 3), index, np.uint8), "masks": np.full((2, 4, 3), 255 - index, np.uint8)}


def fill(folder: Path, *, stop: int | None = None, ids: list[str] = IDS) -> list[int]:
    """Fill, and give the rows that were made; stop before the row `stop`."""
    made: list[int] = []

    def row(index: int) -> dict[str, np.ndarray]:
        if index == stop:
            raise Stopped
        made.append(index)
        return value(index)

    with arrays.exclusive_lock(folder), contextlib.suppress(Stopped):
        arrays.fill(folder, ids, row, lambda done, of: None)
    return made


def check(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"images.npy", "masks.npy", "ids.json", ".lock"}
    assert json.loads((folder / "ids.json").read_text()) == IDS
    for name in ("images", "masks"):
        np.save(folder.parent / f"{name}.npy", np.stack([value(index)[name] for index in range(len(IDS))]))
        assert (folder / f"{name}.npy").read_bytes() == (folder.parent / f"{name}.npy").read_bytes()


def test_finished_arrays_are_what_numpy_would_have_saved(tmp_path: Path) -> None:
    assert fill(tmp_path / "a") == list(range(100))
    check(tmp_path / "a")


@pytest.mark.parametrize("stop", [0, 1, 31, 32, 33, 70, 99])
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, stop: int) -> None:
    fill(tmp_path / "a", stop=stop)
    assert not arrays.is_complete(tmp_path / "a")
    marked = stop // arrays.ROWS_AT_ONCE * arrays.ROWS_AT_ONCE
    assert fill(tmp_path / "a") == list(range(marked, 100))
    check(tmp_path / "a")


def test_another_list_of_ids_begins_anew(tmp_path: Path) -> None:
    fill(tmp_path / "a", stop=70, ids=IDS[::-1])
    assert fill(tmp_path / "a") == list(range(100))
    check(tmp_path / "a")


@pytest.mark.parametrize("lost", ["images.npy.part", "done.npy", "ids.json.part"])
def test_what_was_lost_or_cut_is_made_again(tmp_path: Path, lost: str) -> None:
    fill(tmp_path / "a", stop=70)
    if lost == "images.npy.part":
        (tmp_path / "a" / lost).write_bytes(b"\x93NUMPY")
    else:
        (tmp_path / "a" / lost).unlink()
    assert fill(tmp_path / "a") == list(range(100))
    check(tmp_path / "a")


def slow(folder: Path) -> None:
    def row(index: int) -> dict[str, np.ndarray]:
        time.sleep(0.02)
        return value(index)

    with arrays.exclusive_lock(folder):
        arrays.fill(folder, IDS, row, lambda done, of: None)


def test_a_killed_process_holds_nobody_up_and_its_rows_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    process = multiprocessing.get_context("spawn").Process(target=slow, args=(folder,))
    process.start()
    deadline = time.monotonic() + 120
    while not ((folder / "done.npy").exists() and np.load(folder / "done.npy").sum() >= 32):
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    made = fill(folder)
    assert made[0] >= 32
    assert made[-1] == 99
    check(folder)


def test_a_decoded_set_is_not_decoded_again(tmp_path: Path) -> None:
    """The second run reads no image at all; a run killed in the middle reads the rest."""
    read: list[int] = []

    def image(index: int) -> pixels.Radiograph:
        read.append(index)
        if len(read) == 40:
            raise Stopped
        return pixels.from_array(np.full((40, 30), index, np.uint8))

    def nowhere(record: Record, shape: tuple[int, int]) -> np.ndarray:
        return np.zeros((3, *shape), np.uint8)

    (tmp_path / "file").touch()
    records = {f"i{n}": Record(f"i{n}", "p", tmp_path / "file", lambda n=n: image(n)) for n in range(50)}
    images = Collection("made", (), records, dict.fromkeys(records, "train"))
    spec = InputSpec(size=32)
    folder = cache.folder_of(tmp_path, images, spec, nowhere)

    def build() -> cache.Cache:
        return cache.build(images, spec, tmp_path, targets=nowhere)

    with pytest.raises(Stopped):
        build()
    assert not arrays.is_complete(folder)
    built = build()
    assert read[40:] == list(range(32, 50))
    assert built.ids == tuple(f"i{n}" for n in range(50))
    assert built.images.shape == (50, 32, 32)
    assert built.masks is not None
    read.clear()
    assert build().ids == built.ids
    assert read == []


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    def damaged() -> pixels.Radiograph:
        raise ValueError("4184 bytes, 9216 were expected")

    (tmp_path / "cut.dcm").touch()
    images = Collection("made", (), {"a": Record("a", "p", tmp_path / "cut.dcm", damaged)}, {"a": "train"})
    with pytest.raises(SourceRefused, match=r"cut\.dcm cannot be decoded: 4184 bytes.*explore. lists all such files"):
        cache.build(images, InputSpec(size=32), tmp_path)
