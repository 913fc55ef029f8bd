"""Values that every result of a kind has, whatever was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node.dicom.kinds import KINDS
from node.dicom.uids import JPEG_2000_LOSSLESS
from workers.results.checks.examined import Examined, items

_PDF: Final = b"%PDF-"


def fixed(examined: Examined) -> Iterator[str]:
    """Say which value is another than every result of this kind has."""
    facts = KINDS[examined.kind]
    for keyword, expected in {"Modality": facts.modality, **facts.fixed}.items():
        yield from _differs(examined, keyword, expected)
    for item in items([examined.ds]):
        if item.get("SpatialLocationsPreserved", "YES") != "YES":
            yield f"SpatialLocationsPreserved is {item.SpatialLocationsPreserved}, expected YES"


def segmentation_type(examined: Examined) -> Iterator[str]:
    """Check that a Segmentation is of the type that its profile asks for."""
    yield from _differs(examined, "SegmentationType", examined.profile.segmentation)


def colour_space(examined: Examined) -> Iterator[str]:
    """Check that a picture has the colour space of its encoding."""
    reversible = examined.profile.transfer_syntax(examined.kind) == JPEG_2000_LOSSLESS
    yield from _differs(examined, "PhotometricInterpretation", "YBR_RCT" if reversible else "RGB")


def pdf(examined: Examined) -> Iterator[str]:
    """Check that the document that is encapsulated is a PDF."""
    if not bytes(examined.ds.EncapsulatedDocument).startswith(_PDF):
        yield "EncapsulatedDocument is no PDF"


def _differs(examined: Examined, keyword: str, expected: str) -> Iterator[str]:
    if str(examined.ds.get(keyword)) != expected:
        yield f"{keyword} is {examined.ds.get(keyword)}, expected {expected}"
