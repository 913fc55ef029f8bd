"""DICOM Segmentation of one source image by one bundle (PS3.3 section A.51), on the pixel grid of its source.

BINARY unless the profile asks for LABELMAP, which can hold no two segments in one pixel: segments that overlap go into
objects of their own, and no pixel is lost. highdicom's object is completed where dciodvfy 2022 fails it: Patient
Orientation (0020,0020), Type 2C.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.values.codes import THORAX
from models.values.findings import Segment
from node.delivery.profiles import Profile
from node.dicom.kinds import KINDS, ResultKind
from node.dicom.uids import EXPLICIT_LITTLE_ENDIAN, JPEG_2000_LOSSLESS
from workers.results.builders.encoding import Built, Encoding, ShownImage
from workers.results.part10 import local_time
from workers.results.parts import equipment
from workers.results.parts.identity import result_uid, series_uid, tracking_id, tracking_uid
from workers.results.parts.references import supersede
from workers.results.parts.segment_sets import SegmentSet, segment_sets
from workers.results.request import Predecessor, ResultRequest
from workers.results.sources.source import Source
from workers.results.text import vocabulary
from workers.results.text.vocabulary import concept
from workers.results.text.wording import RESEARCH_ONLY, display_name

CONTENT_LABEL = "SEGMENTATION"

_AXIAL_OF_THE_IMAGE = ["1", "0", "0", "0", "1", "0"]
"""Image Orientation (Patient) by profile `ohif` for an image without: its own rows and columns, no claim about the
patient."""
_UNKNOWN_SPACING = ["1", "1"]
"""What OHIF itself takes for an image without any spacing: lengths in pixels."""


def build(encoding: Encoding, images: Sequence[ShownImage]) -> Iterator[Built]:
    """Make a SEG for each set of segments of each image."""
    for image in images:
        for part in segment_sets(image.findings, encoding.profile):
            ds = segmentation(
                encoding.request,
                part,
                image.source,
                profile=encoding.profile,
                predecessors=encoding.predecessors,
            )
            yield Built(ds, image.source, part.segments)


def segmentation(
    request: ResultRequest,
    part: SegmentSet,
    source: Source,
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor] = (),
) -> Segmentation:
    """Return the SEG of what one bundle found in one image.

    Parameters
    ----------
    part
        At least one segment; every mask bool (rows, columns) on the grid of `source`.
    profile
        Type, transfer syntax, and whether Plane Orientation is given where the source has none, which OHIF's loader
        reads and which is a Standard Extended use (PS3.2 section 7.3).

    Raises
    ------
    ValueError
        A mask is empty or lies on another grid than the source.
    """
    segments = part.segments
    masks = np.stack([_checked(segment, source) for segment in segments], axis=-1)  # rows columns segments
    syntax = profile.transfer_syntax(ResultKind.SEG)
    moment = local_time(request.created_at, source)
    bundle = segments[0].bundle
    algorithm = equipment.algorithm(bundle, request.configuration_digest)
    ds = Segmentation(
        source_images=[source.header],
        pixel_array=masks[np.newaxis].view(np.uint8),
        segmentation_type=SegmentationTypeValues(profile.segmentation),
        segment_descriptions=[_description(request, source, s, n) for n, s in enumerate(segments, 1)],
        series_instance_uid=series_uid(
            request.named,
            ResultKind.SEG,
            profile,
            part=part.name,
            image_uid=source.uid,
        ),
        series_number=KINDS[ResultKind.SEG].series_number,
        sop_instance_uid=result_uid(request, ResultKind.SEG, profile, source.uid, part.name),
        instance_number=request.revision,
        manufacturer=equipment.MANUFACTURER,
        manufacturer_model_name=equipment.MODEL_NAME,
        software_versions=equipment.SOFTWARE_VERSION,
        device_serial_number=equipment.node(request.configuration_digest).serial_number,
        content_description=RESEARCH_ONLY,
        content_label=CONTENT_LABEL,
        transfer_syntax_uid=JPEG_2000_LOSSLESS if syntax == JPEG_2000_LOSSLESS else EXPLICIT_LITTLE_ENDIAN,
        series_description=series_description(part.name),
        specific_character_set="ISO_IR 192",
        coding_schemes=vocabulary.coding_schemes(),
        contributing_equipment=[equipment.contributing_equipment(algorithm, moment)],
    )
    _complete(ds, source, profile)
    supersede(ds, predecessors)
    return ds


def series_description(part_name: str) -> str:
    """Return the Series Description (0008,103E), by which a viewer's list tells one SEG from another."""
    room = equipment.LONG_STRING - len(f"AI : {RESEARCH_ONLY}")
    return f"AI {part_name[:room].rstrip('-')}: {RESEARCH_ONLY}"


def _checked(segment: Segment, source: Source) -> NDArray[np.bool_]:
    if segment.mask.shape != source.shape:
        raise ValueError(f"mask of {segment.label!r} is {segment.mask.shape}, the source image is {source.shape}")
    if not segment.mask.any():
        raise ValueError(f"mask of {segment.label!r} is empty; a structure that was not found is no segment")
    return np.ascontiguousarray(segment.mask, dtype=np.bool_)


def _description(request: ResultRequest, source: Source, segment: Segment, number: int) -> SegmentDescription:
    description = SegmentDescription(
        segment_number=number,
        segment_label=display_name(segment.label),
        segmented_property_category=concept(segment.property_category),
        segmented_property_type=concept(segment.property_type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=equipment.segment_algorithm(
            equipment.algorithm(segment.bundle, request.configuration_digest)
        ),
        tracking_id=tracking_id(display_name(segment.label), source.name),
        tracking_uid=tracking_uid(request.study_instance_uid, source.uid, segment.bundle, segment.label),
        anatomic_regions=[concept(THORAX)],
        display_color=CIELabColor.from_rgb(*segment.colour_rgb),
    )
    if segment.laterality is not None:
        modifier: CodedConcept = concept(segment.laterality)
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return description


def _complete(ds: Segmentation, source: Source, profile: Profile) -> None:
    """Add what PS3.3 asks for and highdicom leaves out."""
    ds.PatientOrientation = source.header.get("PatientOrientation")
    shared: Dataset = ds.SharedFunctionalGroupsSequence[0]
    if profile.plane_orientation and "PlaneOrientationSequence" not in shared:
        plane = Dataset()
        # OHIF compares it with the image's, and does not load an overlay that lies otherwise.
        plane.ImageOrientationPatient = list(source.orientation) or _AXIAL_OF_THE_IMAGE
        shared.PlaneOrientationSequence = [plane]
    if profile.plane_orientation and "PixelMeasuresSequence" not in shared:
        # OHIF 3.13.2 fails without this item, Orthanc's JSON leaves out an empty one, and highdicom wants both values.
        # The spacing at the detector is all that many CR and DX have; its being equal to theirs says that nothing was
        # corrected (PS3.3 section 10.7.1.3).
        measures = Dataset()
        measures.SliceThickness = source.header.SliceThickness
        measures.PixelSpacing = source.header.get("ImagerPixelSpacing") or _UNKNOWN_SPACING
        shared.PixelMeasuresSequence = [measures]
