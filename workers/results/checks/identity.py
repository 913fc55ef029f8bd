"""Whose a result is: its UIDs, and every attribute of patient and study, which are those of its own source.

Values of the patient are compared, never quoted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

from pydicom.uid import UID

from node.dicom.elements import Tag
from node.dicom.kinds import KINDS, Scope
from workers.results.checks.examined import Examined
from workers.results.checks.modules import attributes, keywords
from workers.results.sources.attributes import read_attributes
from workers.results.sources.identity import (
    ACCESSION_NUMBER,
    ATTRIBUTES,
    ISSUER_OF_ACCESSION_NUMBER,
    REFERENCED_REQUEST,
    REQUEST_ATTRIBUTES,
)
from workers.results.sources.source import Source, empty_header
from workers.results.stamp import orders_of

_MODULES = ("patient", "general-study", "patient-study")
_ALSO_SHARED = ("TimezoneOffsetFromUTC",)
_ORDERS = {REQUEST_ATTRIBUTES: "RequestAttributesSequence", REFERENCED_REQUEST: "ReferencedRequestSequence"}
_ORDER = (ACCESSION_NUMBER, 0x00401001)
"""Accession Number and Requested Procedure ID, by which an order is known."""
_AS_BYTES = frozenset(ATTRIBUTES.values())
_ISSUER = "IssuerOfAccessionNumberSequence"
_READ = frozenset(("SpecificCharacterSet", _ISSUER, *_AS_BYTES, *_ORDERS.values()))
_MULTI_VALUED_IDENTIFIER = "\\"


def uids(examined: Examined) -> Iterator[str]:
    """Check that the UIDs are those announced, valid, and no other object's."""
    ds, result, request = examined.ds, examined.result, examined.request
    for keyword, expected in (
        ("SOPInstanceUID", result.sop_instance_uid),
        ("SOPClassUID", result.sop_class_uid),
        ("SeriesInstanceUID", result.series_instance_uid),
        ("StudyInstanceUID", request.study_instance_uid),
    ):
        if ds[keyword].value != expected:
            yield f"{keyword} is {ds[keyword].value}, expected {expected}"
    if ds.file_meta.MediaStorageSOPInstanceUID != ds.SOPInstanceUID:
        yield "Media Storage SOP Instance UID differs from the SOP Instance UID"
    if not (UID(result.sop_instance_uid).is_valid and UID(result.series_instance_uid).is_valid):
        yield "SOP or Series Instance UID is no UID of PS3.5 section 9"
    if any(earlier.sop_instance_uid == result.sop_instance_uid for earlier in examined.made):
        yield f"SOP Instance UID {result.sop_instance_uid} is that of another result, expected one of its own"
    if any(source.series_instance_uid == result.series_instance_uid for source in examined.sources):
        yield "Series Instance UID is that of a source, expected a series of its own"


def patient_and_study(examined: Examined) -> Iterator[str]:
    """Check every attribute of the Patient, General Study and Patient Study modules against the result's own source.

    Images of one study may disagree, in their Study ID for example.
    """
    ds, request, sources = examined.ds, examined.request, examined.sources
    if KINDS[examined.kind].scope is Scope.STUDY:
        own = sources[0] if sources else empty_header(request.study_instance_uid)
    else:
        series = examined.shown_series()
        # One of a series is filed like its first slice.
        first = None if series is None else series.slices[0]
        shown = [source for source in examined.shown_sources() if first in (None, source.uid)]
        if len(shown) != 1:
            yield f"refers to {len(shown)} source images, expected 1"
            return
        (own,) = shown
    for keyword in (*keywords(*_MODULES), *_ALSO_SHARED):
        if keyword in _AS_BYTES or keyword in ("StudyInstanceUID", _ISSUER):
            continue
        if _text(ds.get(keyword)) != _text(own.header.get(keyword)):
            yield f"{keyword} differs from the source"
    yield from _bytes(examined, own)


def _bytes(examined: Examined, own: Source) -> Iterator[str]:
    """Check that the result has the bytes of its source's identity, and its orders where it has a place for them."""
    found = read_attributes(BytesIO(examined.result.content), _READ)
    if found is None:
        yield "the identity cannot be read"
        return
    for tag, keyword in ATTRIBUTES.items():
        if _bare(found.raw.get(tag)) != _bare(own.identity.values.get(tag)):
            yield f"{keyword} differs from the source"
    if [*found.items.get(ISSUER_OF_ACCESSION_NUMBER, ())] != ([own.identity.issuer] if own.identity.issuer else []):
        yield f"{_ISSUER} differs from the source"
    character_set = _bare(found.raw.get(Tag.SPECIFIC_CHARACTER_SET))
    if not own.identity.is_plain and character_set != _bare(own.identity.character_set):
        yield "SpecificCharacterSet differs from the source, whose bytes the result has"
    places = attributes(examined.result.sop_class_uid).types[()]
    for tag, orders in orders_of(own).items():
        named = [[_bare(item.get(number)) for number in _ORDER] for item in found.items.get(tag, ())]
        meant = [[_bare(item.get(number)) for number in _ORDER] for item in orders]
        if _ORDERS[tag] in places and named != meant:
            yield f"{_ORDERS[tag]} differs from the orders of the source"


def _bare(value: bytes | None) -> bytes:
    """Return a value without padding; an absent one is as an empty one."""
    return (value or b"").strip(b" \0")


def _text(value: object) -> str:
    """Return a value as it stands in a file, multi-valued or not."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _MULTI_VALUED_IDENTIFIER.join(map(str, _parts(value)))


def _parts(value: object) -> list[object]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
