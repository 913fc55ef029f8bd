"""The header of a received object: what the node must know of it, typed, and without the patient's name or identity.

Everything that makes an object unusable is found here, before a decoder or another parser sees the bytes. The patient's
age is the only attribute of the patient that is read; it decides on the intended use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.charset import python_encoding

from node.dicom.ages import age_years
from node.dicom.contexts import BY_UID, CLASS_BY_UID, DEFLATED, Syntax, Use
from node.dicom.defined_terms import HUMAN_CODES, HUMAN_WORDS
from node.dicom.deflated import data_set
from node.dicom.elements import PIXEL_DATA, UNDEFINED, Buffer, Element, Tag, Walker, zeros
from node.dicom.part10 import FileMeta
from node.dicom.uids import is_uid
from node.errors import Quarantined
from node.identity import IMPLEMENTATION_CLASS_UID
from node.reasons import Reason

MAXIMUM_SIDE: Final = 65500
"""Most rows or columns of an image: the limit of JPEG, under that of US (65535)."""

MAXIMUM_PIXELS: Final = 50_000_000
"""Most pixels of one frame; the largest flat panels have 25 million."""

_DEFLATED_ATTRIBUTES: Final = 0x0020000E
"""Last attribute that is read of a deflated object: Series Instance UID. Elements stand in the order of their tags."""

MAXIMUM_TEXT: Final = 1024  # bytes of a text value that are read; LO has 64 characters

_WHOLE: Final = re.compile(r"\+?([0-9]+)(?:\.0*)?")  # "1.0" is against the Standard, and read by everybody
_ESCAPE: Final = re.compile(rb"\x1b[\x20-\x2f]*[\x30-\x7e]")
_WANTED: Final = frozenset(value for value in vars(Tag).values() if isinstance(value, int)) | {PIXEL_DATA}


@dataclass(frozen=True, slots=True)
class CodedEntry:
    """A coded entry (PS3.3 section 8.8)."""

    value: str
    scheme: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Equipment:
    """An item of the Contributing Equipment Sequence (PS3.3 section C.12.1)."""

    purpose: CodedEntry | None
    manufacturer: str | None
    device_uid: str | None


@dataclass(frozen=True, slots=True)
class Header:
    """What the node knows of one object. None: absent or empty; `()`: none given."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str | None
    image_type: tuple[str, ...]
    presentation_intent: str | None
    body_part: str | None
    anatomic_region: CodedEntry | None
    view_position: str | None
    view_code: CodedEntry | None
    patient_orientation: tuple[str, ...]
    rows: int | None
    columns: int | None
    frames: int
    samples_per_pixel: int
    bits_allocated: int | None
    bits_stored: int | None
    photometric_interpretation: str | None
    age_years: float | None
    """Patient's age, from the first of Patient's Age, birth date and dates of the examination that can be true."""
    sex: str | None
    """Patient's Sex."""
    is_human: bool | None
    """False: a species not known to be human, or an attribute of animals, is given. None: no species is given."""
    protocol: tuple[str, ...]
    """Meanings of the Performed Protocol Codes."""
    study_description: str | None
    series_description: str | None
    manufacturer: str | None
    contributing_equipment: tuple[Equipment, ...]


def read_header(path: Path) -> Header:
    """Read and check the header of a Part 10 file; see `header_of`.

    Raises
    ------
    Quarantined
        The object cannot be used. Its UIDs are given where they could still be read.
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        return header_of(file)


def header_of(file: BinaryIO) -> Header:
    """Read and check the header of an open Part 10 file, in bounded time and memory whatever its bytes are.

    Checked are: the file format, that every element fits, the four UIDs, that the object is the one announced in the
    C-STORE request, and of images: rows, columns, and that the pixel data is there, whole, and as the transfer syntax
    says. Pixels are not decoded. Of a deflated object only the attributes to its Series Instance UID are read.

    Raises
    ------
    Quarantined
        The object cannot be used. Its UIDs are given where they could still be read.
    OSError
        The file cannot be read.
    """
    try:
        with data_set(file) as (data, meta):
            return _Reading(data, meta).header()
    except (Quarantined, OSError, MemoryError):
        raise
    except Exception as unexpected:
        # Without its text, which may quote an attribute of the patient.
        detail = f"the header cannot be read ({type(unexpected).__name__})"
        raise Quarantined(Reason.MALFORMED, detail) from unexpected


class _Reading:
    """The reading of one object."""

    def __init__(self, data: Buffer, meta: FileMeta) -> None:
        self._meta, self._end = meta, len(data)
        syntax = BY_UID.get(meta.transfer_syntax_uid)
        if syntax is None:
            raise Quarantined(Reason.TRANSFER_SYNTAX, f"{meta.transfer_syntax_uid[:64]!r} is not accepted")
        self._syntax: Syntax = syntax
        self._walker = Walker(data, explicit=syntax.explicit_vr)
        self._found: dict[int, Element] = {}
        self._encoding = "latin-1"

    def header(self) -> Header:
        """Read everything; a failure carries the UIDs that were found before it."""
        try:
            self._check_encoding()
            self._collect()
            self._encoding = _encoding(self._texts(Tag.SPECIFIC_CHARACTER_SET))
            header = self._header()
            self._check_announced(header)
            if self._syntax is not DEFLATED and self._is_image(header):
                self._check_image(header)
        except Quarantined as error:
            raise self._with_uids(error) from error
        return header

    def _check_encoding(self) -> None:
        """Compare the first element with the transfer syntax: explicit or implicit VR, little or big endian."""
        data, start = self._walker.data, self._meta.dataset_offset
        if start + 8 > self._end:
            raise Quarantined(Reason.TRUNCATED, "there is no data set")
        group, vr = int.from_bytes(data[start : start + 2], "little"), bytes(data[start + 4 : start + 6])
        looks_explicit = vr.isalpha() and vr.isupper()
        if group >= 0x0100 and group & 0xFF == 0:
            raise Quarantined(Reason.TRANSFER_SYNTAX, "the data set is big endian, little endian was announced")
        if looks_explicit != self._syntax.explicit_vr:
            found = "explicit" if looks_explicit else "implicit"
            raise Quarantined(
                Reason.TRANSFER_SYNTAX, f"the data set is in {found} VR, {self._syntax.name} was announced"
            )

    def _collect(self) -> None:
        """Find the wanted elements; those found before a failure stay."""
        for element in self._walker.elements(self._meta.dataset_offset, self._end):
            if element.tag in _WANTED:
                if element.tag in self._found:
                    raise Quarantined(Reason.MALFORMED, f"({element.tag:08X}) stands there twice")
                self._found[element.tag] = element
            if self._syntax is DEFLATED and element.tag >= _DEFLATED_ATTRIBUTES:
                return  # what follows may go on behind the part that was inflated

    def _header(self) -> Header:
        return Header(
            sop_class_uid=self._uid(Tag.SOP_CLASS_UID),
            sop_instance_uid=self._uid(Tag.SOP_INSTANCE_UID),
            study_instance_uid=self._uid(Tag.STUDY_INSTANCE_UID),
            series_instance_uid=self._uid(Tag.SERIES_INSTANCE_UID),
            transfer_syntax_uid=self._meta.transfer_syntax_uid,
            modality=self._text(Tag.MODALITY),
            image_type=self._texts(Tag.IMAGE_TYPE),
            presentation_intent=self._text(Tag.PRESENTATION_INTENT_TYPE),
            body_part=self._text(Tag.BODY_PART_EXAMINED),
            anatomic_region=self._code(Tag.ANATOMIC_REGION_SEQUENCE),
            view_position=self._text(Tag.VIEW_POSITION),
            view_code=self._code(Tag.VIEW_CODE_SEQUENCE),
            patient_orientation=self._texts(Tag.PATIENT_ORIENTATION),
            rows=self._number(Tag.ROWS),
            columns=self._number(Tag.COLUMNS),
            frames=self._frames(),
            samples_per_pixel=self._number(Tag.SAMPLES_PER_PIXEL) or 1,
            bits_allocated=self._number(Tag.BITS_ALLOCATED),
            bits_stored=self._number(Tag.BITS_STORED),
            photometric_interpretation=self._text(Tag.PHOTOMETRIC_INTERPRETATION),
            age_years=self._age_years(),
            sex=self._text(Tag.PATIENT_SEX),
            is_human=self._is_human(),
            protocol=tuple(code.meaning for code in self._codes(Tag.PERFORMED_PROTOCOL_CODE_SEQUENCE) if code.meaning),
            study_description=self._text(Tag.STUDY_DESCRIPTION),
            series_description=self._text(Tag.SERIES_DESCRIPTION),
            manufacturer=self._text(Tag.MANUFACTURER),
            contributing_equipment=tuple(self._equipment()),
        )

    def _check_announced(self, header: Header) -> None:
        """Compare with the C-STORE request, which our receiver has written into the File Meta Information.

        A file that another system wrote announces nothing; some of those differ.
        """
        if self._meta.implementation_class_uid != IMPLEMENTATION_CLASS_UID:
            return
        for announced, found, what in (
            (self._meta.sop_class_uid, header.sop_class_uid, "SOP Class UID"),
            (self._meta.sop_instance_uid, header.sop_instance_uid, "SOP Instance UID"),
        ):
            if announced is not None and announced != found:
                raise Quarantined(Reason.IDENTITY_MISMATCH, f"{what} is {found}, {announced[:64]!r} was announced")

    def _is_image(self, header: Header) -> bool:
        """Return whether it must be an image: by its SOP class, or by attributes where the table has no such class."""
        storage_class = CLASS_BY_UID.get(header.sop_class_uid)
        if storage_class is not None:
            return storage_class.use is not Use.IGNORED
        return header.rows is not None or PIXEL_DATA in self._found

    def _check_image(self, header: Header) -> None:
        """Check the geometry and that the pixel data fits it."""
        pixel_data = self._found.get(PIXEL_DATA)
        if pixel_data is None:
            raise Quarantined(Reason.NO_PIXEL_DATA, "there is no Pixel Data (7FE0,0010)")
        rows, columns = header.rows or 0, header.columns or 0
        if not (0 < rows <= MAXIMUM_SIDE and 0 < columns <= MAXIMUM_SIDE and rows * columns <= MAXIMUM_PIXELS):
            raise Quarantined(Reason.ABSURD_GEOMETRY, f"{rows} rows, {columns} columns")
        if header.bits_allocated not in (1, 8, 16, 32) or header.samples_per_pixel not in (1, 2, 3, 4):
            detail = f"{header.bits_allocated} bits allocated, {header.samples_per_pixel} samples per pixel"
            raise Quarantined(Reason.MALFORMED, detail)
        if (pixel_data.length == UNDEFINED) != self._syntax.encapsulated:
            found = "encapsulated" if pixel_data.length == UNDEFINED else "native"
            raise Quarantined(Reason.TRANSFER_SYNTAX, f"{found} pixel data, {self._syntax.name} was announced")
        if self._syntax.encapsulated:
            fragments = self._walker.fragments(pixel_data)[1:]
            if not any(fragments):
                raise Quarantined(Reason.NO_PIXEL_DATA, "the encapsulated pixel data is empty")
        else:
            _check_length(header, pixel_data, self._walker.data)

    def _with_uids(self, error: Quarantined) -> Quarantined:
        """Add to a failure the UIDs that can be read nevertheless."""

        def readable(tag: int) -> str | None:
            try:
                return self._uid(tag)
            except Quarantined:
                return None

        return Quarantined(
            error.reason,
            error.detail,
            study_instance_uid=readable(Tag.STUDY_INSTANCE_UID),
            sop_instance_uid=readable(Tag.SOP_INSTANCE_UID),
        )

    # Values

    def _raw(self, tag: int, found: dict[int, Element] | None = None) -> bytes:
        """Copy the beginning of a value; empty where it is absent."""
        element = (self._found if found is None else found).get(tag)
        if element is None or element.length == UNDEFINED:
            return b""
        return bytes(self._walker.data[element.start : element.start + min(element.length, MAXIMUM_TEXT)])

    def _texts(self, tag: int, found: dict[int, Element] | None = None) -> tuple[str, ...]:
        """Read a text value; empty ones only between others."""
        raw = _ESCAPE.sub(b"", self._raw(tag, found)) if self._encoding != "iso2022_jp_2" else self._raw(tag, found)
        text = raw.decode(self._encoding, "replace").strip("\0 ")
        values = tuple("".join(c for c in value if c.isprintable()).strip() for value in text.split("\\"))
        return values if any(values) else ()

    def _text(self, tag: int, found: dict[int, Element] | None = None) -> str | None:
        values = self._texts(tag, found)
        return values[0] or None if values else None

    def _uid(self, tag: int) -> str:
        """Read a UID: digits and dots (PS3.5 section 9.1). Leading zeros are against the Standard, but frequent."""
        uid = self._raw(tag).rstrip(b"\0 ").decode("latin-1")
        if not is_uid(uid):
            raise Quarantined(Reason.INVALID_UID, f"({tag:08X}) is not a UID of at most 64 digits and dots")
        return uid

    def _number(self, tag: int) -> int | None:
        """Read an unsigned short, or a long where the element says so; several, or part of one, are malformed."""
        raw = self._raw(tag)
        if not raw:
            return None
        if len(raw) != (4 if self._found[tag].vr == b"UL" else 2):
            raise Quarantined(Reason.MALFORMED, f"({tag:08X}) is not one number: it has {len(raw)} bytes")
        return int.from_bytes(raw, "little")

    def _frames(self) -> int:
        """Read the number of frames; absent is one, unreadable is malformed."""
        text = self._text(Tag.NUMBER_OF_FRAMES)
        if text is None:
            return 1
        match = _WHOLE.fullmatch(text)
        if match is None or len(text) > 12:
            raise Quarantined(Reason.MALFORMED, "Number of Frames (0028,0008) is not a number")
        return max(1, int(match[1]))

    def _item_elements(self, tag: int) -> Iterator[dict[int, Element]]:
        """Walk the items of a sequence that was found."""
        sequence = self._found.get(tag)
        if sequence is None or (sequence.vr not in (b"", b"SQ")):
            return
        for start, end in self._walker.items(sequence):
            yield {element.tag: element for element in self._walker.elements(start, end) if element.tag in _WANTED}

    def _codes(self, tag: int) -> tuple[CodedEntry, ...]:
        return tuple(self._code_of(found) for found in self._item_elements(tag))

    def _code(self, tag: int) -> CodedEntry | None:
        return next(iter(self._codes(tag)), None)

    def _code_of(self, found: dict[int, Element]) -> CodedEntry:
        return CodedEntry(
            self._text(Tag.CODE_VALUE, found) or "",
            self._text(Tag.CODING_SCHEME_DESIGNATOR, found) or "",
            self._text(Tag.CODE_MEANING, found) or "",
        )

    def _equipment(self) -> Iterator[Equipment]:
        for found in self._item_elements(Tag.CONTRIBUTING_EQUIPMENT_SEQUENCE):
            with self._inside(found):
                purpose = self._code(Tag.PURPOSE_OF_REFERENCE_CODE_SEQUENCE)
            device = self._text(Tag.DEVICE_UID, found)
            yield Equipment(purpose, self._text(Tag.MANUFACTURER, found), device)

    @contextmanager
    def _inside(self, found: dict[int, Element]) -> Iterator[None]:
        """Read from an item for a while."""
        outside, self._found = self._found, found
        try:
            yield
        finally:
            self._found = outside

    def _age_years(self) -> float | None:
        return age_years(
            stated=self._text(Tag.PATIENT_AGE),
            born=self._text(Tag.PATIENT_BIRTH_DATE),
            examined=map(self._text, Tag.DATES_OF_EXAMINATION),
        )

    def _is_human(self) -> bool | None:
        """Tell from the species (PS3.3 section C.7.1.1), or from an attribute that only animals have."""
        code = self._code(Tag.SPECIES_CODE_SEQUENCE)
        if code is not None and code.value:
            return code.value in HUMAN_CODES
        description = (self._text(Tag.SPECIES_DESCRIPTION) or "").casefold().replace(" ", "")
        if description:
            return description in HUMAN_WORDS
        return False if self._text(Tag.SEX_NEUTERED) else None


def _check_length(header: Header, pixel_data: Element, data: Buffer) -> None:
    """Compare the length of native pixel data with the geometry; less than a row too much, or zeros, is padding."""
    bits = (header.rows or 0) * (header.columns or 0) * header.samples_per_pixel * (header.bits_allocated or 0)
    bits = bits * 2 // 3 if header.photometric_interpretation == "YBR_FULL_422" else bits
    expected = (bits * header.frames + 7) // 8
    row = max(1, expected // max(1, header.frames) // max(1, header.rows or 0))
    detail = f"{pixel_data.length} bytes of pixel data, {expected} were expected"
    if pixel_data.length < expected:
        raise Quarantined(Reason.TRUNCATED, detail)
    if pixel_data.length > expected + row and not zeros(data, pixel_data.start + expected, pixel_data.end):
        raise Quarantined(Reason.MALFORMED, detail)


def _encoding(character_sets: tuple[str, ...]) -> str:
    """Choose the codec of text values (PS3.3 section C.12.1.1.2): the last named one that Python knows."""
    known = [python_encoding[name] for name in character_sets if name in python_encoding]
    codec = known[-1] if known else "latin-1"
    return {"ascii": "latin-1", "iso2022_jp": "iso2022_jp_2"}.get(codec, codec)
