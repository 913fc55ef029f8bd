"""Checks on the final bytes of every result, before anything is stored or sent.

They are our own and few: what would make an archive or a viewer file, link or show a result wrongly. The external
validators (dciodvfy, dsrdump, dcmqi) run in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.codes import ANATOMICAL_STRUCTURE, MORPHOLOGICALLY_ABNORMAL_STRUCTURE, Code
from models.findings import ImageFindings, Segment
from node.errors import HilumError
from workers.objects.request import EncodedResult, ResultKind, ResultRequest
from workers.objects.source import Source


class PreflightFailed(HilumError):
    """A result object is not fit to be stored; encoding it again gives the same object."""


# Type 1 of the modules that both IODs share, and of each (PS3.3 sections A.35.13 and A.51)
_TYPE_1 = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "ContentDate",
    "ContentTime",
    "ContributingEquipmentSequence",
)
_TYPE_1_OF_KIND = {
    ResultKind.SEG: (
        "SegmentSequence",
        "SegmentationType",
        "ContentLabel",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "ReferencedSeriesSequence",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "DimensionIndexSequence",
        "PixelData",
    ),
    ResultKind.SR: (
        "ValueType",
        "ConceptNameCodeSequence",
        "ContentSequence",
        "CompletionFlag",
        "VerificationFlag",
        "PreliminaryFlag",
    ),
}
# PS3.16 CID 7150, as far as a chest radiograph has any
_CATEGORIES: tuple[Code, ...] = (ANATOMICAL_STRUCTURE, MORPHOLOGICALLY_ABNORMAL_STRUCTURE)
# Type 2 of the Patient and General Study modules: present, maybe empty, and the same as in the source
_SHARED_WITH_SOURCE = (
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


def preflight(results: Sequence[EncodedResult], request: ResultRequest, sources: Sequence[Source]) -> None:
    """Read every result again and check it.

    Raises
    ------
    PreflightFailed
        With the kind of object, what is wrong with it and what was expected.
    """
    _check_sources(request, sources)
    known = {source.uid for source in sources if source.can_be_referenced}
    made: set[str] = set()
    for result in results:
        ds = dcmread(BytesIO(result.content))
        _check_attributes(ds, result, request)
        _check_patient(ds, result, sources)
        if result.kind is ResultKind.SEG:
            _check_references(
                ds, result, known | {str(i.ReferencedSOPInstanceUID) for i in ds.get("ReferencedInstanceSequence", ())}
            )
            _check_segments(ds, result)
            _check_properties(ds, result, request)
        else:
            _check_references(ds, result, known | made)
            _check_content(ds, result, request)
        made.add(result.sop_instance_uid)
    _check_kinds(results, request, known)


def _fail(result: EncodedResult, what: str) -> PreflightFailed:
    return PreflightFailed(f"{result.kind} {result.sop_instance_uid}: {what}")


def _check_attributes(ds: Dataset, result: EncodedResult, request: ResultRequest) -> None:
    for keyword in (*_TYPE_1, *_TYPE_1_OF_KIND[result.kind]):
        value = ds.get(keyword)
        if value is None or (hasattr(value, "__len__") and len(value) == 0):
            raise _fail(result, f"{keyword} is missing or empty, expected a value (Type 1)")
    for keyword, expected in (
        ("SOPInstanceUID", result.sop_instance_uid),
        ("SOPClassUID", result.sop_class_uid),
        ("SeriesInstanceUID", result.series_instance_uid),
        ("StudyInstanceUID", request.study_instance_uid),
    ):
        if ds[keyword].value != expected:
            raise _fail(result, f"{keyword} is {ds[keyword].value}, expected {expected}")
    if ds.file_meta.MediaStorageSOPInstanceUID != ds.SOPInstanceUID:
        raise _fail(result, "Media Storage SOP Instance UID differs from the SOP Instance UID")


def _check_sources(request: ResultRequest, sources: Sequence[Source]) -> None:
    """Check that the sources are one study of one patient; the patient's values are compared, never quoted."""
    for source in sources:
        if source.header.StudyInstanceUID != request.study_instance_uid:
            raise PreflightFailed(
                f"source {source.uid} belongs to study {source.header.StudyInstanceUID}, "
                f"expected {request.study_instance_uid}"
            )
        if source.header.PatientID != sources[0].header.PatientID:
            raise PreflightFailed("the sources name different patients, expected one Patient ID")


def _check_patient(ds: Dataset, result: EncodedResult, sources: Sequence[Source]) -> None:
    """Check that a result carries the patient of its sources."""
    for keyword in (*_SHARED_WITH_SOURCE, "PatientName"):
        if keyword not in ds:
            raise _fail(result, f"{keyword} is missing, expected a value or an empty one (Type 2)")
    if sources and str(ds.PatientID or "") != str(sources[0].header.PatientID or ""):
        raise _fail(result, "Patient ID differs from the source")


def _check_references(ds: Dataset, result: EncodedResult, allowed: set[str]) -> None:
    """Every instance that a result refers to is a source with valid UIDs, or a SEG of the same encoding."""
    predecessors = {id(item) for item in _items(ds.get("PredecessorDocumentsSequence", ()))}
    for item in _items([ds]):
        uid = item.get("ReferencedSOPInstanceUID")
        if uid is not None and id(item) not in predecessors and str(uid) not in allowed:
            raise _fail(result, f"refers to instance {uid}, which is no source of it, or not valid")


def _check_segments(ds: Dataset, result: EncodedResult) -> None:
    numbers = [int(item.SegmentNumber) for item in ds.SegmentSequence]
    if numbers != list(range(1, len(numbers) + 1)):
        raise _fail(result, f"segments are numbered {numbers}, expected 1 to {len(numbers)}")
    frames, pixels = int(ds.NumberOfFrames), int(ds.Rows) * int(ds.Columns)
    bits = np.unpackbits(np.frombuffer(ds.PixelData, dtype=np.uint8), bitorder="little")
    if len(bits) < frames * pixels:
        raise _fail(result, f"Pixel Data holds {len(bits)} pixels, expected {frames} x {pixels}")
    filled = bits[: frames * pixels].reshape(frames, pixels).any(axis=1)
    if not filled.all():
        raise _fail(result, f"frame {int(np.argmin(filled)) + 1} is empty")


def _check_properties(ds: Dataset, result: EncodedResult, request: ResultRequest) -> None:
    """Check that each segment says what was found: category, type and side, and no disease that was judged absent."""
    uid = str(ds.SourceImageSequence[0].ReferencedSOPInstanceUID)
    image = next((image for image in request.images if image.sop_instance_uid == uid), None)
    if image is None or len(image.segments) != len(ds.SegmentSequence):
        raise _fail(result, f"holds {len(ds.SegmentSequence)} segments, which are not those of image {uid}")
    for item, segment in zip(ds.SegmentSequence, image.segments, strict=True):
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        said = [item.SegmentedPropertyCategoryCodeSequence[0], kind]
        said += kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
        meant = [segment.property_category, segment.property_type]
        meant += [] if segment.laterality is None else [segment.laterality]
        if [(str(c.CodeValue), str(c.CodingSchemeDesignator)) for c in said] != [(c.value, c.scheme) for c in meant]:
            raise _fail(result, f"segment {item.SegmentNumber} has other codes than {segment.label!r}")
        if segment.property_category not in _CATEGORIES:
            raise _fail(result, f"segment {item.SegmentNumber} is of an unknown category")
        if _was_judged_absent(segment, image):
            raise _fail(result, f"segment {item.SegmentNumber} outlines {segment.label!r}, which was judged absent")


def _was_judged_absent(segment: Segment, image: ImageFindings) -> bool:
    """Whether every classifier that looked for the disease of a segment found it absent."""
    answers = [finding.present for finding in image.findings if finding.code.names(segment.property_type)]
    return bool(answers) and not any(answers)


def _check_content(ds: Dataset, result: EncodedResult, request: ResultRequest) -> None:
    """Whatever the content tree refers to stands in the evidence (PS3.3 section C.17.2)."""
    evidence = {
        i.ReferencedSOPInstanceUID
        for i in _items(ds.get("CurrentRequestedProcedureEvidenceSequence", ()))
        if "ReferencedSOPInstanceUID" in i
    }
    for item in _items(ds.ContentSequence):
        uid = item.get("ReferencedSOPInstanceUID")
        if uid is not None and uid not in evidence:
            raise _fail(result, f"refers to instance {uid}, which its evidence does not list")
    codes = {str(i.get("CodeValue") or i.get("LongCodeValue")) for i in _items(ds.ContentSequence)}
    for declined in request.declined:
        if declined.reason.value not in codes:
            raise _fail(result, f"does not say that an image was declined as {declined.reason.value}")


def _check_kinds(results: Sequence[EncodedResult], request: ResultRequest, known: set[str]) -> None:
    """Check that every image with segments that can be referred to has its SEG, and the study one SR."""
    reports = sum(result.kind is ResultKind.SR for result in results)
    expected = sum(bool(image.segments) and image.sop_instance_uid in known for image in request.images)
    if reports != 1 or len(results) - reports != expected:
        raise PreflightFailed(f"{len(results) - reports} SEG and {reports} SR were made, expected {expected} and 1")


def _items(sequence: Sequence[Dataset]) -> Iterator[Dataset]:
    """Yield every data set of a sequence, and of the sequences in it."""
    for item in sequence:
        yield item
        for element in item:
            if element.VR == "SQ":
                yield from _items(element.value)
