"""Checks on the final bytes of every result, before anything is stored or sent.

They are our own: what would make an archive or a viewer refuse, misfile, or wrongly show a result. A result that fails
is quarantined and not sent. The external validators (dciodvfy, dsrdump, dcmqi) run in the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset

from models.values.findings import BundleIdentity
from node.delivery.profiles import Profile
from node.dicom.kinds import KINDS, ResultKind
from node.errors import HilumError
from workers.results.builders.volume_segmentation import is_referable
from workers.results.checks.contributors import contributors
from workers.results.checks.examined import Examined, Referable
from workers.results.checks.fixed import fixed
from workers.results.checks.identity import patient_and_study, uids
from workers.results.checks.modules import attributes
from workers.results.checks.references import of_predecessors, of_result, of_sources, references
from workers.results.kinds import MAKING, Making
from workers.results.parts.segment_sets import segment_sets
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
    known: Mapping[str, Referable],
    earlier: Mapping[str, Referable],
    made: Sequence[EncodedResult],
) -> Iterator[str]:
    """Say everything that is wrong with one result."""
    making = MAKING[result.kind]
    try:
        ds = dcmread(BytesIO(result.content))
        examined = Examined(ds, result, request, profile, known=known, earlier=earlier, made=made)
        yield from _attributes(ds, result)
        series = examined.shown_series()
        if KINDS[result.kind].is_image and series is None and "PatientOrientation" not in ds:
            yield "PatientOrientation is missing, expected a value or an empty one (Type 2C)"
        yield from uids(examined)
        yield from patient_and_study(examined)
        yield from contributors(examined, _bundles(examined, making))
        yield from references(examined)
        yield from fixed(examined)
        for check in making.checks if series is None else making.checks_of_series:
            yield from check(examined)
    except (AttributeError, IndexError, KeyError, TypeError, EOFError) as error:
        yield f"cannot be checked: {type(error).__name__}, so that something that must be there is not"


def _bundles(examined: Examined, making: Making) -> Iterable[BundleIdentity]:
    """Return the bundles that computed what a result shows."""
    series = examined.shown_series()
    if series is not None:
        return [series.findings.bundle]
    if making.bundles is None:
        return examined.request.bundles
    return [bundle for image in examined.shown_images() for bundle in making.bundles(image)]


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


def _check_kinds(results: Sequence[EncodedResult], request: ResultRequest, known: set[str], profile: Profile) -> None:
    """Check that there are one SR, a SEG for each part of what was found in an image that can be referred to, a DOC."""
    made = Counter(result.kind for result in results)
    reports, stored, pages = made[ResultKind.SR], made[ResultKind.SEG], made[ResultKind.DOC]
    expected = sum(
        len(segment_sets(image, profile))
        for image in request.images
        if image.sop_instance_uid in known and profile.makes(ResultKind.SEG)
    )
    by_uid = {source.uid: source for source in request.sources}
    if profile.makes(ResultKind.SEG):
        expected += sum(is_referable(found, [by_uid[uid] for uid in found.slices]) for found in request.series)
    if reports != 1 or stored != expected:
        raise ValueError(f"{stored} SEG and {reports} SR were made, expected {expected} and 1")
    if pages != int(profile.makes(ResultKind.DOC)):
        raise ValueError(f"{pages} DOC were made, expected {int(profile.makes(ResultKind.DOC))}")
