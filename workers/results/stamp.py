"""The identity of the source, put into a written object byte for byte, and the character set that goes with it.

Libraries write text by encoding it, so an encoded value of the source could come back changed. Here the finished data
set (explicit VR, little endian) gets the source's own bytes in place of what was written; nothing is decoded.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from node.dicom.elements import LONG_VRS, Element, Tag, Walker
from workers.results.parts.references import has_procedure, names_an_order
from workers.results.sources.attributes import TEXT_VRS, known_character_sets
from workers.results.sources.identity import (
    ACCESSION_NUMBER,
    ATTRIBUTES,
    ISSUER_OF_ACCESSION_NUMBER,
    REFERENCED_REQUEST,
    REQUEST_ATTRIBUTES,
    Identity,
)
from workers.results.sources.source import Source

_ITEM: Final = 0xFFFEE000
_LATIN_1, _UTF_8, _ASCII = "ISO_IR 100", "ISO_IR 192", "ascii"
_SPELT_OUT: Final = {
    "ß": "ss",
    "–": "-",
    "—": "-",
    "’": "'",
    "µ": "u",
    "×": "x",
    "≥": ">=",
    "≤": "<=",
    "œ": "oe",
    "Œ": "OE",
    "æ": "ae",
    "Æ": "AE",
    "ø": "o",
    "Ø": "O",
}
"""Letters that a character set may lack and that do not decompose into ASCII."""


def prepare(ds: Dataset, identity: Identity) -> bytes | None:
    """Leave the places of the identity empty, and write the other texts so that they go with it.

    Returns
    -------
    bytes or None
        Specific Character Set (0008,0005) of the object (PS3.3 section C.12.1.1.2), None for none: the source's, in
        which letters of ours that it does not have lose their accents. Only where the identity reads the same in every
        set it is Latin 1 if that suffices, else UTF-8: DCMTK 3.6.7 warns that its checker does not support ISO_IR 192,
        and older readers do not support it at all.
    """
    for sequence in ("IssuerOfAccessionNumberSequence", "RequestAttributesSequence", "ReferencedRequestSequence"):
        if sequence in ds:
            setattr(ds, sequence, [_emptied(item) for item in ds[sequence].value])
    for keyword in ATTRIBUTES.values():
        if keyword in ds:
            ds.add_new(keyword, dictionary_VR(keyword), None)
    if identity.is_plain:
        term = _LATIN_1 if all(_has(text, "latin-1") for text in _texts(ds)) else _UTF_8
        ds.SpecificCharacterSet = term
        return term.encode()
    codec = _codec(identity.character_set)
    _rewrite(ds, lambda text: "".join(_within(letter, codec) for letter in text))
    ds.SpecificCharacterSet = _LATIN_1 if codec == _ASCII else known_character_sets(identity.character_set or b"")
    return identity.character_set


def _codec(character_set: bytes | None) -> str:
    """Return the codec of a single known character set; that of others is what they have in common."""
    terms = known_character_sets(character_set or b"")
    if character_set is None or len(terms) > 1 or terms[0].encode() != character_set:
        return _ASCII
    return convert_encodings(terms)[0]


def stamped(content: bytes, source: Source, *, character_set: bytes | None) -> bytes:
    """Return a written data set with the identity of its source in the places that `prepare` left empty.

    Parameters
    ----------
    character_set
        As `prepare` returned it.
    """
    values = dict(source.identity.values)
    removed = {Tag.SPECIFIC_CHARACTER_SET} if character_set is None else set[int]()
    values[Tag.SPECIFIC_CHARACTER_SET] = character_set or b""
    walker = Walker(content, explicit=True)
    items = {ISSUER_OF_ACCESSION_NUMBER: [source.identity.issuer], **orders_of(source)}
    parts = []
    for element, whole in _elements(walker, 0, len(content)):
        if element.tag in removed:
            continue
        if element.tag in items:
            parts.append(_sequence(walker, element, items[element.tag]))
        else:
            parts.append(_encoded(element, values[element.tag]) if element.tag in values else whole)
    return b"".join(parts)


def orders_of(source: Source) -> dict[int, list[Mapping[int, bytes]]]:
    """Return the bytes of the orders in each sequence that may name them, in the order of its items."""
    pairs = list(zip(source.request_attributes, source.identity.requests, strict=True))
    accession = {tag: value for tag, value in source.identity.values.items() if tag == ACCESSION_NUMBER}
    return {
        REQUEST_ATTRIBUTES: [{**accession, **raw} for item, raw in pairs if names_an_order(item)],
        REFERENCED_REQUEST: [{**accession, **raw} for item, raw in pairs if has_procedure(item)],
    }


def _sequence(walker: Walker, sequence: Element, values: list[Mapping[int, bytes]]) -> bytes:
    """Encode a sequence of defined length again, with the values of each item."""
    items = []
    for (start, end), raw in zip(walker.items(sequence), values, strict=True):
        parts = [
            _encoded(element, raw[element.tag]) if element.tag in raw and element.vr != b"SQ" else whole
            for element, whole in _elements(walker, start, end)
        ]
        content = b"".join(parts)
        items.append(struct.pack("<HHL", _ITEM >> 16, _ITEM & 0xFFFF, len(content)) + content)
    return _encoded(sequence, b"".join(items))


def _elements(walker: Walker, start: int, end: int) -> Iterator[tuple[Element, bytes]]:
    """Yield the elements between two positions, each with all its bytes."""
    for element in walker.elements(start, end):
        yield element, bytes(walker.data[start : element.end])
        start = element.end


def _encoded(element: Element, value: bytes) -> bytes:
    """Encode an element of defined length with another value, padded to even length."""
    value += b" " * (len(value) % 2)
    form = "<HH2sxxL" if element.vr in LONG_VRS else "<HH2sH"
    return struct.pack(form, element.tag >> 16, element.tag & 0xFFFF, element.vr, len(value)) + value


def _emptied(item: Dataset) -> Dataset:
    """Return an item with the same attributes, its texts empty."""
    copy = Dataset()
    for element in item:
        copy.add_new(element.tag, element.VR, None if element.VR in TEXT_VRS else element.value)
    return copy


def _texts(ds: Dataset) -> Iterator[str]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        elif element.VR in TEXT_VRS:
            yield str(element.value)


def _rewrite(ds: Dataset, change: Callable[[str], str]) -> None:
    """Change every text, at every depth."""
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                _rewrite(item, change)
        elif element.VR in TEXT_VRS and element.value:
            value = element.value
            many = isinstance(value, MultiValue | list)
            changed = [change(str(part)) for part in (value if many else [value])]
            if changed != [str(part) for part in (value if many else [value])]:
                ds.add_new(element.tag, element.VR, changed if many else changed[0])


def _has(text: str, codec: str) -> bool:
    """Return whether a character set has all letters of a text; the control characters of ISO 8859 are no letters."""
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return not any("\x80" <= letter < "\xa0" for letter in text)


def _within(letter: str, codec: str) -> str:
    """Return a letter as a character set has it, or what in ASCII comes nearest."""
    if _has(letter, codec):
        return letter
    bare = unicodedata.normalize("NFKD", _SPELT_OUT.get(letter, letter)).encode("ascii", "ignore").decode()
    return bare or "?"
