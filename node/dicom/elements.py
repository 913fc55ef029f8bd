"""Walk the elements of an encoded data set (PS3.5 chapter 7) without decoding it: where each one is, and if all fit.

Written for bytes of unknown origin: no recursion, at most `MAXIMUM_ELEMENTS` steps, no value is copied unless it is
wanted. What stands in sequences of defined length is counted, so that no other parser is given more, but need not fit.
Little endian only; other encodings are not negotiated.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.errors import Quarantined
from node.reasons import Reason

Buffer = bytes | mmap.mmap

MAXIMUM_ELEMENTS: Final = 500_000
"""Elements and items that are walked in one object; a chest radiograph has about 200, half a second is their price."""

MAXIMUM_DEPTH: Final = 24
"""Deepest nesting of sequences; the deepest of the Standard's content trees in use stay under 12."""

UNDEFINED: Final = 0xFFFFFFFF
PIXEL_DATA: Final = 0x7FE00010

_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_ITEM_BYTES: Final = b"\xfe\xff\x00\xe0"

_SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()  # PS3.5 Table 7.1-2
)
LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # PS3.5 Table 7.1-1
_BLOCK: Final = 1 << 16
_IMPLICIT: Final = struct.Struct("<HHL")


class Tag:
    """Tags of the attributes that the node reads of a header, by keyword (PS3.6 chapter 6)."""

    SPECIFIC_CHARACTER_SET = 0x00080005
    IMAGE_TYPE = 0x00080008
    INSTANCE_CREATION_DATE = 0x00080012
    SOP_CLASS_UID = 0x00080016
    SOP_INSTANCE_UID = 0x00080018
    STUDY_DATE = 0x00080020
    SERIES_DATE = 0x00080021
    ACQUISITION_DATE = 0x00080022
    CONTENT_DATE = 0x00080023
    ACQUISITION_DATE_TIME = 0x0008002A
    MODALITY = 0x00080060
    PRESENTATION_INTENT_TYPE = 0x00080068
    MANUFACTURER = 0x00080070
    CODE_VALUE = 0x00080100
    CODING_SCHEME_DESIGNATOR = 0x00080102
    CODE_MEANING = 0x00080104
    STUDY_DESCRIPTION = 0x00081030
    SERIES_DESCRIPTION = 0x0008103E
    ANATOMIC_REGION_SEQUENCE = 0x00082218
    PATIENT_BIRTH_DATE = 0x00100030
    PATIENT_SEX = 0x00100040
    PATIENT_AGE = 0x00101010
    SPECIES_DESCRIPTION = 0x00102201
    SPECIES_CODE_SEQUENCE = 0x00102202
    SEX_NEUTERED = 0x00102203
    BODY_PART_EXAMINED = 0x00180015
    DEVICE_UID = 0x00181002
    VIEW_POSITION = 0x00185101
    CONTRIBUTING_EQUIPMENT_SEQUENCE = 0x0018A001
    STUDY_INSTANCE_UID = 0x0020000D
    SERIES_INSTANCE_UID = 0x0020000E
    PATIENT_ORIENTATION = 0x00200020
    SAMPLES_PER_PIXEL = 0x00280002
    PHOTOMETRIC_INTERPRETATION = 0x00280004
    NUMBER_OF_FRAMES = 0x00280008
    ROWS = 0x00280010
    COLUMNS = 0x00280011
    BITS_ALLOCATED = 0x00280100
    BITS_STORED = 0x00280101
    PURPOSE_OF_REFERENCE_CODE_SEQUENCE = 0x0040A170
    PERFORMED_PROTOCOL_CODE_SEQUENCE = 0x00400260
    VIEW_CODE_SEQUENCE = 0x00540220

    DATES_OF_EXAMINATION = (
        STUDY_DATE,
        SERIES_DATE,
        ACQUISITION_DATE,
        ACQUISITION_DATE_TIME,
        CONTENT_DATE,
        INSTANCE_CREATION_DATE,
    )
    """Dates of which one is that of the examination, the best first."""


@dataclass(frozen=True, slots=True)
class Element:
    """Where one element's value is."""

    tag: int
    vr: bytes
    """Value representation; empty in implicit VR."""
    start: int
    length: int
    """Length in bytes, or `UNDEFINED`."""
    end: int
    """Position after the element, delimiters included."""


class Walker:
    """Reads elements of one buffer; counts its steps over all calls.

    Parameters
    ----------
    data
        The whole file.
    explicit
        Whether the data set is in explicit VR.
    """

    def __init__(self, data: Buffer, *, explicit: bool) -> None:
        self.data, self._explicit, self._steps = data, explicit, 0

    def elements(self, start: int, end: int) -> Iterator[Element]:
        """Walk the elements between two positions, which must be an exact fit but for zeros after the last one.

        Raises
        ------
        Quarantined
            An element is cut off (`TRUNCATED`) or cannot be (`MALFORMED`).
        """
        position = start
        while position < end and not self._only_zeros_from(position, end):
            element = self._element(position, end, explicit=self._explicit)
            yield element
            position = element.end

    def items(self, sequence: Element) -> Iterator[tuple[int, int]]:
        """Walk the items of a sequence element: start and end of each item's data set."""
        position = sequence.start
        end = sequence.end if sequence.length == UNDEFINED else sequence.start + sequence.length
        while position < end:
            tag, length = self._item_header(position, end)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise Quarantined(Reason.MALFORMED, f"tag {tag:08X} where a sequence item was expected")
            content = position + 8
            if length == UNDEFINED:
                position = self._skip(content, end, item=True, explicit=self._explicit)
                yield content, position - 8
            else:
                position = _within(content + length, end, "a sequence item")
                yield content, position

    def fragments(self, pixel_data: Element) -> list[int]:
        """Measure the fragments of encapsulated pixel data, Basic Offset Table first (PS3.5 section A.4)."""
        lengths, position = [], pixel_data.start
        while position < pixel_data.end:
            tag, length = self._item_header(position, pixel_data.end)
            if tag == _SEQUENCE_END:
                break
            lengths.append(length)
            position += 8 + length
        return lengths

    def value(self, element: Element) -> bytes:
        """Copy an element's value."""
        return bytes(self.data[element.start : element.start + element.length])

    def _only_zeros_from(self, position: int, end: int) -> bool:
        """Return whether padding is all that is left: no data set has an element (0000,0000)."""
        return not any(self.data[position : position + 4]) and zeros(self.data, position, end)

    def _element(self, position: int, end: int, *, explicit: bool) -> Element:
        """Read one element header and find the element's end."""
        self._step()
        if position + 8 > end:
            raise Quarantined(Reason.TRUNCATED, "the data set ends within an element header")
        group, number, length = _IMPLICIT.unpack_from(self.data, position)
        tag, vr, value_at = group << 16 | number, b"", position + 8
        if group == 0xFFFE:
            raise Quarantined(Reason.MALFORMED, f"delimiter {tag:08X} outside of a sequence")
        if explicit:
            vr = bytes(self.data[position + 4 : position + 6])
            if vr in _SHORT_VRS:
                length >>= 16
            elif vr in LONG_VRS:
                if position + 12 > end:
                    raise Quarantined(Reason.TRUNCATED, "the data set ends within an element header")
                length, value_at = int.from_bytes(self.data[position + 8 : position + 12], "little"), position + 12
            else:
                raise Quarantined(Reason.MALFORMED, f"({tag:08X}) has no value representation of PS3.5 section 6.2")
        if length != UNDEFINED:
            element = Element(tag, vr, value_at, length, _within(value_at + length, end, f"({tag:08X})"))
            if self._holds_items(vr, value_at):
                self._count(value_at, element.end)
            return element
        if vr not in (b"", b"SQ", b"UN") and tag != PIXEL_DATA:
            raise Quarantined(Reason.MALFORMED, f"({tag:08X}) with VR {vr.decode()} has undefined length")
        if tag == PIXEL_DATA:
            return Element(tag, vr, value_at, length, self._skip_fragments(value_at, end))
        inner = explicit and vr != b"UN"  # UN of undefined length holds implicit VR (PS3.5 section 6.2.2)
        return Element(tag, vr, value_at, length, self._skip(value_at, end, item=False, explicit=inner))

    def _skip(self, position: int, end: int, *, item: bool, explicit: bool) -> int:
        """Find the end of a sequence, or of an item, of undefined length: a stack instead of recursion."""
        stack = [(item, explicit)]
        while stack:
            in_item, explicit = stack[-1]
            tag, length = self._item_header(position, end)
            if tag == (_ITEM_END if in_item else _SEQUENCE_END):
                stack.pop()
                position += 8
            elif not in_item:
                if tag != _ITEM:
                    raise Quarantined(Reason.MALFORMED, f"tag {tag:08X} where a sequence item was expected")
                if length == UNDEFINED:
                    stack.append((True, explicit))
                    position += 8
                else:
                    content, position = position + 8, _within(position + 8 + length, end, "a sequence item")
                    self._count(content, position)
            else:
                position, nested = self._enter(position, end, explicit=explicit)
                if nested is not None:
                    stack.append((False, nested))
            if len(stack) > MAXIMUM_DEPTH:
                raise Quarantined(Reason.MALFORMED, f"sequences are nested deeper than {MAXIMUM_DEPTH}")
        return position

    def _enter(self, position: int, end: int, *, explicit: bool) -> tuple[int, bool | None]:
        """Step over one element inside an item, or into it where its length is undefined (then also: explicit VR?)."""
        if explicit and bytes(self.data[position + 4 : position + 6]) in (b"SQ", b"UN"):
            undefined = int.from_bytes(self.data[position + 8 : position + 12], "little") == UNDEFINED
            content, nested = position + 12, bytes(self.data[position + 4 : position + 6]) == b"SQ"
        else:
            undefined = not explicit and self.data[position + 4 : position + 8] == b"\xff\xff\xff\xff"
            content, nested = position + 8, False
        pixel_data = self.data[position : position + 4] == b"\xe0\x7f\x10\x00"
        if undefined and not pixel_data:
            self._step()
            return _within(content, end, "a nested sequence"), nested
        return self._element(position, end, explicit=explicit).end, None

    def _skip_fragments(self, position: int, end: int) -> int:
        """Find the end of encapsulated pixel data."""
        while True:
            tag, length = self._item_header(position, end)
            position += 8
            if tag == _SEQUENCE_END:
                return position
            if tag != _ITEM or length == UNDEFINED:
                raise Quarantined(Reason.MALFORMED, f"tag {tag:08X} within encapsulated pixel data")
            position = _within(position + length, end, "a fragment of the pixel data")

    def _holds_items(self, vr: bytes, value_at: int) -> bool:
        """Return whether a parser may take a value for a sequence."""
        return vr == b"SQ" or (vr in (b"", b"UN") and self.data[value_at : value_at + 4] == _ITEM_BYTES)

    def _count(self, position: int, end: int) -> None:
        """Count the elements and items at every depth between two positions, as far as they can be followed.

        One loop suffices: behind the head of a sequence or an item comes what is in it, then what follows it.
        """
        while position + 8 <= end:
            self._step()
            group, _, length = _IMPLICIT.unpack_from(self.data, position)
            vr, value_at = bytes(self.data[position + 4 : position + 6]), position + 8
            if group == 0xFFFE:
                position = value_at
                continue
            if vr in _SHORT_VRS:
                length >>= 16
            elif vr in LONG_VRS:
                length, value_at = int.from_bytes(self.data[position + 8 : position + 12], "little"), position + 12
            else:
                vr = b""
            position = value_at
            if length != UNDEFINED and not self._holds_items(vr, value_at):
                position += length

    def _item_header(self, position: int, end: int) -> tuple[int, int]:
        """Read tag and length of an item or a delimiter (PS3.5 section 7.5)."""
        self._step()
        if position + 8 > end:
            raise Quarantined(Reason.TRUNCATED, "a sequence or the encapsulated pixel data is not terminated")
        group, number, length = _IMPLICIT.unpack_from(self.data, position)
        return group << 16 | number, length

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAXIMUM_ELEMENTS:
            raise Quarantined(Reason.MALFORMED, f"the object has more than {MAXIMUM_ELEMENTS} elements")


def zeros(data: Buffer, start: int, end: int) -> bool:
    """Return whether all bytes between two positions are zero, without a copy of them all."""
    return not any(any(data[at : min(at + _BLOCK, end)]) for at in range(start, end, _BLOCK))


def _within(position: int, end: int, what: str) -> int:
    """Return a position that must not lie beyond the end."""
    if position > end:
        raise Quarantined(Reason.TRUNCATED, f"{what} reaches {position - end} bytes beyond its end")
    return position
