"""Content trees of SR and KO: what every content item has (PS3.3 section C.17.3), and what every report says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from models.values.codes import Code
from workers.results.checks.examined import Examined, items
from workers.results.checks.modules import VALUE_MACROS
from workers.results.parts.equipment import algorithms
from workers.results.text.vocabulary import MAGNETIC_RESONANCE_IMAGING, PLAIN_CHEST_RADIOGRAPHY, PLAIN_RADIOGRAPHY

PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
DEVICE_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
TRACKING_UNIQUE_IDENTIFIER = Code("112040", "DCM", "Tracking Unique Identifier")

_ONE_ITEM = ("ConceptNameCodeSequence", "ConceptCodeSequence", "MeasuredValueSequence", "ReferencedSOPSequence")
"""Sequences that hold no more than one item; a number without a value, which holds none, is not written."""
_REGION = "MULTIPOINT"
"""Graphic Type (0070,0023) of every region: its two outermost points."""


def content_items(examined: Examined) -> Iterator[str]:
    """Say which content item, at any depth, lacks its Value Type, its name or its relationship.

    The Standard lets some items go without a name; those of results have one, all of them.
    """
    ds = examined.ds
    for item in (ds, *_below(ds)):
        value_type = str(item.get("ValueType"))
        if value_type not in VALUE_MACROS:
            yield f"a content item has Value Type {value_type}, expected one of PS3.3 section C.17.3.2.1"
        if not item.get("ConceptNameCodeSequence"):
            yield f"a content item {value_type} has no ConceptNameCodeSequence, expected its name"
        if item is not ds and not item.get("RelationshipType"):
            yield f"a content item {value_type} has no RelationshipType"
        for keyword in _ONE_ITEM:
            if len(item.get(keyword, ())) > 1:
                yield f"{keyword} of a content item {value_type} has {len(item[keyword].value)} items, expected 1"


def observers(examined: Examined) -> Iterator[str]:
    """Check that the observers are the algorithms of the request (PS3.16 TID 1004)."""
    found = [str(item.UID) for item in _named(examined.ds, DEVICE_OBSERVER_UID)]
    if sorted(found) != sorted(algorithm.uid for algorithm in algorithms(examined.request)):
        yield f"Device Observer UIDs are {found}, expected one for each algorithm of the request"


def procedure(examined: Examined) -> Iterator[str]:
    """Check that the report names the procedure (PS3.16 TID 1500 row 4)."""
    found = [str(item.ConceptCodeSequence[0].CodeValue) for item in _named(examined.ds, PROCEDURE_REPORTED)]
    by_series = examined.request.series or examined.request.declined_series
    known = (MAGNETIC_RESONANCE_IMAGING,) if by_series else (PLAIN_CHEST_RADIOGRAPHY, PLAIN_RADIOGRAPHY)
    if found not in [[code.value] for code in known]:
        meant = "magnetic resonance imaging" if by_series else "plain radiography, of the chest or in general"
        yield f"reports the procedures {found}, expected {meant}"


def reasons(examined: Examined) -> Iterator[str]:
    """Check that the report gives the reason of every image that was not analysed."""
    codes = {str(i.get("CodeValue") or i.get("LongCodeValue")) for i in items(examined.ds.ContentSequence)}
    request = examined.request
    for reason in (*(one.reason for one in request.declined), *(one.reason for one in request.declined_series)):
        if reason.value not in codes:
            yield f"does not say that an image was declined as {reason.value}"


def tracking(examined: Examined) -> Iterator[str]:
    """Check that a group about a segment has the Tracking UID that the segment has (PS3.16 TID 1410)."""
    for group in _below(examined.ds):
        children = group.get("ContentSequence", ())
        uids = [str(item.UID) for item in children if _is(item, TRACKING_UNIQUE_IDENTIFIER)]
        for reference in (r for item in children for r in item.get("ReferencedSOPSequence", ())):
            number = reference.get("ReferencedSegmentNumber")
            instance = examined.known.get(str(reference.ReferencedSOPInstanceUID))
            meant = None if instance is None or not isinstance(number, int) else instance.tracking_uids.get(number)
            if meant is not None and uids != [meant]:
                yield f"a group about segment {number} has Tracking UIDs {uids}, expected {meant}"


def regions(examined: Examined) -> Iterator[str]:
    """Check that every region lies within its image (PS3.3 section C.18.6.1.1)."""
    shapes = {source.uid: source.shape for source in examined.sources}
    for item in _below(examined.ds):
        if item.get("ValueType") != "SCOORD":
            continue
        if item.GraphicType != _REGION or len(item.GraphicData) % 2:
            yield f"a region is {item.GraphicType} of {len(item.GraphicData)} numbers, expected {_REGION} of pairs"
        for image in item.get("ContentSequence", ()):
            shape = shapes.get(str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
            if shape is not None and not within(item.GraphicData, shape):
                yield f"a region lies outside of its image of {shape[0]} rows and {shape[1]} columns"


def within(points: Sequence[float], shape: tuple[int, int]) -> bool:
    """Return whether all of `points`, column and row in turn, lie on an image of `shape` rows and columns."""
    rows, columns = shape
    pairs = zip(points[::2], points[1::2], strict=True)
    return all(0 <= float(column) <= columns and 0 <= float(row) <= rows for column, row in pairs)


def _below(ds: Dataset) -> Iterator[Dataset]:
    for item in ds.get("ContentSequence", ()):
        yield item
        yield from _below(item)


def _named(ds: Dataset, name: Code) -> list[Dataset]:
    return [item for item in _below(ds) if _is(item, name)]


def _is(item: Dataset, name: Code) -> bool:
    """Return whether the name of a content item is this one; an item without a name is another check's."""
    return any(
        (c.get("CodeValue"), c.get("CodingSchemeDesignator")) == (name.value, name.scheme)
        for c in item.get("ConceptNameCodeSequence", ())
    )
