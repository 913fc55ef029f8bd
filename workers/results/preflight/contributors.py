"""Contributing Equipment: the algorithms behind a result, as IHE AI Results 1.3 asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from models.values.findings import BundleIdentity, ImageFindings
from node.dicom.kinds import KINDS, ResultKind
from workers.results.parts.equipment import Algorithm, algorithms, node
from workers.results.parts.series import bundles_of
from workers.results.preflight.references import items
from workers.results.request import ResultRequest
from workers.results.text.vocabulary import PROCESSING_EQUIPMENT


def contributors(ds: Dataset, kind: ResultKind, request: ResultRequest) -> Iterator[str]:
    """Check that there is one item for each algorithm that made the result, and that it says what it is.

    Items without Device UID are those of libraries.
    """
    expected = _algorithms(ds, kind, request)
    named = [item for item in ds.ContributingEquipmentSequence if "DeviceUID" in item]
    uids = [str(item.DeviceUID) for item in named]
    whole = len(uids) == 1 and uids[0] in expected if KINDS[kind].of_one_bundle else sorted(uids) == sorted(expected)
    if not whole:
        yield f"Contributing Equipment has Device UIDs {uids}, expected one item for each algorithm that made it"
    for item in named:
        yield from _item(item, expected.get(str(item.DeviceUID)))


def _item(item: Dataset, meant: Algorithm | None) -> Iterator[str]:
    purposes = [(str(c.CodeValue), str(c.CodingSchemeDesignator)) for c in item.PurposeOfReferenceCodeSequence]
    if purposes != [(PROCESSING_EQUIPMENT.value, PROCESSING_EQUIPMENT.scheme)]:
        yield f"Contributing Equipment has purposes {purposes}, expected {PROCESSING_EQUIPMENT.value}"
    if meant is None:
        return
    for keyword, value in (
        ("ManufacturerModelName", meant.model_name),
        ("SoftwareVersions", meant.version),
        ("DeviceSerialNumber", meant.serial_number),
    ):
        if str(item.get(keyword)) != value.strip():
            yield f"{keyword} of Contributing Equipment is {item.get(keyword)}, expected {value}"


def _algorithms(ds: Dataset, kind: ResultKind, request: ResultRequest) -> dict[str, Algorithm]:
    """Return the algorithms that a result may name, by Device UID; the node where no bundle computed what it shows."""
    used = {bundle.digest for bundle in _bundles(ds, kind, request)}
    shown = [algorithm for algorithm in algorithms(request) if algorithm.digest in used]
    return {algorithm.uid: algorithm for algorithm in shown or [node(request.configuration_digest)]}


def _bundles(ds: Dataset, kind: ResultKind, request: ResultRequest) -> Iterable[BundleIdentity]:
    match kind:
        case ResultKind.SR | ResultKind.KO | ResultKind.DOC:
            return request.bundles
        case ResultKind.SEG | ResultKind.PR:
            return [segment.bundle for image in _images(ds, request) for segment in image.segments]
        case ResultKind.SC:
            return [bundle for image in _images(ds, request) for bundle in bundles_of(image)]
        case ResultKind.PM:
            return [heat_map.bundle for image in _images(ds, request) for heat_map in image.heat_maps]


def _images(ds: Dataset, request: ResultRequest) -> list[ImageFindings]:
    """Return the images that a result refers to."""
    referred = {item.get("ReferencedSOPInstanceUID") for item in items([ds])}
    return [image for image in request.images if image.sop_instance_uid in referred]
