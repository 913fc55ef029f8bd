"""A Segmentation of a series: every frame on its slice, the segment what was found in it."""

from __future__ import annotations

from collections.abc import Iterator

from models.values.codes import ANATOMICAL_STRUCTURE
from workers.results.checks.examined import Examined, items
from workers.results.parts.identity import tracking_uid


def slices(examined: Examined) -> Iterator[str]:
    """Check that there is a frame for each slice that holds the structure, derived from it and lying where it lies."""
    ds, found = examined.ds, examined.shown_series()
    if found is None:
        yield "shows no series that was analysed"
        return
    by_uid = {source.uid: source for source in examined.sources}
    expected = [uid for uid, plane in zip(found.slices, found.findings.mask, strict=True) if plane.any()]
    derived = []
    for number, group in enumerate(ds.PerFrameFunctionalGroupsSequence, start=1):
        named = [str(i.ReferencedSOPInstanceUID) for i in items([group]) if "ReferencedSOPInstanceUID" in i]
        source = by_uid.get(named[0]) if len(named) == 1 else None
        if source is None:
            yield f"frame {number} does not say from which slice it is derived"
            continue
        derived.append(source.uid)
        if source.shape is not None and (ds.Rows, ds.Columns) != source.shape:
            yield f"has {ds.Rows} rows and {ds.Columns} columns, expected those of its source, {source.shape}"
        place = [float(value) for value in group.PlanePositionSequence[0].ImagePositionPatient]
        meant = [float(value) for value in source.header.ImagePositionPatient]
        if any(abs(one - other) > _TOLERANCE_MM for one, other in zip(place, meant, strict=True)):
            yield f"frame {number} does not lie where its slice lies"
    if sorted(derived) != sorted(expected):
        yield f"has frames of {len(derived)} slices, expected those {len(expected)} that hold the structure"


def structure(examined: Examined) -> Iterator[str]:
    """Check that the one segment says what was found."""
    found = examined.shown_series()
    described = list(examined.ds.SegmentSequence)
    if found is None or len(described) != 1:
        yield f"holds {len(described)} segments, expected the one that was found in its series"
        return
    findings, (item,) = found.findings, described
    meant = (ANATOMICAL_STRUCTURE, findings.label.code.to_code())
    said = (item.SegmentedPropertyCategoryCodeSequence[0], item.SegmentedPropertyTypeCodeSequence[0])
    if [(str(c.CodeValue), str(c.CodingSchemeDesignator)) for c in said] != [(c.value, c.scheme) for c in meant]:
        yield f"segment 1 has other codes than {findings.label.name!r}"
    uid = tracking_uid(
        examined.request.study_instance_uid, found.series_instance_uid, findings.bundle, findings.label.name
    )
    if str(item.TrackingUID) != uid:
        yield f"segment 1 has Tracking UID {item.TrackingUID}, expected {uid}"


_TOLERANCE_MM = 1e-3
