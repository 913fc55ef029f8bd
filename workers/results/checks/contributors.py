"""Contributing Equipment: the algorithms behind a result, as IHE AI Results 1.3 asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from models.values.findings import BundleIdentity
from node.dicom.kinds import KINDS
from workers.results.checks.examined import Examined
from workers.results.parts.equipment import Algorithm, algorithms, node
from workers.results.request import ResultRequest
from workers.results.text.vocabulary import PROCESSING_EQUIPMENT


def contributors(examined: Examined, bundles: Iterable[BundleIdentity]) -> Iterator[str]:
    """Check that there is one item for each algorithm that made the result, and that it says what it is.

    Items without Device UID are those of libraries.

    Parameters
    ----------
    bundles
        Those that computed what results of this kind show of the images that this one refers to.
    """
    expected = _algorithms(examined.request, bundles)
    named = [item for item in examined.ds.ContributingEquipmentSequence if "DeviceUID" in item]
    uids = [str(item.DeviceUID) for item in named]
    whole = (
        len(uids) == 1 and uids[0] in expected
        if KINDS[examined.kind].of_one_bundle
        else sorted(uids) == sorted(expected)
    )
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


def _algorithms(request: ResultRequest, bundles: Iterable[BundleIdentity]) -> dict[str, Algorithm]:
    """Return the algorithms that a result may name, by Device UID; the node where no bundle computed what it shows."""
    used = {bundle.digest for bundle in bundles}
    shown = [algorithm for algorithm in algorithms(request) if algorithm.digest in used]
    return {algorithm.uid: algorithm for algorithm in shown or [node(request.configuration_digest)]}
