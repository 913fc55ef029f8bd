"""Faults that preflight finds in any kind of result, planted one by one into objects of a profile that has every kind.

`test_objects_preflight.py` has those of identity, references and segments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from node.dicom.kinds import ResultKind
from tests.support.results.encoded import items, named, read
from tests.support.results.optional_results import CASES, COMPLETE
from workers.results.encode import encode
from workers.results.preflight import PreflightFailed, preflight
from workers.results.request import EncodedResult, ResultRequest

Damage = Callable[[Dataset], object]
Encoded = tuple[ResultRequest, tuple[EncodedResult, ...]]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    request = CASES["DX"](Path(tmp_path_factory.mktemp("study")))
    return request, encode(request, profile=COMPLETE)


def _set(keyword: str, value: object) -> Damage:
    return lambda ds: setattr(ds, keyword, value)


def _of_type(ds: Dataset, value_type: str) -> Dataset:
    return next(item for item in items(ds) if item.ValueType == value_type)


def _without(value_type: str, keyword: str) -> Damage:
    return lambda ds: delattr(_of_type(ds, value_type), keyword)


def _twice(value_type: str, keyword: str) -> Damage:
    return lambda ds: _of_type(ds, value_type)[keyword].value.append(Dataset())


def _equipment(keyword: str, value: str) -> Damage:
    return lambda ds: setattr(ds.ContributingEquipmentSequence[0], keyword, value)


def _purpose(ds: Dataset) -> None:
    ds.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue = "109103"


def _one_algorithm_less(ds: Dataset) -> None:
    ds.ContributingEquipmentSequence.pop(0)


def _another_observer(ds: Dataset) -> None:
    named(ds, "121012")[0].UID = "1.2.3"


def _no_procedure(ds: Dataset) -> None:
    ds.ContentSequence.remove(named(ds, "121058")[0])


def _another_procedure(ds: Dataset) -> None:
    named(ds, "121058")[0].ConceptCodeSequence[0].CodeValue = "999"


def _segment_tracked_as_another(ds: Dataset) -> None:
    group = next(
        group
        for group in named(ds, "125007")
        for item in group.ContentSequence
        for reference in item.get("ReferencedSOPSequence", ())
        if "ReferencedSegmentNumber" in reference
    )
    named(group, "112040")[0].UID = "1.2.3"


def _region_outside(ds: Dataset) -> None:
    _of_type(ds, "SCOORD").GraphicData = [0, 0, 1e6, 1]


def _another_region(ds: Dataset) -> None:
    _of_type(ds, "SCOORD").GraphicType = "CIRCLE"


def _turned(ds: Dataset) -> None:
    ds.Rows, ds.Columns = ds.Columns, ds.Rows


def _no_derivation(ds: Dataset) -> None:
    for group in (*ds.PerFrameFunctionalGroupsSequence, *ds.SharedFunctionalGroupsSequence):
        group.pop("DerivationImageSequence", None)


def _elsewhere(ds: Dataset) -> None:
    group = ds.PerFrameFunctionalGroupsSequence[0]
    group.DerivationImageSequence[0].SourceImageSequence[0].SpatialLocationsPreserved = "NO"


def _longer(keyword: str) -> Damage:
    return lambda ds: setattr(ds, keyword, ds[keyword].value + b"\0\0")


def _unknown_layer(ds: Dataset) -> None:
    ds.GraphicAnnotationSequence[0].GraphicLayer = "NOPE"


def _graphic_outside(ds: Dataset) -> None:
    graphic = ds.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    graphic.GraphicData = [1e6] * len(graphic.GraphicData)


def _name_outside(ds: Dataset) -> None:
    ds.GraphicAnnotationSequence[0].TextObjectSequence[0].AnchorPoint = [-1, 0]


def _part_displayed(ds: Dataset) -> None:
    ds.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner = [1, 1]


_LESS = "Contributing Equipment has Device UIDs"
PLANTED: Sequence[tuple[str, Damage, str]] = (
    *((kind, _set("Modality", "CT"), f"Modality is CT, expected {kind}") for kind in ("SEG", "SR", "KO", "PR", "DOC")),
    *((kind, _set("Modality", "CT"), "Modality is CT, expected OT") for kind in ("SC", "PM")),
    *((str(kind), _equipment("SoftwareVersions", "9.9"), "SoftwareVersions of .* is 9.9") for kind in ResultKind),
    *((str(kind), _purpose, "purposes .*109103.*, expected 109102") for kind in ResultKind),
    *((str(kind), _one_algorithm_less, _LESS) for kind in ResultKind),
    ("SR", _without("CODE", "ConceptNameCodeSequence"), "content item CODE has no ConceptNameCodeSequence"),
    ("KO", _without("IMAGE", "ConceptNameCodeSequence"), "content item IMAGE has no ConceptNameCodeSequence"),
    ("SR", _without("NUM", "RelationshipType"), "content item NUM has no RelationshipType"),
    ("SR", _without("TEXT", "ValueType"), "Value Type None, expected one"),
    ("SR", lambda ds: setattr(_of_type(ds, "TEXT"), "ValueType", "WORDS"), "Value Type WORDS, expected one"),
    ("SR", _without("CODE", "ConceptCodeSequence"), "a content item CODE needs it"),
    ("SR", _without("UIDREF", "UID"), "a content item UIDREF needs it"),
    ("SR", _without("IMAGE", "ReferencedSOPSequence"), "a content item IMAGE needs it"),
    ("SR", _without("SCOORD", "GraphicData"), "a content item SCOORD needs it"),
    ("SR", _without("CONTAINER", "ContinuityOfContent"), "a content item CONTAINER needs it"),
    ("SR", _twice("NUM", "MeasuredValueSequence"), "MeasuredValueSequence .* has 2 items, expected 1"),
    ("SR", _set("VerificationFlag", "VERIFIED"), "VerificationFlag is VERIFIED, expected UNVERIFIED"),
    ("SR", _set("CompletionFlag", "PARTIAL"), "CompletionFlag is PARTIAL, expected COMPLETE"),
    ("SR", _set("PreliminaryFlag", "FINAL"), "PreliminaryFlag is FINAL, expected PRELIMINARY"),
    ("SR", _another_observer, "Device Observer UIDs are"),
    ("KO", _another_observer, "Device Observer UIDs are"),
    ("SR", _no_procedure, r"reports the procedures \[\], expected plain radiography"),
    ("SR", _another_procedure, r"reports the procedures \['999'\], expected plain radiography"),
    ("SR", _segment_tracked_as_another, r"a group about segment 1 has Tracking UIDs \['1.2.3'\]"),
    ("SR", _region_outside, "a region lies outside of its image of 97 rows and 84 columns"),
    ("SR", _another_region, "a region is CIRCLE of 4 numbers"),
    ("SEG", _set("SegmentationType", "FRACTIONAL"), "SegmentationType is FRACTIONAL, expected BINARY"),
    ("SEG", _set("PhotometricInterpretation", "RGB"), "PhotometricInterpretation is RGB, expected MONOCHROME2"),
    ("SEG", _elsewhere, "SpatialLocationsPreserved is NO"),
    ("SEG", _turned, r"has 84 rows and 97 columns, expected those of its source, \(97, 84\)"),
    ("PM", _turned, r"has 84 rows and 97 columns, expected those of its source, \(97, 84\)"),
    ("SEG", _set("NumberOfFrames", 2), "NumberOfFrames is 2, expected one for each of 1 functional groups"),
    ("SEG", _no_derivation, "frame 1 does not say from which image"),
    ("SEG", _longer("PixelData"), "PixelData has 1022 bytes, expected 1020"),
    ("SC", _longer("PixelData"), "PixelData has .* bytes, expected"),
    ("PM", _longer("FloatPixelData"), "FloatPixelData has .* bytes, expected"),
    ("SC", _set("SamplesPerPixel", 1), "SamplesPerPixel is 1, expected 3"),
    ("SC", _set("PhotometricInterpretation", "MONOCHROME2"), "is MONOCHROME2, expected RGB"),
    ("PR", _unknown_layer, "an annotation is on layer NOPE, which is none of"),
    ("PR", _graphic_outside, "lie outside of the image"),
    ("PR", _name_outside, "lie outside of the image"),
    ("PR", _part_displayed, "expected the whole image"),
    ("DOC", _set("MIMETypeOfEncapsulatedDocument", "text/plain"), "is text/plain, expected application/pdf"),
    ("DOC", _set("EncapsulatedDocument", b"hello "), "EncapsulatedDocument is no PDF"),
)


@pytest.mark.parametrize(("kind", "damage", "message"), PLANTED, ids=[f"{k}-{m[:40]}" for k, _, m in PLANTED])
def test_preflight_finds_a_planted_fault(encoded: Encoded, kind: str, damage: Damage, message: str) -> None:
    request, results = encoded
    place = next(n for n, result in enumerate(results) if result.kind == kind)
    ds = read(results[place])
    damage(ds)
    buffer = BytesIO()
    ds.save_as(buffer)
    planted = [*results[:place], replace(results[place], content=buffer.getvalue()), *results[place + 1 :]]
    with pytest.raises(PreflightFailed, match=message) as caught:
        preflight(planted, request, COMPLETE)
    assert kind in {result.kind for result, _ in caught.value.faults}


def test_preflight_wants_the_page_that_the_profile_has(encoded: Encoded) -> None:
    request, results = encoded
    without = [result for result in results if result.kind is not ResultKind.DOC]
    with pytest.raises(ValueError, match="0 DOC were made, expected 1"):
        preflight(without, request, COMPLETE)
