"""Segments of a Segmentation: numbered, with pixels, of what was found, by an algorithm that the object names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.values.codes import ANATOMICAL_STRUCTURE, MORPHOLOGICALLY_ABNORMAL_STRUCTURE, Code
from models.values.findings import ImageFindings, Segment
from workers.results.checks.examined import Examined
from workers.results.parts.identity import tracking_uid
from workers.results.request import ResultRequest

# PS3.16 CID 7150, as far as a chest radiograph has any
_CATEGORIES: tuple[Code, ...] = (ANATOMICAL_STRUCTURE, MORPHOLOGICALLY_ABNORMAL_STRUCTURE)


def segments(examined: Examined) -> Iterator[str]:
    """Check the numbers of the segments, what frames say of them, and that every frame and segment holds a pixel."""
    ds = examined.ds
    numbers = [int(item.SegmentNumber) for item in _described(ds)]
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
        of_frames = _segments_of_frames(ds)
        if set(of_frames) != set(numbers):
            yield f"frames show segments {of_frames}, expected {numbers}"


def properties(examined: Examined) -> Iterator[str]:
    """Check that each segment says what was found: category, type and side, and no disease that was judged absent."""
    ds, request = examined.ds, examined.request
    uid = str(ds.SourceImageSequence[0].ReferencedSOPInstanceUID)
    image = next((image for image in request.images if image.sop_instance_uid == uid), None)
    described = _described(ds)
    found = {} if image is None else {_tracked(request, image, segment): segment for segment in image.segments}
    known = [found[str(item.TrackingUID)] for item in described if str(item.TrackingUID) in found]
    if image is None or not known or len(known) != len(described):
        yield f"holds {len(described)} segments, of which {len(known)} were found in image {uid}"
        return
    for item, segment in zip(described, known, strict=True):
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


def makers(examined: Examined) -> Iterator[str]:
    """Check that the algorithm of each segment is one of the equipment, by name and version (IHE AI Results 1.3)."""
    ds = examined.ds
    equipment = {
        (str(item.ManufacturerModelName), str(item.SoftwareVersions))
        for item in ds.ContributingEquipmentSequence
        if "DeviceUID" in item
    }
    for item in _described(ds):
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        named = (str(algorithm.AlgorithmName), str(algorithm.AlgorithmVersion))
        if named not in equipment or item.SegmentAlgorithmName != algorithm.AlgorithmName:
            yield f"segment {item.SegmentNumber} names {' '.join(named)}, which is no algorithm of its equipment"


def _described(ds: Dataset) -> list[Dataset]:
    """Return the segments; a label map describes its background, too, under number 0."""
    return [item for item in ds.SegmentSequence if int(item.SegmentNumber) > 0]


def _segments_of_frames(ds: Dataset) -> list[int]:
    """Return the segment of each frame (PS3.3 section C.8.20.3.3)."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    return [
        int(
            (group if "SegmentIdentificationSequence" in group else shared)
            .SegmentIdentificationSequence[0]
            .ReferencedSegmentNumber
        )
        for group in ds.PerFrameFunctionalGroupsSequence
    ]


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


def _tracked(request: ResultRequest, image: ImageFindings, segment: Segment) -> str:
    """Return the Tracking UID of a segment."""
    return tracking_uid(request.study_instance_uid, image.sop_instance_uid, segment.bundle, segment.label)


def _was_judged_absent(segment: Segment, image: ImageFindings) -> bool:
    """Return whether every classifier that looked for the disease of a segment found it absent."""
    answers = [finding.present for finding in image.findings if finding.code.names(segment.property_type)]
    return bool(answers) and not any(answers)
