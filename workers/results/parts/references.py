"""References of one object to others: to images, results, what a result supersedes, and the order behind a study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from models.values.codes import Code
from node.dicom.kinds import KINDS, ResultKind, kind_of
from workers.results.request import EncodedResult, Predecessor, ResultRequest
from workers.results.sources.source import TYPE_2, Source
from workers.results.text import vocabulary
from workers.results.text.vocabulary import concept

_ORDER_IDENTIFIERS = {Tag("RequestedProcedureID"), Tag("ScheduledProcedureStepID")}


def reference(sop_class_uid: str, sop_instance_uid: str, *, purpose: Code | None = None) -> Dataset:
    """Return an item of the SOP Instance Reference Macro (PS3.3 section 10.8), with its purpose where one is given."""
    item = Dataset()
    item.ReferencedSOPClassUID = UID(sop_class_uid)
    item.ReferencedSOPInstanceUID = UID(sop_instance_uid)
    if purpose is not None:
        item.PurposeOfReferenceCodeSequence = [concept(purpose)]
    return item


def supersede(ds: Dataset, predecessors: Sequence[Predecessor]) -> None:
    """Name the earlier instances of the series of an image object (0008,114A; PS3.3 section C.12.4).

    They are listed by series, too, where the object does so of what it refers to (PS3.3 section C.12.2).
    """
    mine = [
        (p.sop_class_uid, p.sop_instance_uid) for p in predecessors if p.series_instance_uid == ds.SeriesInstanceUID
    ]
    if not mine:
        return
    ds.ReferencedInstanceSequence = [reference(*instance, purpose=vocabulary.PREDECESSOR) for instance in mine]
    if "ReferencedSeriesSequence" in ds:
        series = Dataset()
        series.SeriesInstanceUID = ds.SeriesInstanceUID
        series.ReferencedInstanceSequence = [reference(*instance) for instance in mine]
        ds.ReferencedSeriesSequence.append(series)


def stand_in(result: EncodedResult | Predecessor, subject: Source) -> Dataset:
    """Return what highdicom needs of a result to refer to it, and of the study that it belongs to like `subject`."""
    ds = Dataset()
    for keyword in (*TYPE_2, "StudyInstanceUID"):
        ds[keyword] = subject.header[keyword]
    ds.SeriesInstanceUID = UID(result.series_instance_uid)
    ds.SOPClassUID = UID(result.sop_class_uid)
    ds.SOPInstanceUID = UID(result.sop_instance_uid)
    if KINDS[kind_of(result.sop_class_uid)].is_image:
        # By these highdicom knows an image (value type IMAGE) from another object (COMPOSITE).
        ds.Rows = ds.Columns = 1
    return ds


def superseded(predecessors: Sequence[Predecessor]) -> list[Predecessor]:
    """Return the results of earlier revisions besides reports, which a report names as its predecessor documents."""
    return [p for p in predecessors if kind_of(p.sop_class_uid) is not ResultKind.SR]


def hierarchical(study_instance_uid: str, instances: Iterable[tuple[str, str, str]]) -> Dataset:
    """Return an item of the Hierarchical SOP Instance Reference Macro (PS3.3 section C.17.2.1).

    Parameters
    ----------
    instances
        (Series Instance UID, SOP Class UID, SOP Instance UID) of each instance.
    """
    by_series: dict[str, list[Dataset]] = {}
    for series_instance_uid, sop_class_uid, sop_instance_uid in instances:
        by_series.setdefault(series_instance_uid, []).append(reference(sop_class_uid, sop_instance_uid))
    study = Dataset()
    study.StudyInstanceUID = UID(study_instance_uid)
    study.ReferencedSeriesSequence = []
    for series_instance_uid, references in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = UID(series_instance_uid)
        series.ReferencedSOPSequence = references
        study.ReferencedSeriesSequence.append(series)
    return study


def request_attributes(subject: Source) -> list[Dataset]:
    """Return items for the Request Attributes Sequence (0040,0275; PS3.3 section C.7.3.1): the orders, if they say."""
    items = []
    for asked in subject.request_attributes:
        item = Dataset()
        item.update(asked)
        if "AccessionNumber" not in item and subject.header.AccessionNumber:
            item.AccessionNumber = subject.header.AccessionNumber
        if names_an_order(item):
            items.append(item)
    return items


def names_an_order(asked: Dataset) -> bool:
    """Return whether an item of the Request Attributes Sequence identifies what was ordered."""
    return bool(asked.keys() & _ORDER_IDENTIFIERS)


def orders(request: ResultRequest, subject: Source) -> list[Dataset]:
    """Return items for the Referenced Request Sequence (0040,A370): the orders that the images fulfil, if they say."""
    items = []
    for asked in subject.request_attributes:
        if not has_procedure(asked):
            continue
        item = Dataset()
        item.StudyInstanceUID = UID(request.study_instance_uid)
        item.ReferencedStudySequence = []
        item.AccessionNumber = asked.get("AccessionNumber") or subject.header.AccessionNumber
        item.PlacerOrderNumberImagingServiceRequest = None
        item.FillerOrderNumberImagingServiceRequest = None
        item.RequestedProcedureID = asked.RequestedProcedureID
        item.RequestedProcedureDescription = asked.get("RequestedProcedureDescription")
        item.RequestedProcedureCodeSequence = []
        items.append(item)
    return items


def has_procedure(asked: Dataset) -> bool:
    """Return whether an item of the Request Attributes Sequence has what a Referenced Request Sequence must have."""
    return "RequestedProcedureID" in asked
