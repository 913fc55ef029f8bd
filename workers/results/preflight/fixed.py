"""Values that every result of a kind has, whatever was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from node.delivery.profiles import Profile
from node.dicom.kinds import KINDS, ResultKind
from node.dicom.uids import JPEG_2000_LOSSLESS
from workers.results.preflight.references import items

_PDF: Final = b"%PDF-"


def fixed(ds: Dataset, kind: ResultKind, profile: Profile) -> Iterator[str]:
    """Say which value is another than every result of this kind and profile has."""
    for keyword, expected in {
        "Modality": KINDS[kind].modality,
        **KINDS[kind].fixed,
        **_of_profile(kind, profile),
    }.items():
        if str(ds.get(keyword)) != expected:
            yield f"{keyword} is {ds.get(keyword)}, expected {expected}"
    for item in items([ds]):
        if item.get("SpatialLocationsPreserved", "YES") != "YES":
            yield f"SpatialLocationsPreserved is {item.SpatialLocationsPreserved}, expected YES"
    if kind is ResultKind.DOC and not bytes(ds.EncapsulatedDocument).startswith(_PDF):
        yield "EncapsulatedDocument is no PDF"


def _of_profile(kind: ResultKind, profile: Profile) -> dict[str, str]:
    """Return what the encoding decides."""
    if kind is ResultKind.SEG:
        return {"SegmentationType": profile.segmentation}
    if kind is ResultKind.SC:
        reversible = profile.transfer_syntax(kind) == JPEG_2000_LOSSLESS
        return {"PhotometricInterpretation": "YBR_RCT" if reversible else "RGB"}
    return {}
