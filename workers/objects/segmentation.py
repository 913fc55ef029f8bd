"""DICOM Segmentation of one source image (PS3.3 section A.51): BINARY, on the pixel grid of its source.

highdicom's object is completed where dciodvfy 2022 fails it: Patient Orientation (0020,0020), Type 2C.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from models.codes import ANATOMICAL_STRUCTURE, THORAX
from models.findings import ImageFindings, Segment
from workers.objects import equipment, vocabulary
from workers.objects.identity import derived_uid, result_uid, series_uid, tracking_id, tracking_uid
from workers.objects.part10 import local_time
from workers.objects.request import Predecessor, Profile, ResultKind, ResultRequest
from workers.objects.source import Source
from workers.objects.vocabulary import concept
from workers.objects.wording import display_name

SERIES_NUMBER = 9101
SERIES_DESCRIPTION = f"AI SEG - {equipment.RESEARCH_ONLY}"
CONTENT_LABEL = "SEGMENTATION"

_AXIAL_OF_THE_IMAGE = ["1", "0", "0", "0", "1", "0"]
"""Image Orientation (Patient) of profile `ohif`: rows and columns of the image itself, no claim about the patient."""


def segmentation(
    request: ResultRequest,
    image: ImageFindings,
    source: Source,
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor] = (),
) -> Segmentation:
    """Return the SEG of one image.

    Parameters
    ----------
    image
        Findings with at least one segment; every mask bool (rows, columns) on the grid of `source`.
    profile
        `strict`: PS3.3 to the letter. `ohif`: with Plane Orientation where the source gives none, which
        the viewer's loader reads and which is a Standard Extended use (PS3.2 section 7.3).

    Raises
    ------
    ValueError
        A mask is empty or lies on another grid than the source.
    """
    segments = image.segments
    masks = np.stack([_checked(segment, source) for segment in segments], axis=-1)[
        np.newaxis
    ]  # 1 rows columns segments
    moment = local_time(request.created_at, source)
    used = {segment.bundle.digest for segment in segments}
    ds = Segmentation(
        source_images=[source.header],
        pixel_array=masks.view(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(request, source, s, n) for n, s in enumerate(segments, 1)],
        series_instance_uid=series_uid(
            request.study_instance_uid,
            ResultKind.SEG,
            profile,
            bundle_names=_series_names(segments),
            image_uid=source.uid,
        ),
        series_number=SERIES_NUMBER,
        sop_instance_uid=result_uid(request, ResultKind.SEG, profile, source.uid),
        instance_number=request.revision,
        manufacturer=equipment.MANUFACTURER,
        manufacturer_model_name=equipment.MODEL_NAME,
        software_versions=equipment.SOFTWARE_VERSION,
        device_serial_number=equipment.node(request.configuration_digest).serial_number,
        content_description=equipment.RESEARCH_ONLY,
        content_label=CONTENT_LABEL,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=SERIES_DESCRIPTION,
        specific_character_set="ISO_IR 192",
        coding_schemes=vocabulary.coding_schemes(),
        contributing_equipment=[
            equipment.contributing_equipment(algorithm, moment)
            for algorithm in equipment.algorithms(request)
            if algorithm.digest in used
        ],
    )
    _complete(ds, source, profile)
    _refer_to_predecessors(ds, predecessors)
    return ds


def _series_names(segments: Sequence[Segment]) -> tuple[str, ...]:
    """Return the bundles that name the series: those of the anatomy, where there is any.

    A disease that is found in one revision and not in the next must not part their instances.
    """
    anatomy = {segment.bundle.name for segment in segments if segment.property_category == ANATOMICAL_STRUCTURE}
    return tuple(sorted(anatomy or {segment.bundle.name for segment in segments}))


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
    """Add what PS3.3 asks for and highdicom leaves out, and replace the one UID that it draws by chance."""
    ds.PatientOrientation = source.header.get("PatientOrientation")
    if "ContentCreatorName" not in ds:
        ds.ContentCreatorName = None
    shared: Dataset = ds.SharedFunctionalGroupsSequence[0]
    if profile == "ohif" and "PlaneOrientationSequence" not in shared:
        plane = Dataset()
        plane.ImageOrientationPatient = _AXIAL_OF_THE_IMAGE
        shared.PlaneOrientationSequence = [plane]
    organization = UID(derived_uid("dimensions", str(ds.SOPInstanceUID)))
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization


def _refer_to_predecessors(ds: Segmentation, predecessors: Sequence[Predecessor]) -> None:
    """Name the instances of this series that this one supersedes (0008,114A; PS3.3 section C.12.4)."""
    mine = [p for p in predecessors if p.series_instance_uid == ds.SeriesInstanceUID]
    if not mine:
        return
    ds.ReferencedInstanceSequence = [_reference(p, purpose=True) for p in mine]
    series = Dataset()
    series.SeriesInstanceUID = ds.SeriesInstanceUID
    series.ReferencedInstanceSequence = [_reference(p) for p in mine]
    ds.ReferencedSeriesSequence.append(series)


def _reference(predecessor: Predecessor, *, purpose: bool = False) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = UID(predecessor.sop_class_uid)
    item.ReferencedSOPInstanceUID = UID(predecessor.sop_instance_uid)
    if purpose:
        item.PurposeOfReferenceCodeSequence = [concept(vocabulary.PREDECESSOR)]
    return item
