"""Grayscale Softcopy Presentation State (PS3.3 section A.33.1): the outlines as graphics over one image.

A viewer takes Modality LUT, VOI LUT or window, and polarity from the state (PS3.4 section N.2): it has those that the
node itself applied (`models.image.display`), which are the image's own wherever these can be used. The IOD has no place
for predecessors: a later revision is the next instance of the same series.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
from highdicom.color import CIELabColor
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, DS, TM

from models.image.display import Greys, Rescale, Window
from models.image.lut import Lut
from models.image.pixels import Radiograph
from models.values.codes import ANATOMICAL_STRUCTURE
from models.values.findings import ImageFindings, Segment
from node.delivery.profiles import Profile
from node.dicom.kinds import ResultKind
from workers.results.builders.encoding import Built, Encoding, ShownImage
from workers.results.part10 import local_time
from workers.results.parts.identity import tracking_id, tracking_uid
from workers.results.parts.series import BODY_PART, bundles_of_segments, contributions, identification
from workers.results.request import ResultRequest
from workers.results.sources.source import Source
from workers.results.text.languages.known import language
from workers.results.text.languages.language import Language
from workers.results.text.languages.sentences import Sentence
from workers.results.text.wording import RESEARCH_ONLY, display_name, label_of, name_of

CONTENT_LABEL = "AI OUTLINES"

_NOTICE_LAYER = "NOTICE"
_NOTICE_BOX = (0.02, 0.95, 0.6, 0.99)
"""Of the statement, as parts of the displayed area: lower left, where a chest radiograph shows the least."""
_NOTICE_RGB = (255, 180, 84)

MOST_POINTS = 8191
"""Of one polyline: Graphic Data (0070,0022) are FL, whose length has 16 bits in explicit VR (PS3.5 section 7.1.2)."""

_CODE_STRING = 16
_UNSPECIFIED = "US"
"""Of Rescale Type and Modality LUT Type (PS3.3 section C.11.1.1.2)."""
_FEWEST_BITS, _MOST_BITS, _WHITE = 8, 16, 65535
"""Of the entries of a VOI LUT."""
_LARGEST_TERM = 1000
"""Of an aspect ratio, which is one of whole numbers."""

Points = NDArray[np.float64]


def build(encoding: Encoding, images: Sequence[ShownImage]) -> Iterator[Built]:
    """Make a state for each image with a segment."""
    for image in images:
        if image.findings.segments:
            radiograph = encoding.radiographs.of(image.source)
            ds = presentation_state(
                encoding.request, image.findings, image.source, radiograph, profile=encoding.profile
            )
            yield Built(ds, image.source)


def presentation_state(
    request: ResultRequest, image: ImageFindings, source: Source, radiograph: Radiograph, *, profile: Profile
) -> GrayscaleSoftcopyPresentationState:
    """Return the Presentation State of one image.

    Every segment has a layer of its colour with its outline and its name. Outlines run through the centres of the
    outermost pixels of a mask, so that filling them gives the mask back.

    Parameters
    ----------
    image
        Findings with at least one segment; every mask bool (rows, columns) on the grid of `source`.
    radiograph
        The pixels of `source`, as `models.image.pixels.read` gives them.

    Raises
    ------
    ValueError
        There is no segment, a mask lies on another grid than the source, or the radiograph is from no DICOM image.
    """
    if not image.segments or radiograph.greys is None:
        raise ValueError("a presentation state needs a segment and the pixels of a DICOM image")
    header = deepcopy(source.header)
    header.SamplesPerPixel = 1
    words = language(profile.language)
    layers, annotations = _graphics(request, image, source, header, words)
    moment = local_time(request.created_at, source)
    ds = GrayscaleSoftcopyPresentationState(
        referenced_images=[header],
        content_label=CONTENT_LABEL,
        content_description=RESEARCH_ONLY,
        graphic_layers=layers,
        graphic_annotations=annotations,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=contributions(request, bundles_of_segments(image), moment),
        **identification(request, ResultKind.PR, profile, image_uid=source.uid, position=source.position),
    )
    ds.BodyPartExamined = BODY_PART
    ds.PresentationCreationDate = DA(moment.strftime("%Y%m%d"))
    ds.PresentationCreationTime = TM(moment.strftime("%H%M%S"))
    _set_greys(ds, radiograph.greys)
    _set_aspect(ds.DisplayedAreaSelectionSequence[0], radiograph)
    return ds


def outlines(mask: NDArray[np.bool_]) -> list[Points]:
    """Return the closed outlines of a mask, those of holes among them.

    Returns
    -------
    list of numpy.ndarray
        float64 (points, 2), (column, row) in pixels where the upper left corner of the first pixel is 0, 0; the last
        point equals the first. An outline of more than `MOST_POINTS` is made simpler.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [_closed(np.asarray(contour, np.int32)) for contour in found]


def _closed(contour: NDArray[np.int32]) -> Points:
    tolerance = 0.5
    while len(contour) >= MOST_POINTS:
        contour = np.asarray(cv2.approxPolyDP(contour, tolerance, closed=True), np.int32)
        tolerance *= 2
    points = contour.reshape(-1, 2).astype(np.float64) + 0.5
    return np.concatenate([points, points[:1]])


def _graphics(
    request: ResultRequest, image: ImageFindings, source: Source, header: Dataset, words: Language
) -> tuple[list[GraphicLayer], list[GraphicAnnotation]]:
    """Return a layer and an annotation for each segment, and those of the statement."""
    layers, annotations = [], []
    for number, segment in enumerate(image.segments, start=1):
        if segment.mask.shape != source.shape:
            raise ValueError(f"mask of {segment.label!r} is {segment.mask.shape}, the source image is {source.shape}")
        layer = GraphicLayer(
            _layer_name(number, segment.label),
            order=number,
            description=name_of(segment.label, words),
            display_color=CIELabColor.from_rgb(*segment.colour_rgb),
        )
        layers.append(layer)
        annotations.append(_annotation(request, segment, source, header=header, layer=layer, words=words))
    notice = GraphicLayer(_NOTICE_LAYER, order=len(layers) + 1, display_color=CIELabColor.from_rgb(*_NOTICE_RGB))
    statement = words.say(Sentence.RESEARCH_ONLY)
    text = TextObject(statement, units="DISPLAY", bounding_box=_NOTICE_BOX, text_justification="LEFT")
    annotations.append(GraphicAnnotation([header], notice, text_objects=[text]))
    return [*layers, notice], annotations


def _annotation(
    request: ResultRequest,
    segment: Segment,
    source: Source,
    *,
    header: Dataset,
    layer: GraphicLayer,
    words: Language,
) -> GraphicAnnotation:
    """Return the outlines of a segment, and its name: of a disease at its highest point, else at its lowest.

    A disease lies in an organ, and both may begin at the same point: one name would hide the other.
    """
    name = tracking_id(display_name(segment.label), source.name)
    uid = tracking_uid(request.study_instance_uid, source.uid, segment.bundle, segment.label)
    lines = outlines(segment.mask)
    points = np.concatenate(lines)
    organ = segment.property_category == ANATOMICAL_STRUCTURE
    column, row = points[int(np.argmax(points[:, 1]) if organ else np.argmin(points[:, 1]))]
    return GraphicAnnotation(
        [header],
        layer,
        graphic_objects=[
            GraphicObject("POLYLINE", line, "PIXEL", tracking_id=name, tracking_uid=uid) for line in lines
        ],
        text_objects=[
            TextObject(
                label_of(segment, words),
                units="PIXEL",
                anchor_point=(float(column), float(row)),
                anchor_point_visible=False,
            )
        ],
    )


def _layer_name(number: int, label: str) -> str:
    """Return a Code String (PS3.5 section 6.2) that begins with a letter, as highdicom wants it."""
    letters = re.sub("[^A-Z0-9]+", "_", label.upper())
    return f"L{number}_{letters}"[:_CODE_STRING].strip("_")


def _set_greys(ds: Dataset, greys: Greys) -> None:
    """Say how stored values turn into what is seen (PS3.3 sections C.11.1, C.11.8 and C.11.6)."""
    match greys.modality:
        case Lut() as lut:
            table = _table(lut, 8 if lut.bits <= 8 and lut.entries.max() <= 255 else 16)
            table.ModalityLUTType = _UNSPECIFIED
            ds.ModalityLUTSequence = [table]
        case Rescale(slope, intercept):
            ds.RescaleIntercept, ds.RescaleSlope = DS(intercept, auto_format=True), DS(slope, auto_format=True)
            ds.RescaleType = _UNSPECIFIED
    voi = Dataset()
    match greys.voi:
        case Lut() as lut:
            voi.VOILUTSequence = [_voi_table(lut)]
        case Window(centre, width, function):
            voi.WindowCenter, voi.WindowWidth = DS(centre, auto_format=True), DS(width, auto_format=True)
            if function != "LINEAR":
                voi.VOILUTFunction = function
    ds.SoftcopyVOILUTSequence = [voi]
    ds.PresentationLUTShape = "INVERSE" if greys.inverted else "IDENTITY"


def _voi_table(lut: Lut) -> Dataset:
    """Return a VOI LUT whose bits say what is white (PS3.3 section C.11.2.1.1); those of some senders do not."""
    if lut.bits >= _FEWEST_BITS and lut.full_scale == 2**lut.bits - 1:
        return _table(lut, lut.bits)
    entries = np.rint(lut.entries.clip(0, lut.full_scale) * (_WHITE / lut.full_scale)).astype(np.float32)
    return _table(replace(lut, entries=entries), _MOST_BITS)


def _table(lut: Lut, bits: int) -> Dataset:
    """Return descriptor and data of a lookup table (PS3.3 sections C.11.1.1 and C.11.2.1.1)."""
    table = Dataset()
    count, signed = len(lut.entries) % 2**16, lut.first < 0
    if signed and count >= 2**15:
        count -= 2**16  # the same 16 bits
    table.add_new("LUTDescriptor", "SS" if signed else "US", [count, lut.first, bits])
    table.add_new("LUTData", "OW", lut.entries.astype("<u2").tobytes())
    return table


def _set_aspect(area: Dataset, radiograph: Radiograph) -> None:
    """Show pixels in the proportions of the image (PS3.3 section C.10.4), which highdicom takes for square.

    Their size is given only where it is calibrated: one at the detector would pass for a size in the patient.
    """
    turned = radiograph.orientation.transpose
    if radiograph.spacing_mm is not None and radiograph.spacing_is_calibrated:
        rows, columns = reversed(radiograph.spacing_mm) if turned else radiograph.spacing_mm
        area.PresentationPixelSpacing = [DS(rows, auto_format=True), DS(columns, auto_format=True)]
        del area.PresentationPixelAspectRatio
        return
    ratio = Fraction(1 / radiograph.aspect if turned else radiograph.aspect).limit_denominator(_LARGEST_TERM)
    area.PresentationPixelAspectRatio = [ratio.numerator, ratio.denominator]
