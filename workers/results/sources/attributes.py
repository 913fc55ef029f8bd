"""The attributes of a received header that results repeat, each read for itself: whatever one raises, it is absent.

Found by the node's own walker, which bounds what may stand there (`node.dicom.elements`), so that pydicom is given
single elements of bounded size, and never a file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final, TypeVar

from pydicom import config
from pydicom.charset import convert_encodings, python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from node.dicom.contexts import DEFLATED
from node.dicom.deflated import data_set
from node.dicom.elements import UNDEFINED, Buffer, Element, Tag, Walker
from node.dicom.part10 import FileMeta
from node.errors import Quarantined

TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Value representations that Specific Character Set governs (PS3.5 section 6.1.2.3)."""

_LONGEST: Final = 65_534
"""Bytes of a value, and of a sequence with its items; the most that a text has in explicit VR."""

T = TypeVar("T")


@dataclass(frozen=True)
class SourceAttributes:
    """The attributes of one object.

    Attributes
    ----------
    meta
        File Meta Information.
    ds
        What pydicom can parse, decoded when it is asked for.
    raw
        Values as they stand in the file, by tag; sequences are not among them.
    items
        The items of sequences, with their values as they stand in the file.
    unreadable
        Tags of attributes that have a value which is none.
    """

    meta: FileMeta
    ds: Dataset
    raw: Mapping[int, bytes]
    items: Mapping[int, tuple[Mapping[int, bytes], ...]]
    unreadable: frozenset[int] = frozenset()


def read_attributes(file: BinaryIO, keywords: frozenset[str]) -> SourceAttributes | None:
    """Read the attributes with these keywords; None: it is no Part 10 file.

    Of an object that is broken further on, those before the break are read.

    Raises
    ------
    OSError
        The file cannot be read: the disk fails, which is no property of the object.
    """
    file.seek(0)
    wanted = {int(tag_for_keyword(keyword) or 0): dictionary_VR(keyword) for keyword in keywords}
    try:
        with data_set(file) as (data, meta):
            return _Reading(data, meta, wanted).attributes()
    except Quarantined:
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Read odd values without pydicom's judgement and its warnings, which quote them."""
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def attempt(read: Callable[[], T]) -> T | None:
    """Return what a reading gives; None where it raises, whatever that is."""
    try:
        with quiet():
            return read()
    except Exception:  # pydicom raises what it likes, from OSError to struct.error
        return None


def known_character_sets(value: bytes) -> list[str]:
    """Return the terms of a Specific Character Set (0008,0005) where pydicom knows them all, else that of Latin 1."""
    terms = [term.strip() for term in value.decode("latin-1").strip("\0 ").split("\\")]
    return terms if all(term in python_encoding for term in terms) else ["ISO_IR 100"]


class _Reading:
    """The reading of one object."""

    def __init__(self, data: Buffer, meta: FileMeta, wanted: Mapping[int, str]) -> None:
        self._data, self._meta, self._wanted = data, meta, wanted
        vr = bytes(data[meta.dataset_offset + 4 : meta.dataset_offset + 6])
        # As the data set itself shows it, which need not be what its transfer syntax says.
        self._explicit = meta.transfer_syntax_uid == DEFLATED.uid or (vr.isalpha() and vr.isupper())
        self._walker = Walker(data, explicit=self._explicit)
        self._ds = Dataset()
        self._raw: dict[int, bytes] = {}
        self._items: dict[int, tuple[Mapping[int, bytes], ...]] = {}
        self._unreadable = set[int]()

    def attributes(self) -> SourceAttributes:
        for element, head in self._elements():
            self._take(element, head)
        return SourceAttributes(self._meta, self._ds, self._raw, self._items, frozenset(self._unreadable))

    def _elements(self) -> Iterator[tuple[Element, bytes]]:
        """Yield the wanted elements before the first that does not fit, the first of each tag, with their bytes."""
        start = self._meta.dataset_offset
        found = set[int]()
        try:
            for element in self._walker.elements(start, len(self._data)):
                if element.tag in self._wanted and element.tag not in found and element.end - start <= _LONGEST:
                    found.add(element.tag)
                    yield element, bytes(self._data[start : element.end])
                start = element.end
        except Quarantined:
            return

    def _take(self, element: Element, whole: bytes) -> None:
        """Take an attribute: its bytes where it has the VR that it must have, and what pydicom makes of it."""
        vr = self._wanted[element.tag]
        if element.vr not in (b"", b"UN", vr.encode()):
            self._unreadable.add(element.tag)
            return
        if vr == "SQ":
            self._items[element.tag] = self._items_of(element)
        elif element.length != UNDEFINED:
            self._raw[element.tag] = self._walker.value(element)
        parsed = attempt(lambda: self._parsed(element.tag, whole))
        if parsed is None:
            self._unreadable.add(element.tag)
        else:
            self._ds.add(parsed)

    def _parsed(self, tag: int, element: bytes) -> DataElement:
        encodings = convert_encodings(known_character_sets(self._raw.get(Tag.SPECIFIC_CHARACTER_SET, b"")))
        ds = read_dataset(
            BytesIO(element), is_implicit_VR=not self._explicit, is_little_endian=True, parent_encoding=encodings
        )
        return ds[tag]

    def _items_of(self, sequence: Element) -> tuple[Mapping[int, bytes], ...]:
        """Return the items before the first that cannot be followed."""
        items: list[Mapping[int, bytes]] = []
        try:
            for start, end in self._walker.items(sequence):
                found = self._walker.elements(start, end)
                items.append({one.tag: self._walker.value(one) for one in found if one.length != UNDEFINED})
        except Quarantined:
            return ()
        return tuple(items)
