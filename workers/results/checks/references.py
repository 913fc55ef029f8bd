"""References within a result: each names an object that there is, with its class, series and segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset

from node.dicom.kinds import ResultKind
from workers.results.checks.examined import Examined, Referable, items
from workers.results.request import EncodedResult, Predecessor
from workers.results.sources.source import Source

_LISTS = ("ReferencedSOPSequence", "ReferencedInstanceSequence", "ReferencedImageSequence")
"""Of the instances of a series (PS3.3 sections C.17.2.1, C.12.2 and C.11.11)."""


def of_sources(sources: Sequence[Source]) -> dict[str, Referable]:
    """Return the sources that can be referred to."""
    return {s.uid: Referable(s.sop_class_uid, s.series_instance_uid) for s in sources if s.can_be_referenced}


def of_predecessors(predecessors: Sequence[Predecessor]) -> dict[str, Referable]:
    """Return the results of earlier revisions."""
    return {p.sop_instance_uid: Referable(p.sop_class_uid, p.series_instance_uid) for p in predecessors}


def of_result(result: EncodedResult) -> Referable:
    """Return a result that later ones may refer to."""
    tracking_uids: dict[int, str] = {}
    if result.kind is ResultKind.SEG:
        ds = dcmread(BytesIO(result.content), stop_before_pixels=True, specific_tags=["SegmentSequence"])
        described = ds.get("SegmentSequence", ())
        # The background of a label map has no Tracking UID: nothing tracks it.
        tracking_uids = {int(item.SegmentNumber): str(item.get("TrackingUID", "")) for item in described}
    return Referable(result.sop_class_uid, result.series_instance_uid, tracking_uids)


def references(examined: Examined) -> Iterator[str]:
    """Say which reference leads nowhere, or says something else of an object than that object does."""
    ds, study_instance_uid = examined.ds, examined.request.study_instance_uid
    known = {**examined.earlier, **examined.known}
    for item in items([ds]):
        uid = item.get("ReferencedSOPInstanceUID")
        if uid is not None:
            yield from _reference(item, str(uid), known)
        if item is not ds and item.get("StudyInstanceUID", study_instance_uid) != study_instance_uid:
            yield f"refers to study {item.StudyInstanceUID}, expected {study_instance_uid}"
        if item is not ds and "SeriesInstanceUID" in item:
            yield from _series(item, known)
    for item in _superseded(ds):
        if str(item.ReferencedSOPInstanceUID) not in examined.earlier:
            yield f"supersedes instance {item.ReferencedSOPInstanceUID}, which is no result of an earlier revision"


def evidence(examined: Examined) -> Iterator[str]:
    """Whatever the content tree refers to stands in the evidence (PS3.3 section C.17.2)."""
    ds = examined.ds
    listed = {
        i.ReferencedSOPInstanceUID
        for i in items(ds.get("CurrentRequestedProcedureEvidenceSequence", ()))
        if "ReferencedSOPInstanceUID" in i
    }
    for item in items(ds.ContentSequence):
        uid = item.get("ReferencedSOPInstanceUID")
        if uid is not None and uid not in listed:
            yield f"refers to instance {uid}, which its evidence does not list"


def _reference(item: Dataset, uid: str, known: Mapping[str, Referable]) -> Iterator[str]:
    instance = known.get(uid)
    if instance is None:
        yield f"refers to instance {uid}, which is no source of it, or not valid"
        return
    if item.ReferencedSOPClassUID != instance.sop_class_uid:
        yield f"refers to instance {uid} as {item.ReferencedSOPClassUID}, expected {instance.sop_class_uid}"
    strange = sorted(_numbers(item, "ReferencedSegmentNumber") - instance.segments)
    if strange:
        yield f"refers to segments {strange} of instance {uid}, which has {sorted(instance.segments)}"


def _series(item: Dataset, known: Mapping[str, Referable]) -> Iterator[str]:
    """Say which instance is listed under another series than its own."""
    for keyword in _LISTS:
        for listed in item.get(keyword, ()):
            uid = str(listed.ReferencedSOPInstanceUID)
            if uid in known and known[uid].series_instance_uid != item.SeriesInstanceUID:
                yield f"lists instance {uid} in series {item.SeriesInstanceUID}, which is not its own"


def _superseded(ds: Dataset) -> Iterator[Dataset]:
    """Yield the references to predecessors: of an image object, and of a document."""
    yield from ds.get("ReferencedInstanceSequence", ())
    for item in items(ds.get("PredecessorDocumentsSequence", ())):
        if "ReferencedSOPInstanceUID" in item:
            yield item


def _numbers(item: Dataset, keyword: str) -> set[int]:
    value = item.get(keyword)
    if value is None:
        return set()
    return {int(value)} if isinstance(value, int) else {int(part) for part in value}
