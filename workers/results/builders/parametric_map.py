"""Parametric Map (PS3.3 section A.75) of where a classifier looked for a finding: float32, on the source's grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodeContentItem
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from models.values.codes import PROBABILITY_UNIT, THORAX
from models.values.findings import Finding, HeatMap, ImageFindings
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind
from workers.results.builders.encoding import Built, Encoding, ShownImage
from workers.results.part10 import local_time
from workers.results.parts.equipment import LONG_STRING
from workers.results.parts.identity import derived_uid
from workers.results.parts.references import supersede
from workers.results.parts.series import contributions, identification
from workers.results.request import Predecessor, ResultRequest
from workers.results.sources.source import Source
from workers.results.text import vocabulary
from workers.results.text.vocabulary import concept
from workers.results.text.wording import display_name

# Private: no code for what a class activation map shows was found in DCM or SNOMED CT as far as they are at hand.
CLASS_ACTIVATION = vocabulary.private("CLASS-ACTIVATION")

_LABEL = "HEAT MAP"
_UNPAIRED = "U"
_ORIGIN, _FLAT = ["0", "0", "0"], ["1", "0", "0", "0", "1", "0"]
_UNKNOWN_SPACING = ["1", "1"]
"""A pixel is as wide as a pixel."""


def build(encoding: Encoding, images: Sequence[ShownImage]) -> Iterator[Built]:
    """Make a map for each heat map of each image."""
    for image in images:
        for heat_map in image.findings.heat_maps:
            ds = parametric_map(
                encoding.request,
                image.findings,
                heat_map,
                image.source,
                profile=encoding.profile,
                predecessors=encoding.predecessors,
            )
            yield Built(ds, image.source)


def parametric_map(
    request: ResultRequest,
    image: ImageFindings,
    heat_map: HeatMap,
    source: Source,
    *,
    profile: Profile,
    predecessors: Sequence[Predecessor] = (),
) -> ParametricMap:
    """Return the Parametric Map of one heat map.

    Its values are 0 to 1 without a unit. They say where the network looked, not how probable a disease is there.

    Parameters
    ----------
    heat_map
        One of those of `image`; values float32 (rows, columns) on the grid of `source`.

    Raises
    ------
    ValueError
        The heat map is none of the image's, belongs to no finding, or lies on another grid.
    """
    finding = _finding(image, heat_map)
    if heat_map.values.shape != source.shape:
        raise ValueError(f"heat map of {heat_map.label!r} is {heat_map.values.shape}, the image is {source.shape}")
    moment = local_time(request.created_at, source)
    ds = ParametricMap(
        source_images=[_placed(source)],
        pixel_array=np.ascontiguousarray(heat_map.values, np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(finding)],
        voi_lut_transformations=[
            VOILUTTransformation(window_center=0.5, window_width=1.0, voi_lut_function="LINEAR_EXACT")
        ],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_description=f"Heat map of {display_name(finding.label)}"[:LONG_STRING],
        content_label=_LABEL,
        contributing_equipment=contributions(request, {heat_map.bundle}, moment),
        **identification(
            request,
            ResultKind.PM,
            profile,
            image_uid=source.uid,
            part=f"{heat_map.bundle.name}/{heat_map.label}",
            position=source.position,
            part_number=next(n for n, one in enumerate(image.heat_maps) if one is heat_map),
        ),
    )
    _complete(ds, source)
    supersede(ds, predecessors)
    return ds


def _placed(source: Source) -> Dataset:
    """Return the header with a place for its pixels, which the IOD demands (Frame of Reference is mandatory).

    Where the source has none the map gets a Frame of Reference of its own, in which the image lies flat at the origin:
    the UID equals no other, so that nothing is claimed about the patient. highdicom 0.28 and dcmqi take no map without.
    """
    header = deepcopy(source.header)
    if "ImagePositionPatient" not in header:
        header.FrameOfReferenceUID = UID(derived_uid("frame-of-reference", source.uid))
        header.ImagePositionPatient, header.ImageOrientationPatient = _ORIGIN, _FLAT
    if "PixelSpacing" not in header:
        header.PixelSpacing = header.get("ImagerPixelSpacing") or _UNKNOWN_SPACING
    return header


def _finding(image: ImageFindings, heat_map: HeatMap) -> Finding:
    found = [f for f in image.findings if (f.label, f.bundle) == (heat_map.label, heat_map.bundle)]
    if len(found) != 1 or not any(one is heat_map for one in image.heat_maps):
        raise ValueError(f"heat map of {heat_map.label!r} belongs to {len(found)} findings of its image, expected 1")
    return found[0]


def _mapping(finding: Finding) -> RealWorldValueMapping:
    """Say what the values mean (PS3.3 section C.7.6.16.2.11)."""
    mapping = RealWorldValueMapping(
        lut_label="HEAT",
        lut_explanation=f"Where {finding.bundle.name} looked for {finding.label}"[:LONG_STRING],
        unit=concept(PROBABILITY_UNIT),
        value_range=(0.0, 1.0),
        quantity_definition=concept(CLASS_ACTIVATION),
    )
    mapping.QuantityDefinitionSequence.append(CodeContentItem(concept(vocabulary.FINDING), concept(finding.code)))
    return mapping


def _complete(ds: ParametricMap, source: Source) -> None:
    """Add what PS3.3 asks for and highdicom leaves out."""
    ds.PatientOrientation = source.header.get("PatientOrientation")
    # Of the thorax as a whole. Without this functional group dcmqi 1.5.7 ends by a segmentation fault.
    anatomy = Dataset()
    anatomy.FrameLaterality, anatomy.AnatomicRegionSequence = _UNPAIRED, [concept(THORAX)]
    ds.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
