"""The kinds of result: one row a kind, with every fact that all of its objects share. Data only.

What makes and checks the objects of a kind stands in `workers/results/kinds.py`, one row a kind too. A new kind is a
member and a row here, a row there, and its builder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from node.dicom.uids import (
    COMPREHENSIVE_3D_SR,
    DEFLATED_LITTLE_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    LABEL_MAP_SEGMENTATION,
    RLE_LOSSLESS,
    SECONDARY_CAPTURE,
    SEGMENTATION,
)

Compression = Literal["deflated", "rle", "jpeg-2000"]
COMPRESSED_SYNTAXES: Final[Mapping[Compression, str]] = {
    "rle": RLE_LOSSLESS,
    "jpeg-2000": JPEG_2000_LOSSLESS,
    "deflated": DEFLATED_LITTLE_ENDIAN,
}
"""Transfer syntaxes by what profiles call them."""


class ResultKind(StrEnum):
    """The kinds of result object; the value is what profiles call it."""

    SEG = "SEG"
    SR = "SR"
    KO = "KO"
    SC = "SC"
    PR = "PR"
    PM = "PM"
    DOC = "DOC"


class Scope(StrEnum):
    """What one object of a kind speaks of."""

    IMAGE = "image"
    STUDY = "study"


@dataclass(frozen=True, slots=True)
class ResultClass:
    """A SOP class that results may have (PS3.4 Table B.5-1), and what it is for."""

    kind: ResultKind
    sop_class_uid: str
    name: str
    purpose: str
    compressions: tuple[Compression, ...] = ("deflated",)
    """How its objects can be compressed."""

    @property
    def transfer_syntaxes(self) -> tuple[str, ...]:
        """Transfer syntaxes that its objects may have in any profile, the uncompressed one first."""
        return EXPLICIT_LITTLE_ENDIAN, *(COMPRESSED_SYNTAXES[name] for name in self.compressions)


_REFERENCED_INSTANCES, _PREDECESSOR_DOCUMENTS = "ReferencedInstanceSequence", "PredecessorDocumentsSequence"
_EVIDENCE = "CurrentRequestedProcedureEvidenceSequence"
REQUEST_ATTRIBUTES: Final = "RequestAttributesSequence"
REFERENCED_REQUESTS: Final = "ReferencedRequestSequence"


@dataclass(frozen=True, slots=True)
class KindFacts:
    """What all results of one kind have in common; attributes are given by their keywords.

    Attributes
    ----------
    classes
        SOP classes; of several, the last is that of a label map.
    modality
        Modality (0008,0060).
    series_number
        Series Number (0020,0011).
    scope
        What one object speaks of. A study has one object of a kind that speaks of the whole study.
    sources
        Where it names the images that it is made from.
    order
        Where it names the order, if its sources do: a document has no Request Attributes in its series (PS3.3 section
        A.35).
    predecessor
        Where it names the result that it supersedes; None: nowhere.
    series_for_each_image
        Whether each image has a series of its own, because a series has no more than one Frame of Reference (PS3.3
        section A.1.2.3) and a viewer shows only one grid of it.
    is_image
        Whether content items refer to it as IMAGE, and not as COMPOSITE (PS3.3 section C.18). An image has Patient
        Orientation (0020,0020), which may be empty (Type 2C, PS3.3 section C.7.6.1.1.1).
    has_frame_of_reference
        Whether it has Frame of Reference UID (0020,0052) where its source has one.
    of_one_bundle
        Whether one bundle alone computed what it shows.
    fixed
        Values that every object has, besides its modality.
    always
        What has a value in every object although the Standard lets it be absent.
    """

    classes: tuple[ResultClass, ...]
    modality: str
    series_number: int
    scope: Scope
    sources: str
    order: str = REQUEST_ATTRIBUTES
    predecessor: str | None = None
    series_for_each_image: bool = False
    is_image: bool = False
    has_frame_of_reference: bool = False
    of_one_bundle: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
    always: tuple[str, ...] = ()


KINDS: Final[Mapping[ResultKind, KindFacts]] = {
    ResultKind.SEG: KindFacts(
        classes=(
            ResultClass(
                ResultKind.SEG,
                SEGMENTATION,
                "Segmentation Storage",
                "regions as overlay, one bit a pixel",
                # One bit a pixel: RLE and JPEG-LS cannot hold it (PS3.5 section 8.2).
                compressions=("jpeg-2000", "deflated"),
            ),
            ResultClass(
                ResultKind.SEG,
                LABEL_MAP_SEGMENTATION,
                "Label Map Segmentation Storage",
                "regions as overlay, one number a pixel",
                compressions=("rle", "jpeg-2000", "deflated"),
            ),
        ),
        modality="SEG",
        series_number=9101,
        scope=Scope.IMAGE,
        sources="SourceImageSequence",
        predecessor=_REFERENCED_INSTANCES,
        series_for_each_image=True,
        is_image=True,
        has_frame_of_reference=True,
        of_one_bundle=True,
        fixed={"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": "1"},
        always=("ReferencedSeriesSequence", "SourceImageSequence"),
    ),
    ResultKind.SR: KindFacts(
        classes=(
            ResultClass(
                ResultKind.SR,
                COMPREHENSIVE_3D_SR,
                "Comprehensive 3D SR Storage",
                "findings, measurements and reasons, as text and codes",
            ),
        ),
        modality="SR",
        series_number=9102,
        scope=Scope.STUDY,
        sources=_EVIDENCE,
        order=REFERENCED_REQUESTS,
        predecessor=_PREDECESSOR_DOCUMENTS,
        fixed={"CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED", "PreliminaryFlag": "PRELIMINARY"},
        always=("PreliminaryFlag", "ContentSequence"),
    ),
    ResultKind.KO: KindFacts(
        classes=(
            ResultClass(
                ResultKind.KO,
                "1.2.840.10008.5.1.4.1.1.88.59",
                "Key Object Selection Document Storage",
                "look here: images with a finding, of positive and STAT studies",
            ),
        ),
        modality="KO",
        series_number=9103,
        scope=Scope.STUDY,
        sources=_EVIDENCE,
        order=REFERENCED_REQUESTS,
        always=("ContentSequence",),
    ),
    ResultKind.SC: KindFacts(
        classes=(
            ResultClass(
                ResultKind.SC,
                SECONDARY_CAPTURE,
                "Secondary Capture Image Storage",
                "picture with overlay and legend burnt in, for viewers that draw no SEG",
                compressions=("rle", "jpeg-2000", "deflated"),
            ),
        ),
        modality="OT",
        series_number=9104,
        scope=Scope.IMAGE,
        sources="SourceImageSequence",
        predecessor=_REFERENCED_INSTANCES,
        is_image=True,
        fixed={"SamplesPerPixel": "3", "BitsAllocated": "8"},
        always=("SourceImageSequence", "PixelData"),
    ),
    ResultKind.PR: KindFacts(
        classes=(
            ResultClass(
                ResultKind.PR,
                "1.2.840.10008.5.1.4.1.1.11.1",
                "Grayscale Softcopy Presentation State Storage",
                "outlines as graphics over the image",
            ),
        ),
        modality="PR",
        series_number=9105,
        scope=Scope.IMAGE,
        sources="ReferencedSeriesSequence",
        always=("GraphicAnnotationSequence", "GraphicLayerSequence"),
    ),
    ResultKind.PM: KindFacts(
        classes=(
            ResultClass(
                ResultKind.PM,
                "1.2.840.10008.5.1.4.1.1.30",
                "Parametric Map Storage",
                "heat map of each finding that reaches its threshold",
            ),
        ),
        modality="OT",
        series_number=9106,
        scope=Scope.IMAGE,
        sources="SourceImageSequence",
        predecessor=_REFERENCED_INSTANCES,
        series_for_each_image=True,
        is_image=True,
        has_frame_of_reference=True,
        of_one_bundle=True,
        fixed={"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": "1"},
        always=("ReferencedSeriesSequence",),
    ),
    ResultKind.DOC: KindFacts(
        classes=(
            ResultClass(
                ResultKind.DOC,
                "1.2.840.10008.5.1.4.1.1.104.1",
                "Encapsulated PDF Storage",
                "the result on one page",
            ),
        ),
        modality="DOC",
        series_number=9107,
        scope=Scope.STUDY,
        sources="SourceInstanceSequence",
        predecessor=_PREDECESSOR_DOCUMENTS,
        fixed={"VerificationFlag": "UNVERIFIED", "MIMETypeOfEncapsulatedDocument": "application/pdf"},
        always=("EncapsulatedDocument",),
    ),
}

RESULT_CLASSES: Final = tuple(row for facts in KINDS.values() for row in facts.classes)


def kind_of(sop_class_uid: str) -> ResultKind:
    """Return the kind of the results of a SOP class.

    Raises
    ------
    KeyError
        No result has this SOP class.
    """
    return {row.sop_class_uid: row.kind for row in RESULT_CLASSES}[sop_class_uid]
