"""DICOM Segmentation of an MR series (PS3.3 section A.51): BINARY, one frame for each slice that holds the structure.

Every frame lies where its source slice lies (Plane Position and Orientation are the source's own) and names it in its
Derivation Image Sequence; the Referenced Series Sequence names every slice, those without a frame too. The order of the
files and of their instance numbers plays no part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from highdicom import PixelMeasuresSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.uid import ExplicitVRLittleEndian

from models.values.codes import ANATOMICAL_STRUCTURE, HEART
from models.volume.findings import VolumeFindings
from node.dicom.kinds import ResultKind
from node.errors import HilumError
from workers.results.builders.encoding import Built, Encoding
from workers.results.part10 import local_time
from workers.results.parts import equipment
from workers.results.parts.identity import derived_uid, result_uid, series_uid, tracking_id, tracking_uid
from workers.results.parts.references import supersede
from workers.results.request import SeriesFindings
from workers.results.sources.source import Source
from workers.results.text import vocabulary
from workers.results.text.vocabulary import concept
from workers.results.text.wording import RESEARCH_ONLY, display_name

SERIES_NUMBER = 9201
SERIES_DESCRIPTION = f"AI SEG - {RESEARCH_ONLY}"
CONTENT_LABEL = "SEGMENTATION"
_GEOMETRY = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


def build(encoding: Encoding) -> Iterator[Built]:
    """Make a SEG of each series in which something was found; one that cannot be referred to gets none."""
    request, by_uid = encoding.request, {source.uid: source for source in encoding.request.sources}
    for found in request.series:
        slices = tuple(by_uid[uid] for uid in found.slices)
        if not is_referable(found, slices):
            continue
        bundle, series = found.findings.bundle, found.series_instance_uid
        volume = VolumeRequest(
            sources=slices,
            findings=found.findings,
            slice_distance_mm=found.slice_distance_mm,
            configuration_digest=request.configuration_digest,
            created_at=request.created_at,
            revision=request.revision,
            sop_instance_uid=result_uid(request, ResultKind.SEG, encoding.profile, series, bundle.name),
            result_series_uid=series_uid(
                request.named, ResultKind.SEG, encoding.profile, part=bundle.name, image_uid=series
            ),
        )
        ds = volume_segmentation(volume)
        supersede(ds, encoding.predecessors)
        yield Built(ds, slices[0], series_uid=series)


def is_referable(found: SeriesFindings, slices: Sequence[Source]) -> bool:
    """Return whether a SEG can be made: something was found, and every slice has a place and valid UIDs."""
    return bool(found.findings.mask.any()) and not any(map(_missing, slices))


class VolumeNotReferable(HilumError):
    """The slices cannot be referred to in a SEG; the message says why."""


@dataclass(frozen=True)
class VolumeRequest:
    """One analysed series.

    Attributes
    ----------
    sources
        The slices, in the order of the mask's first axis.
    slice_distance_mm
        From one slice to the next, which is not their thickness.
    sop_instance_uid, result_series_uid
        Of the SEG; None: they follow from the rest.
    """

    sources: tuple[Source, ...]
    findings: VolumeFindings
    slice_distance_mm: float
    configuration_digest: str
    created_at: datetime
    revision: int = 1
    sop_instance_uid: str | None = None
    result_series_uid: str | None = None


def volume_segmentation(request: VolumeRequest) -> Segmentation:
    """Return the SEG of a series.

    Raises
    ------
    VolumeNotReferable
        A slice has an invalid UID, no frame of reference, or no whole position.
    ValueError
        The mask is empty, or does not have one plane of the right size for each slice.
    """
    _check(request)
    first, findings = request.sources[0], request.findings
    study = str(first.header.StudyInstanceUID)
    moment = local_time(request.created_at, first)
    algorithm = equipment.algorithm(findings.bundle, request.configuration_digest)
    ds = Segmentation(
        source_images=[source.header for source in request.sources],
        pixel_array=np.ascontiguousarray(findings.mask).view(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(request, study)],
        pixel_measures=_measures(request),
        series_instance_uid=request.result_series_uid
        or derived_uid("volume-series", study, first.series_instance_uid, findings.bundle.name),
        series_number=SERIES_NUMBER,
        sop_instance_uid=request.sop_instance_uid or _uid(request, study),
        instance_number=request.revision,
        manufacturer=equipment.MANUFACTURER,
        manufacturer_model_name=equipment.MODEL_NAME,
        software_versions=equipment.SOFTWARE_VERSION,
        device_serial_number=equipment.node(request.configuration_digest).serial_number,
        content_description=RESEARCH_ONLY,
        content_label=CONTENT_LABEL,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=SERIES_DESCRIPTION,
        specific_character_set="ISO_IR 192",
        coding_schemes=vocabulary.coding_schemes(),
        contributing_equipment=[equipment.contributing_equipment(algorithm, moment)],
    )
    return ds


def _check(request: VolumeRequest) -> None:
    """Refuse slices without a place, and masks that do not fit."""
    for source in request.sources:
        missing = _missing(source)
        if missing:
            raise VolumeNotReferable(f"slice {source.name} has {missing}")
    shape = request.sources[0].shape
    mask = request.findings.mask
    if shape is None or mask.shape != (len(request.sources), *shape):
        raise ValueError(f"the mask is {mask.shape}, the series {len(request.sources)} slices of {shape}")
    if not mask.any():
        raise ValueError("the mask is empty; a structure that was not found is no segment")


def _missing(source: Source) -> str:
    """Say what a slice lacks so that a SEG could refer to it; nothing where it lacks nothing."""
    missing = [keyword for keyword in _GEOMETRY if keyword not in source.header]
    if missing:
        return f"no usable {', '.join(missing)}"
    return "" if source.can_be_referenced else "an invalid UID"


def _description(request: VolumeRequest, study: str) -> SegmentDescription:
    """Describe the one segment."""
    findings, first = request.findings, request.sources[0]
    label, name = findings.label, display_name(findings.label.name)
    algorithm = equipment.algorithm(findings.bundle, request.configuration_digest)
    return SegmentDescription(
        segment_number=1,
        segment_label=name,
        segmented_property_category=concept(ANATOMICAL_STRUCTURE),
        segmented_property_type=concept(label.code.to_code()),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=equipment.segment_algorithm(algorithm),
        tracking_id=tracking_id(name, f"series {first.header.get('SeriesNumber') or first.series_instance_uid}"),
        tracking_uid=tracking_uid(study, first.series_instance_uid, findings.bundle, label.name),
        anatomic_regions=[concept(HEART)],
        display_color=CIELabColor.from_rgb(*(label.colour_rgb or (235, 95, 85))),
    )


def _measures(request: VolumeRequest) -> PixelMeasuresSequence:
    """Return the voxel's size: thickness as the source has it, and the distance that the positions show."""
    header = request.sources[0].header
    return PixelMeasuresSequence(
        pixel_spacing=[float(value) for value in header.PixelSpacing],
        slice_thickness=float(header.SliceThickness),
        spacing_between_slices=round(request.slice_distance_mm, 6),
    )


def _uid(request: VolumeRequest, study: str) -> str:
    """Derive the SOP Instance UID: the same request yields the same one on every machine."""
    return derived_uid(
        "volume",
        study,
        ",".join(sorted(source.uid for source in request.sources)),
        request.findings.bundle.digest,
        request.configuration_digest,
        str(request.revision),
    )
