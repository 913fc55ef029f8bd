"""The series of the optional results, and what every one of their objects says of itself and its maker.

Each kind has one series in a study, which keeps its UID over revisions. Parametric Maps have one for each image: each
may have a Frame of Reference of its own, and a series has no more than one (PS3.3 section A.1.2.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypedDict

from highdicom import ContributingEquipment
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset

from models.values.findings import BundleIdentity, ImageFindings
from node.delivery.profiles import Profile
from node.dicom.kinds import KINDS, ResultKind
from workers.results.parts import equipment
from workers.results.parts.identity import result_uid, series_uid
from workers.results.request import ResultRequest
from workers.results.sources.source import Source
from workers.results.text import vocabulary
from workers.results.text.wording import RESEARCH_ONLY

BODY_PART: Final = "CHEST"
"""Body Part Examined (0018,0015). It has no side, so that Laterality (0020,0060), Type 2C, is absent."""

_PARTS, _IMAGES = 100, 100


class Identification(TypedDict):
    """Arguments that every constructor of highdicom takes, by its names for them."""

    series_instance_uid: str
    series_number: int
    sop_instance_uid: str
    instance_number: int
    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str
    series_description: str
    specific_character_set: str
    coding_schemes: Sequence[CodingSchemeIdentificationItem]


class PatientAndStudy(TypedDict):
    """Arguments of those constructors that copy no patient from an image; values as pydicom has them."""

    patient_id: Any
    patient_birth_date: Any
    patient_sex: Any
    accession_number: Any
    study_id: Any
    study_date: Any
    study_time: Any


def identification(
    request: ResultRequest,
    kind: ResultKind,
    profile: Profile,
    *,
    image_uid: str = "",
    part: str = "",
    position: int = 0,
    part_number: int = 0,
) -> Identification:
    """Return UIDs, numbers, maker, description and text encoding of an object.

    Parameters
    ----------
    image_uid, position
        The source image and its place in the study; none for an object of the whole study.
    part, part_number
        What tells several objects of one image apart, and its place among them.
    """
    facts = KINDS[kind]
    number = (request.revision * _IMAGES + position) * _PARTS + part_number
    return {
        "series_instance_uid": series_uid(
            request.named, kind, profile, image_uid=image_uid if facts.series_for_each_image else ""
        ),
        "series_number": facts.series_number,
        "sop_instance_uid": result_uid(request, kind, profile, image_uid, part),
        "instance_number": number if position else request.revision,
        "manufacturer": equipment.MANUFACTURER,
        "manufacturer_model_name": equipment.MODEL_NAME,
        "software_versions": equipment.SOFTWARE_VERSION,
        "device_serial_number": equipment.node(request.configuration_digest).serial_number,
        "series_description": f"AI {kind.value} - {RESEARCH_ONLY}",
        "specific_character_set": "ISO_IR 192",
        "coding_schemes": vocabulary.coding_schemes(),
    }


def patient(header: Dataset) -> PatientAndStudy:
    """Return patient and study as a header has them."""
    return {
        "patient_id": header.PatientID,
        "patient_birth_date": header.PatientBirthDate,
        "patient_sex": header.PatientSex,
        "accession_number": header.AccessionNumber,
        "study_id": header.StudyID,
        "study_date": header.StudyDate,
        "study_time": header.StudyTime,
    }


def contributions(
    request: ResultRequest, bundles: Iterable[BundleIdentity], moment: datetime
) -> list[ContributingEquipment]:
    """Return one Contributing Equipment item for each bundle that an object shows; for the node where it is none."""
    used = {bundle.digest for bundle in bundles}
    shown = [algorithm for algorithm in equipment.algorithms(request) if algorithm.digest in used]
    shown = shown or [equipment.node(request.configuration_digest)]
    return [equipment.contributing_equipment(algorithm, moment) for algorithm in shown]


def bundles_of_segments(image: ImageFindings) -> set[BundleIdentity]:
    """Return the bundles that outlined something in an image."""
    return {segment.bundle for segment in image.segments}


def bundles_of_heat_maps(image: ImageFindings) -> set[BundleIdentity]:
    """Return the bundles that say of an image where they looked."""
    return {heat_map.bundle for heat_map in image.heat_maps}


def bundles_of(image: ImageFindings) -> set[BundleIdentity]:
    """Return the bundles that computed anything for an image."""
    found = {finding.bundle for finding in image.findings} | {item.bundle for item in image.segmentation_empty}
    return found | {segment.bundle for segment in image.segments} | {one.bundle for one in image.measurements}


def burnt_in_annotation(source: Source) -> Literal["YES", "NO"] | None:
    """Return whether the source says that its pixels identify the patient (0028,0301); None where it is silent.

    What results burn in themselves never does: the attribute is about identity and date, not about any text.
    """
    match source.header.get("BurnedInAnnotation"):
        case "YES":
            return "YES"
        case "NO":
            return "NO"
    return None
