"""One module a data set, each reading the layout in which its owner distributes it, or that of DATA.md.

`read(name, folder)` gives records whose images are decoded only when asked for, the owner's terms, and a list of what
is wrong with the files; what makes the whole useless is refused (`SourceRefused`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from training.data.sources import atrium, ctr, dicom_folder, kermany, nih, rsna, siim
from training.data.sources.record import UNKNOWN, DataSet, Kind, LabelledBox, Problem, Record, SourceRefused, Volume

__all__ = [
    "SOURCES",
    "SPLIT_FILE",
    "UNKNOWN",
    "DataSet",
    "Kind",
    "LabelledBox",
    "Problem",
    "Record",
    "SourceRefused",
    "Volume",
    "folder_of",
    "read",
]

SOURCES: Mapping[str, Callable[[Path], DataSet]] = {
    "atrium": atrium.read,
    "ctr": ctr.read,
    "dicom": dicom_folder.read,
    "kermany": kermany.read,
    "nih": nih.read,
    "rsna": rsna.read,
    "siim": siim.read,
}
# The committed split that holds the images of a set, where that is not the one of its own name: the images of both
# challenges are NIH's, so their patients must lie in one part across all three.
SPLIT_FILE: Mapping[str, str] = {"siim": "nih", "rsna": "nih"}


def read(name: str, folder: Path) -> DataSet:
    """Read the data set `name` from its owner's folder, or from the folder that holds it as DATA.md describes.

    Raises
    ------
    SourceRefused
        The name is none of `SOURCES`, or the folder does not hold that set.
    """
    if name not in SOURCES:
        raise SourceRefused(f"{name} is no data set of this program; it reads {', '.join(SOURCES)}")
    if not folder.is_dir():
        raise SourceRefused(f"{folder} is no folder; give the one into which the data set was unpacked")
    return SOURCES[name](folder)


def folder_of(name: str, data: Path) -> Path:
    """Return the folder of the set `name` below the folder of all data sets: the child of its name, or this one itself.

    A folder of DICOM with a csv is taken as it is, whatever its children are called.
    """
    own = data / name
    itself = not own.is_dir() or (name == dicom_folder.NAME and any(data.glob("*.csv")))
    return data if itself else own
