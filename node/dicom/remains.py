"""What can still be read of an object that cannot be used: for people who look for the reason, not for decisions."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.dicom.contexts import DEFLATED
from node.dicom.elements import Tag, Walker
from node.dicom.part10 import FileMeta, read_meta
from node.errors import Quarantined

_LONGEST: Final = 64
"""Bytes of a value that are read: a UID, or a code string."""


@dataclass(frozen=True, slots=True)
class Remains:
    """Attributes of an object that cannot be used. None: not found before the reading failed."""

    transfer_syntax_uid: str
    """From the File Meta Information."""
    sop_class_uid: str | None
    """From the data set, else from the File Meta Information."""
    modality: str | None = None
    body_part: str | None = None
    view_position: str | None = None
    rows: int | None = None
    columns: int | None = None
    photometric_interpretation: str | None = None


def remains_of(path: Path) -> Remains | None:
    """Read what can be read; None: not even the File Meta Information."""
    try:
        with path.open("rb") as file:
            meta = read_meta(file)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _found(data, meta)
    except (Quarantined, OSError, ValueError):
        return None


def _found(data: mmap.mmap, meta: FileMeta) -> Remains:
    values = {} if meta.transfer_syntax_uid == DEFLATED.uid else _values(data, meta.dataset_offset)

    def text(tag: int) -> str | None:
        first = values.get(tag, b"").decode("latin-1").split("\\")[0]
        return "".join(c for c in first if c.isprintable()).strip() or None

    def number(tag: int) -> int | None:
        value = values.get(tag, b"")
        return int.from_bytes(value, "little") if len(value) == 2 else None

    return Remains(
        transfer_syntax_uid=meta.transfer_syntax_uid,
        sop_class_uid=text(Tag.SOP_CLASS_UID) or meta.sop_class_uid,
        modality=text(Tag.MODALITY),
        body_part=text(Tag.BODY_PART_EXAMINED),
        view_position=text(Tag.VIEW_POSITION),
        rows=number(Tag.ROWS),
        columns=number(Tag.COLUMNS),
        photometric_interpretation=text(Tag.PHOTOMETRIC_INTERPRETATION),
    )


def _values(data: mmap.mmap, start: int) -> dict[int, bytes]:
    """Copy the short values before the first element that does not fit, in the VR that the data set itself shows."""
    vr = data[start + 4 : start + 6]
    walker, values = Walker(data, explicit=vr.isalpha() and vr.isupper()), dict[int, bytes]()
    try:
        for element in walker.elements(start, len(data)):
            if element.length <= _LONGEST:
                values.setdefault(element.tag, walker.value(element))
    except Quarantined:
        pass  # those before it are what remains
    return values
