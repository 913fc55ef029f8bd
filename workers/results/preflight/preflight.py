"""Checks on the final bytes of every result, before anything is stored or sent.

They are our own: what would make an archive or a viewer refuse, misfile, or wrongly show a result. A result that fails
is put aside and not sent. The external validators (dciodvfy, dsrdump, dcmqi) run in the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset

from node.delivery.profiles import Profile
from node.dicom.kinds import KINDS, ResultKind
from node.errors import HilumError
from workers.results.builders.segmentation import parts
from workers.results.preflight.content import content_items, observers, procedure, regions, tracking
from workers.results.preflight.contributors import contributors
from workers.results.preflight.fixed import fixed
from workers.results.preflight.identity import patient_and_study, uids
from workers.results.preflight.modules import attributes
from workers.results.preflight.pictures import graphics, grid, length
from workers.results.preflight.references import (
    Instances,
    evidence,
    items,
    of_predecessors,
    of_result,
    of_sources,
    references,
)
from workers.results.preflight.segments import makers, properties, segments
from workers.results.request import EncodedResult, Predecessor, ResultRequest


class PreflightFailed(HilumError):
    """Results are not fit to be stored; encoding them again gives the same objects.

    `faults` has each of these results with what is wrong with it and what was expected.
    """

    def __init__(self, faults: Sequence[tuple[EncodedResult, tuple[str, ...]]]) -> None:
        super().__init__("; ".join(f"{r.kind} {r.sop_instance_uid}: {', '.join(what)}" for r, what in faults))
        self.faults = tuple(faults)


# Type 1C and 2C whose condition every result of a kind meets, and Type 3 that the node promises (IHE AI Results 1.3)
_ALWAYS = (
    "InstanceNumber",
    "SeriesNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "ContributingEquipmentSequence",
    "SeriesDescription",
)


def preflight(
    results: Sequence[EncodedResult],
    request: ResultRequest,
    profile: Profile,
    predecessors: Sequence[Predecessor] = (),
) -> None:
    """Read every result again and check it.

    Parameters
    ----------
    predecessors
        The results of earlier revisions, the only ones that may be superseded.

    Raises
    ------
    PreflightFailed
        With each result that is not what it must be.
    ValueError
        The sources are not of one study and patient, or results are missing: the caller's mistake.
    """
    _check_sources(request)
    known, earlier = of_sources(request.sources), of_predecessors(predecessors)
    referable = set(known)
    faults: list[tuple[EncodedResult, tuple[str, ...]]] = []
    made: list[EncodedResult] = []
    for result in results:
        said = _faults(result, request, profile, known=known, earlier=earlier, made=made)
        found = tuple(dict.fromkeys(said))
        if found:
            faults.append((result, found))
        made.append(result)
        known[result.sop_instance_uid] = of_result(result)
    if faults:
        raise PreflightFailed(faults)
    _check_kinds(results, request, referable, profile)


def check_attributes(result: EncodedResult) -> None:
    """Check presence and membership of every attribute of one result, whatever it was made from.

    Raises
    ------
    PreflightFailed
        With what is missing or strange.
    """
    faults = tuple(_attributes(dcmread(BytesIO(result.content)), result))
    if faults:
        raise PreflightFailed([(result, faults)])


def _faults(
    result: EncodedResult,
    request: ResultRequest,
    profile: Profile,
    *,
    known: Instances,
    earlier: Instances,
    made: Sequence[EncodedResult],
) -> Iterator[str]:
    """Say everything that is wrong with one result."""
    sources = request.sources
    try:
        ds = dcmread(BytesIO(result.content))
        yield from _attributes(ds, result)
        if KINDS[result.kind].is_image and "PatientOrientation" not in ds:
            yield "PatientOrientation is missing, expected a value or an empty one (Type 2C)"
        yield from uids(ds, result, request, sources, made)
        yield from patient_and_study(ds, result, request, sources)
        yield from contributors(ds, result.kind, request)
        yield from references(ds, known, earlier, request.study_instance_uid)
        yield from fixed(ds, result.kind, profile)
        match result.kind:
            case ResultKind.SEG:
                yield from grid(ds, sources)
                yield from length(ds)
                yield from segments(ds)
                yield from properties(ds, request)
                yield from makers(ds)
            case ResultKind.SR:
                yield from _document(ds, request)
                yield from _answers(ds, request)
                yield from procedure(ds)
                yield from tracking(ds, known)
                yield from regions(ds, sources)
            case ResultKind.KO:
                yield from _document(ds, request)
            case ResultKind.SC:
                yield from length(ds)
            case ResultKind.PM:
                yield from grid(ds, sources)
                yield from length(ds)
            case ResultKind.PR:
                yield from graphics(ds, sources)
            case ResultKind.DOC:
                pass
    except (AttributeError, IndexError, KeyError, TypeError, EOFError) as error:
        yield f"cannot be checked: {type(error).__name__}, so that something that must be there is not"


def _document(ds: Dataset, request: ResultRequest) -> Iterator[str]:
    """Check what SR and KO have in common."""
    yield from content_items(ds)
    yield from observers(ds, request)
    yield from evidence(ds)


def _attributes(ds: Dataset, result: EncodedResult) -> Iterator[str]:
    """Check presence and membership of every attribute, at every depth (PS3.3, PS3.5 section 7.4)."""
    try:
        expected = attributes(result.sop_class_uid)
    except KeyError:
        yield f"SOP class {result.sop_class_uid} is none that the node knows"
        return
    yield from expected.missing(ds)
    yield from expected.strange(ds)
    for keyword in (*_ALWAYS, *KINDS[result.kind].always):
        if keyword not in ds or ds[keyword].is_empty:
            yield f"{keyword} is missing or empty, expected a value"


def _check_sources(request: ResultRequest) -> None:
    for source in request.sources:
        if source.header.StudyInstanceUID != request.study_instance_uid:
            raise ValueError(
                f"source {source.uid} belongs to study {source.header.StudyInstanceUID}, "
                f"expected {request.study_instance_uid}"
            )
        if source.patient_id != request.sources[0].patient_id:
            raise ValueError("the sources name different patients, expected one Patient ID")


def _answers(ds: Dataset, request: ResultRequest) -> Iterator[str]:
    """Check that the report gives the reason of every image that was left out."""
    codes = {str(i.get("CodeValue") or i.get("LongCodeValue")) for i in items(ds.ContentSequence)}
    for declined in request.declined:
        if declined.reason.value not in codes:
            yield f"does not say that an image was declined as {declined.reason.value}"


def _check_kinds(results: Sequence[EncodedResult], request: ResultRequest, known: set[str], profile: Profile) -> None:
    """Check that there are one SR, a SEG for each part of what was found in an image that can be referred to, a DOC."""
    made = Counter(result.kind for result in results)
    reports, stored, pages = made[ResultKind.SR], made[ResultKind.SEG], made[ResultKind.DOC]
    expected = sum(
        len(parts(image, profile))
        for image in request.images
        if image.sop_instance_uid in known and profile.makes(ResultKind.SEG)
    )
    if reports != 1 or stored != expected:
        raise ValueError(f"{stored} SEG and {reports} SR were made, expected {expected} and 1")
    if pages != int(profile.makes(ResultKind.DOC)):
        raise ValueError(f"{pages} DOC were made, expected {int(profile.makes(ResultKind.DOC))}")
