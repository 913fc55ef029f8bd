"""Who made a result: the node, and every algorithm behind it, in the four places where DICOM asks.

One `Algorithm` feeds Contributing Equipment (PS3.3 section C.12.1), the device observer (PS3.16 TID 1004), the
algorithm of a measurement group (TID 4019) and that of a segment (PS3.3 section 10.16), so that they are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from highdicom.sr import AlgorithmIdentification, DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom.uid import UID

from models.values.findings import BundleIdentity
from node import __version__
from node.identity import OWN_MANUFACTURER
from workers.results.parts.identity import derived_uid, device_uid
from workers.results.request import ResultRequest
from workers.results.text import vocabulary
from workers.results.text.vocabulary import concept
from workers.results.text.wording import RESEARCH_ONLY

MANUFACTURER = OWN_MANUFACTURER
MODEL_NAME = "Hilum chest radiograph node"
SOFTWARE_VERSION = __version__

LONG_STRING = 64
"""Characters of an LO value (PS3.5 section 6.2)."""


@dataclass(frozen=True)
class Algorithm:
    """One algorithm as results name it: a bundle, or the node where no bundle ran."""

    model_name: str
    version: str
    serial_number: str
    uid: str
    digest: str | None
    configuration_digest: str
    shipped_digest: str | None = None
    """Of the bundle alone, where the site has set thresholds of its own."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """What else decides its output, for Algorithm Parameters (DCM 111002)."""
        configuration = f"configuration sha256 {self.configuration_digest}"
        if self.digest is None:
            return (configuration,)
        if self.shipped_digest is None:
            return f"bundle sha256 {self.digest}", configuration
        return f"bundle and site thresholds sha256 {self.digest}", f"bundle sha256 {self.shipped_digest}", configuration


def algorithm(bundle: BundleIdentity, configuration_digest: str) -> Algorithm:
    """Return the algorithm that a bundle is under one configuration."""
    return Algorithm(
        model_name=_line(bundle.name),
        version=_line(bundle.version),
        serial_number=_line(bundle.digest),
        uid=device_uid(bundle, configuration_digest),
        digest=bundle.digest,
        configuration_digest=configuration_digest,
        shipped_digest=bundle.shipped_digest,
    )


def algorithms(request: ResultRequest) -> tuple[Algorithm, ...]:
    """Return every algorithm of the request, in the order of their names; the node itself where none ran."""
    bundles = {bundle.digest: bundle for bundle in request.bundles}
    ordered = sorted(bundles.values(), key=lambda bundle: (bundle.name, bundle.version, bundle.digest))
    return tuple(algorithm(bundle, request.configuration_digest) for bundle in ordered) or (
        node(request.configuration_digest),
    )


def names(request: ResultRequest) -> list[str]:
    """Return what people call the algorithms of the request."""
    return [f"{one.model_name} {one.version}" for one in algorithms(request)]


def node(configuration_digest: str) -> Algorithm:
    """Return the node as the algorithm that looked at a study and declined it."""
    return Algorithm(
        model_name=MODEL_NAME,
        version=SOFTWARE_VERSION,
        serial_number=_line(configuration_digest),
        uid=derived_uid("device", "node", SOFTWARE_VERSION, configuration_digest),
        digest=None,
        configuration_digest=configuration_digest,
    )


def contributing_equipment(of: Algorithm, contributed_at: datetime) -> ContributingEquipment:
    """Return the item that IHE AIR asks for: purpose (109102, DCM), maker, model, version, Device UID (0018,1002)."""
    item = ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=concept(vocabulary.PROCESSING_EQUIPMENT),
        manufacturer_model_name=of.model_name,
        software_versions=of.version,
        device_serial_number=of.serial_number,
        contribution_datetime=contributed_at,
        contribution_description=RESEARCH_ONLY,
    )
    item.DeviceUID = UID(of.uid)
    return item


def segment_algorithm(of: Algorithm) -> AlgorithmIdentificationSequence:
    """Return the Segmentation Algorithm Identification Sequence (0062,0007)."""
    return AlgorithmIdentificationSequence(
        name=of.model_name,
        version=of.version,
        family=concept(vocabulary.ARTIFICIAL_INTELLIGENCE),
        source=MANUFACTURER,
        parameters=dict(parameter.rsplit(" ", 1) for parameter in of.parameters),
    )


def group_algorithm(of: Algorithm) -> AlgorithmIdentification:
    """Return the items of TID 4019."""
    return AlgorithmIdentification(
        name=of.model_name,
        version=of.version,
        manufacturer=MANUFACTURER,
        parameters=of.parameters,
        family=concept(vocabulary.ARTIFICIAL_INTELLIGENCE),
    )


def observer(of: Algorithm) -> ObserverContext:
    """Return the items of TID 1002 and TID 1004."""
    return ObserverContext(
        observer_type=concept(vocabulary.DEVICE),
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=of.uid,
            name=of.model_name,
            manufacturer_name=MANUFACTURER,
            model_name=of.model_name,
            serial_number=of.serial_number,
        ),
    )


def _line(text: str) -> str:
    """Return `text` as an LO value: one line of at most 64 characters without the value separator."""
    return " ".join(text.replace("\\", "/").split())[:LONG_STRING]
