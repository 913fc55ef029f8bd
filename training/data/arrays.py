"""Arrays on the disk that are filled row by row, and go on where a killed run stopped.

Rows are written into memory-mapped `NAME.npy.part` files. After every few rows these are flushed, and only then the
rows are marked in `done.npy`: so a marked row is whole, and at most those few are made again. When all rows are there
the files get their names, and `ids.json` last: it says that the rest is whole. One process fills a folder at a time;
another one waits.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.progress import OnProgress

Rows = Mapping[str, NDArray[np.uint8]]
IDS = "ids.json"
ROWS_AT_ONCE = 8
_DONE, _LOCK, _PART = "done.npy", ".lock", ".part"


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Make the folder and wait until no other process fills it; one that was killed does not hold it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_complete(folder: Path) -> bool:
    """Return whether `fill` has finished in this folder."""
    return (folder / IDS).exists()


def fill(folder: Path, ids: Sequence[str], row: Callable[[int], Rows], on_progress: OnProgress) -> None:
    """Fill one array for each name that `row` gives, with one row an id; what an earlier run has marked stays.

    Parameters
    ----------
    row
        Gives row `index` of each array, uint8, the same names and shapes for each index.
    on_progress
        Is told how many of how many rows are there.
    """
    done = _begun(folder, ids)
    missing = np.flatnonzero(done == 0).tolist()
    for start in range(0, len(missing), ROWS_AT_ONCE):
        part = missing[start : start + ROWS_AT_ONCE]
        arrays: dict[str, np.memmap] = {}
        for index in part:
            for name, values in row(index).items():
                if name not in arrays:
                    arrays[name] = _opened(folder / f"{name}.npy{_PART}", (len(ids), *values.shape))
                arrays[name][index] = values
        for array in arrays.values():
            array.flush()
        done[part] = 1
        done.flush()
        on_progress(int(done.sum()), len(ids))
    for path in sorted(folder.glob(f"*.npy{_PART}")):
        path.rename(path.with_suffix(""))
    (folder / f"{IDS}{_PART}").rename(folder / IDS)
    (folder / _DONE).unlink()


def _begun(folder: Path, ids: Sequence[str]) -> np.memmap:
    """Return the marks of an earlier run with the same ids, or begin anew."""
    listed, marks = folder / f"{IDS}{_PART}", folder / _DONE
    parts = list(folder.glob(f"*.npy{_PART}"))
    if listed.exists() and listed.read_text() == json.dumps(list(ids)) and marks.exists():
        done = _opened(marks, (len(ids),))
        # All marked and no array left: the run was killed between the last renames.
        if all(_fits(path, len(ids)) for path in parts) and (parts or not done.any() or done.all()):
            return done
    for path in (*parts, marks):
        path.unlink(missing_ok=True)
    listed.write_text(json.dumps(list(ids)))
    return _opened(marks, (len(ids),))


def _fits(path: Path, count: int) -> bool:
    """Return whether an array of an earlier run can be opened and has as many rows."""
    try:
        return len(np.load(path, mmap_mode="r")) == count
    except (ValueError, EOFError, OSError):
        return False


def _opened(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Open the array of an earlier run for writing, or make one of zeros."""
    if path.exists():
        return np.lib.format.open_memmap(path, mode="r+")
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
