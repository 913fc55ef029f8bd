"""Checks on the final bytes of every result, before anything is stored or sent.

They are our own: what would make an archive or a viewer refuse, misfile, or wrongly show a result. A result that fails
is put aside and not sent. The external validators (dciodvfy, dsrdump, dcmqi) run in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from models.codes import ANATOMICAL_STRUCTURE, MORPHOLOGICALLY_ABNORMAL_STRUCTURE, Code
from models.findings import ImageFindings, Segment
from node.errors import HilumError
from node.profiles import Profile, ResultKind
from workers.objects.equipment import algorithms, node
from workers.objects.identity import tracking_uid
from workers.objects.modules import attributes
from workers.objects.request import EncodedResult, ResultRequest
from workers.objects.segmentation import parts
from workers.objects.source import Source


class PreflightFailed(HilumError):
    """Results are not fit to be stored; encoding them again gives the same objects.

    `faults` has each of these results with what is wrong with it and what was expected.
    """

    def __init__(self, faults: Sequence[tuple[EncodedResult, tuple[str, ...]]]) -> None:
        super().__init__("; ".join(f"{r.kind} {r.sop_instance_uid}: {', '.join(what)}" for r, what in faults))
        self.faults = tuple(faults)


# Type 1C and 2C whose condition every result of a kind meets, and Type 3 that the node promises (IHE AI Results 1.3)
_ALWAYS = (
    "InstanceNumber",
    "SeriesNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "ContributingEquipmentSequence",
    "SeriesDescription",
)
_ALWAYS_OF_KIND: dict[ResultKind, tuple[str, ...]] = {
    ResultKind.SEG: ("ReferencedSeriesSequence", "SourceImageSequence"),
    ResultKind.SR: ("PreliminaryFlag", "ContentSequence"),
    ResultKind.KO: ("ContentSequence",),
    ResultKind.SC: ("SourceImageSequence", "PixelData"),
    ResultKind.PR: ("GraphicAnnotationSequence", "GraphicLayerSequence"),
    ResultKind.PM: ("ReferencedSeriesSequence",),
    ResultKind.DOC: ("EncapsulatedDocument",),
}
# PS3.16 CID 7150, as far as a chest radiograph has any
_CATEGORIES: tuple[Code, ...] = (ANATOMICAL_STRUCTURE, MORPHOLOGICALLY_ABNORMAL_STRUCTURE)
# Of the Patient and General Study modules: the same as in the source
_SHARED_WITH_SOURCE = ("PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate")
_MULTI_VALUED_IDENTIFIER = "\\"


def preflight(
    results: Sequence[EncodedResult], request: ResultRequest, sources: Sequence[Source], profile: Profile
) -> None:
    """Read every result again and check it.

    Raises
    ------
    PreflightFailed
        With each result that is not what it must be.
    ValueError
        The sources are not of one study and patient, or results are missing: the caller's mistake.
    """
    _check_sources(request, sources)
    known = {source.uid for source in sources if source.can_be_referenced}
    faults: list[tuple[EncodedResult, tuple[str, ...]]] = []
    made: list[EncodedResult] = []
    for result in results:
        found = tuple(dict.fromkeys(_faults(result, request, sources, known, made)))
        if found:
            faults.append((result, found))
        made.append(result)
    if faults:
        raise PreflightFailed(faults)
    _check_kinds(results, request, known, profile)


def check_attributes(result: EncodedResult) -> None:
    """Check presence and membership of every attribute of one result, whatever it was made from.

    Raises
    ------
    PreflightFailed
        With what is missing or strange.
    """
    faults = tuple(_attributes(dcmread(BytesIO(result.content)), result))
    if faults:
        raise PreflightFailed([(result, faults)])


def _faults(
    result: EncodedResult,
    request: ResultRequest,
    sources: Sequence[Source],
    known: set[str],
    made: Sequence[EncodedResult],
) -> Iterator[str]:
    """Say everything that is wrong with one result."""
    try:
        ds = dcmread(BytesIO(result.content))
        yield from _attributes(ds, result)
        yield from _identity(ds, result, request, sources, made)
        yield from _algorithms(ds, request)
        yield from _references(ds, known | {earlier.sop_instance_uid for earlier in made})
        match result.kind:
            case ResultKind.SEG:
                yield from _segments(ds)
                yield from _properties(ds, request)
            case ResultKind.SR:
                yield from _evidence(ds)
                yield from _answers(ds, request)
            case ResultKind.KO:
                yield from _evidence(ds)
    except (AttributeError, IndexError, KeyError, TypeError, EOFError) as error:
        yield f"cannot be checked: {type(error).__name__}, so that something that must be there is not"


def _attributes(ds: Dataset, result: EncodedResult) -> Iterator[str]:
    """Check presence and membership of every attribute, at every depth (PS3.3, PS3.5 section 7.4)."""
    try:
        expected = attributes(result.sop_class_uid)
    except KeyError:
        yield f"SOP class {result.sop_class_uid} is none that the node knows"
        return
    yield from expected.missing(ds)
    yield from expected.strange(ds)
    for keyword in (*_ALWAYS, *_ALWAYS_OF_KIND[result.kind]):
        if keyword not in ds or ds[keyword].is_empty:
            yield f"{keyword} is missing or empty, expected a value"


def _identity(
    ds: Dataset,
    result: EncodedResult,
    request: ResultRequest,
    sources: Sequence[Source],
    made: Sequence[EncodedResult],
) -> Iterator[str]:
    """Check UIDs, study and patient; the patient's values are compared, never quoted."""
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
    if any(earlier.sop_instance_uid == result.sop_instance_uid for earlier in made):
        yield f"SOP Instance UID {result.sop_instance_uid} is that of another result, expected one of its own"
    if any(source.series_instance_uid == result.series_instance_uid for source in sources):
        yield "Series Instance UID is that of a source, expected a series of its own"
    if sources:
        for keyword in _SHARED_WITH_SOURCE:
            # Images of one study may disagree, in their Study ID for example; a result follows its own source.
            if _text(ds.get(keyword)) not in {_text(source.header.get(keyword)) for source in sources}:
                yield f"{keyword} differs from the source"


def _text(value: object) -> str:
    """Return a value as it stands in a file, multi-valued or not."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _MULTI_VALUED_IDENTIFIER.join(map(str, _parts(value)))


def _parts(value: object) -> list[object]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _check_sources(request: ResultRequest, sources: Sequence[Source]) -> None:
    for source in sources:
        if source.header.StudyInstanceUID != request.study_instance_uid:
            raise ValueError(
                f"source {source.uid} belongs to study {source.header.StudyInstanceUID}, "
                f"expected {request.study_instance_uid}"
            )
        if source.patient_id != sources[0].patient_id:
            raise ValueError("the sources name different patients, expected one Patient ID")


def _algorithms(ds: Dataset, request: ResultRequest) -> Iterator[str]:
    """Check that the result names algorithms of this request, each with its Device UID (IHE AI Results 1.3).

    What shows an image for which no bundle computed anything names the node.
    """
    expected = {algorithm.uid for algorithm in (*algorithms(request), node(request.configuration_digest))}
    found = [str(item.DeviceUID) for item in ds.ContributingEquipmentSequence if "DeviceUID" in item]
    if not found or len(set(found)) < len(found) or not set(found) <= expected:
        yield f"Contributing Equipment has Device UIDs {found}, expected one item for each algorithm that made it"


def _references(ds: Dataset, allowed: set[str]) -> Iterator[str]:
    """Every instance that a result refers to is a source with valid UIDs, a predecessor, or made before it."""
    earlier = {str(item.ReferencedSOPInstanceUID) for item in ds.get("ReferencedInstanceSequence", ())}
    predecessors = {id(item) for item in _items(ds.get("PredecessorDocumentsSequence", ()))}
    for item in _items([ds]):
        uid = item.get("ReferencedSOPInstanceUID")
        if uid is not None and id(item) not in predecessors and str(uid) not in allowed | earlier:
            yield f"refers to instance {uid}, which is no source of it, or not valid"


def _segments(ds: Dataset) -> Iterator[str]:
    """Check the numbers of the segments, and that every frame and every segment holds a pixel."""
    numbers = [int(item.SegmentNumber) for item in ds.SegmentSequence if int(item.SegmentNumber) > 0]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"segments are numbered {numbers}, expected 1 to {len(numbers)}"
    frames = _frames(ds)
    if frames is None:
        yield "Pixel Data cannot be decoded, or holds less than its frames"
    elif ds.SegmentationType == "LABELMAP":
        missing = sorted(set(numbers) - set(np.unique(frames).tolist()))
        if missing:
            yield f"segments {missing} have no pixel"
    else:
        filled = frames.any(axis=(1, 2))
        if not filled.all():
            yield f"frame {int(np.argmin(filled)) + 1} is empty"


def _frames(ds: Dataset) -> NDArray[np.uint8] | None:
    """Return the stored values (frames, rows, columns); None where they cannot be had."""
    shape = int(ds.NumberOfFrames), int(ds.Rows), int(ds.Columns)
    if ds.BitsAllocated == 1 and not ds.file_meta.TransferSyntaxUID.is_compressed:
        bits = np.unpackbits(np.frombuffer(ds.PixelData, dtype=np.uint8), bitorder="little")
        count = int(np.prod(shape))
        return bits[:count].reshape(shape) if len(bits) >= count else None
    try:
        return np.asarray(ds.pixel_array, np.uint8).reshape(shape)
    except (RuntimeError, ValueError):
        return None


def _properties(ds: Dataset, request: ResultRequest) -> Iterator[str]:
    """Check that each segment says what was found: category, type and side, and no disease that was judged absent."""
    uid = str(ds.SourceImageSequence[0].ReferencedSOPInstanceUID)
    image = next((image for image in request.images if image.sop_instance_uid == uid), None)
    described = [item for item in ds.SegmentSequence if int(item.SegmentNumber) > 0]
    found = {} if image is None else {_tracked(request, image, segment): segment for segment in image.segments}
    segments = [found[str(item.TrackingUID)] for item in described if str(item.TrackingUID) in found]
    if image is None or not segments or len(segments) != len(described):
        yield f"holds {len(described)} segments, of which {len(segments)} were found in image {uid}"
        return
    for item, segment in zip(described, segments, strict=True):
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        said = [item.SegmentedPropertyCategoryCodeSequence[0], kind]
        said += kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
        meant = [segment.property_category, segment.property_type]
        meant += [] if segment.laterality is None else [segment.laterality]
        if [(str(c.CodeValue), str(c.CodingSchemeDesignator)) for c in said] != [(c.value, c.scheme) for c in meant]:
            yield f"segment {item.SegmentNumber} has other codes than {segment.label!r}"
        if segment.property_category not in _CATEGORIES:
            yield f"segment {item.SegmentNumber} is of an unknown category"
        if _was_judged_absent(segment, image):
            yield f"segment {item.SegmentNumber} outlines {segment.label!r}, which was judged absent"


def _tracked(request: ResultRequest, image: ImageFindings, segment: Segment) -> str:
    """Return the Tracking UID of a segment."""
    return tracking_uid(request.study_instance_uid, image.sop_instance_uid, segment.bundle, segment.label)


def _was_judged_absent(segment: Segment, image: ImageFindings) -> bool:
    """Whether every classifier that looked for the disease of a segment found it absent."""
    answers = [finding.present for finding in image.findings if finding.code.names(segment.property_type)]
    return bool(answers) and not any(answers)


def _evidence(ds: Dataset) -> Iterator[str]:
    """Whatever the content tree refers to stands in the evidence (PS3.3 section C.17.2)."""
    evidence = {
        i.ReferencedSOPInstanceUID
        for i in _items(ds.get("CurrentRequestedProcedureEvidenceSequence", ()))
        if "ReferencedSOPInstanceUID" in i
    }
    for item in _items(ds.ContentSequence):
        uid = item.get("ReferencedSOPInstanceUID")
        if uid is not None and uid not in evidence:
            yield f"refers to instance {uid}, which its evidence does not list"


def _answers(ds: Dataset, request: ResultRequest) -> Iterator[str]:
    """Check that the report gives the reason of every image that was left out."""
    codes = {str(i.get("CodeValue") or i.get("LongCodeValue")) for i in _items(ds.ContentSequence)}
    for declined in request.declined:
        if declined.reason.value not in codes:
            yield f"does not say that an image was declined as {declined.reason.value}"


def _check_kinds(results: Sequence[EncodedResult], request: ResultRequest, known: set[str], profile: Profile) -> None:
    """Check that there is one SR, and a SEG for each bundle with segments in an image that can be referred to."""
    reports = sum(result.kind is ResultKind.SR for result in results)
    stored = sum(result.kind is ResultKind.SEG for result in results)
    expected = sum(
        len(parts(image, profile))
        for image in request.images
        if image.sop_instance_uid in known and profile.makes(ResultKind.SEG)
    )
    if reports != 1 or stored != expected:
        raise ValueError(f"{stored} SEG and {reports} SR were made, expected {expected} and 1")


def _items(sequence: Sequence[Dataset]) -> Iterator[Dataset]:
    """Yield every data set of a sequence, and of the sequences in it."""
    for item in sequence:
        yield item
        for element in item:
            if element.VR == "SQ":
                yield from _items(element.value)
