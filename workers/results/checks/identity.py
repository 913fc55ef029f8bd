"""Whose a result is: its UIDs, and every attribute of patient and study, which are those of its own source.

Values of the patient are compared, never quoted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID

from node.dicom.kinds import KINDS, Scope
from workers.results.checks.examined import Examined
from workers.results.checks.modules import attributes, keywords
from workers.results.parts.references import orders, request_attributes
from workers.results.request import ResultRequest
from workers.results.sources.source import Source, empty_header

_MODULES = ("patient", "general-study", "patient-study")
_ALSO_SHARED = ("TimezoneOffsetFromUTC",)
_ORDER = ("AccessionNumber", "RequestedProcedureID", "ScheduledProcedureStepID")
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
        meant = own.patient_name if keyword == "PatientName" else own.header.get(keyword)
        if keyword != "StudyInstanceUID" and _text(ds.get(keyword)) != _text(meant):
            yield f"{keyword} differs from the source"
    yield from _orders(ds, request, own)


def _orders(ds: Dataset, request: ResultRequest, own: Source) -> Iterator[str]:
    """Check that a result names the orders of its source, where its kind of object has a place for them."""
    for keyword, meant in (
        ("RequestAttributesSequence", request_attributes(own)),
        ("ReferencedRequestSequence", orders(request, own)),
    ):
        has_place = keyword in attributes(str(ds.SOPClassUID)).types[()]
        named = [[_text(item.get(name)) for name in _ORDER] for item in ds.get(keyword, ())]
        if has_place and named != [[_text(item.get(name)) for name in _ORDER] for item in meant]:
            yield f"{keyword} differs from the orders of the source"


def _text(value: object) -> str:
    """Return a value as it stands in a file, multi-valued or not."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _MULTI_VALUED_IDENTIFIER.join(map(str, _parts(value)))


def _parts(value: object) -> list[object]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
