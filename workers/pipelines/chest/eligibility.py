"""Which images the pipeline for chest radiographs analyses: a judgement of the header alone.

Where the header does not say, pixels decide later: a body part, view or modality that is absent, or that no table
defines, is no reason to decline. Imports nothing of networks and results, because the always-on edge loads it.
"""

from __future__ import annotations

import re
from typing import Final

from node.dicom.contexts import CLASS_BY_UID, Use
from node.dicom.defined_terms import (
    MODALITIES,
    PHOTOMETRIC_INTERPRETATIONS,
    BodyPart,
    body_part_coded,
    body_part_named,
    words,
)
from node.dicom.header import Header
from node.dicom.uids import DIGITAL_XRAY_FOR_PROCESSING
from node.intake.eligibility import not_human, too_small
from node.reasons import Reason

MINIMUM_SIDE: Final = 256
"""Fewest rows and columns: below this the networks would see an enlarged picture."""

RADIOGRAPH_MODALITIES: Final = frozenset({"CR", "DX", "RG"})
"""Modalities of projection radiographs (PS3.3 section C.7.3.1.1.1); RG is film, digitised."""

UNSPECIFIC_MODALITIES: Final = frozenset({"OT"})
"""Defined modalities that say nothing."""

GREY: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
MAYBE_GREY: Final = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})
"""Colour spaces in which grey pictures come too; whether this one is grey, the decoded pixels say."""


# PS3.16 Table L-1: the chest, what contains it, and what a radiograph of it is called after. The other terms of the
# table are other body parts.
_CHEST_PARTS: Final = words(
    "BRONCHUS CHEST CHESTABDOMEN CHESTABDPELVIS HEART LUNG MEDIASTINUM NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV "
    "NECKCHESTABDPELVIS PLEURA THORAX UPPERTRUNK WHOLEBODY"
)
# Their codes that the table does not have with these terms: apex of the lung, intra-thoracic, and "Chest" as it was.
_CHEST_REGIONS: Final = words("86598002 T-280A0 43799004 T-D3200 51185008 T-D3000")

# PS3.16 CID 4010: the projections that are not frontal, SCT codes and the SRT codes that they replaced.
_OTHER_VIEWS: Final = words(
    "399067008 R-102CD 399173006 R-10236 399198007 R-10232 399352003 R-10228 399260004 R-10224 260427002 R-40783 "
    "399099002 R-10230 399135007 R-10220 399184004 R-10238 399006002 R-10212 260426006 R-40782 399368009 R-10226 "
    "399182000 R-102C1 399356000 R-40985 399236003 R-10234 399038007 R-10210 399312000 R-10208 399059000 R-10216 "
    "399160007 R-10204"
)
# View Position (0018,5101): PS3.3 section C.8.1.3 and C.8.11.5; LLD and RLD are decubitus, the rest lateral or oblique.
OTHER_POSITIONS: Final = words("LL RL LLD RLD LLO RLO LAO RAO LPO RPO LAT LATERAL LLAT RLAT ML LM OBL OBLIQUE")

_SUBTRACTED: Final = re.compile(r"BONE|SOFT[ _-]?TISSUE|SUBTRACT|ENERGY[ _-]?SUB|RECOMBINED")
"""Image Type (0008,0008) from value 3 on, which manufacturers fill as they like; PS3.3 section C.8.11.7 has two."""

_DIRECTIONS: Final = re.compile("[APRLHF]{1,3}")
"""Patient Orientation (0020,0020), PS3.3 section C.7.6.1.1.1."""


def decline(header: Header) -> tuple[Reason, str] | None:
    """Return why an image is not analysed, with what its header says; None: it is."""
    for reason, detail in (
        (Reason.NOT_HUMAN, not_human(header)),
        (Reason.NOT_A_RADIOGRAPH, _not_a_radiograph(header)),
        (Reason.FOR_PROCESSING, _for_processing(header)),
        (Reason.ENERGY_SUBTRACTION, _energy_subtraction(header)),
        (Reason.MULTI_FRAME, _multi_frame(header)),
        (Reason.COLOUR_IMAGE, _colour(header)),
        (Reason.NOT_THE_CHEST, _not_the_chest(header)),
        (Reason.LATERAL_VIEW, _not_frontal(header)),
        (Reason.TOO_SMALL, too_small(header, MINIMUM_SIDE)),
    ):
        if detail is not None:
            return reason, detail
    return None


def _not_a_radiograph(header: Header) -> str | None:
    """Say which other modality it is; one that no table defines (DR, of many senders) is not known to be another."""
    if header.sop_class_uid not in CLASS_BY_UID:
        return f"SOP class {header.sop_class_uid}"
    modality = (header.modality or "").upper()
    is_other = modality in MODALITIES - RADIOGRAPH_MODALITIES - UNSPECIFIC_MODALITIES
    return f"modality {modality}" if is_other else None


def _for_processing(header: Header) -> str | None:
    intent = (header.presentation_intent or "").upper()
    if intent == "FOR PROCESSING" or header.sop_class_uid == DIGITAL_XRAY_FOR_PROCESSING:
        return "raw data of the detector, made for processing"
    return None


def _energy_subtraction(header: Header) -> str | None:
    """Recognise what dual energy was subtracted to, bones or soft tissue. The standard image beside it is a chest."""
    words = [value.upper() for value in header.image_type[2:]]
    if "STANDARD" in words or not any(_SUBTRACTED.search(word) for word in words):
        return None
    return "Image Type names an image of bones or of soft tissue alone"


def _multi_frame(header: Header) -> str | None:
    if header.frames > 1:
        return f"{header.frames} frames"
    storage_class = CLASS_BY_UID.get(header.sop_class_uid)
    if storage_class is not None and storage_class.use is Use.ANSWERED:
        return storage_class.name
    return None


def _colour(header: Header) -> str | None:
    """Say which colours it has; an interpretation that is absent, or that no table defines, names none."""
    photometric, samples = (header.photometric_interpretation or "").upper(), header.samples_per_pixel
    if samples == 1 and photometric not in PHOTOMETRIC_INTERPRETATIONS - GREY:
        return None
    if samples == 3 and photometric in MAYBE_GREY:
        return None
    known = photometric in PHOTOMETRIC_INTERPRETATIONS
    said = photometric if known else "that is not grey" if photometric else "absent"
    return f"photometric interpretation {said}, {samples} samples per pixel"


def _not_the_chest(header: Header) -> str | None:
    """Say which other body part it is: by its code, else by a defined term. What neither says is left to the pixels."""
    region = header.anatomic_region
    coded = None if region is None else body_part_coded(region.value, region.scheme)
    if region is not None and (region.value in _CHEST_REGIONS or coded is not None):
        of_chest = coded is None or _is_chest(coded)
        return None if of_chest else f"anatomic region {region.value} {region.scheme}, {coded}"
    named = body_part_named(header.body_part or "")
    return None if named is None or _is_chest(named) else f"body part {named}"


def _is_chest(part: BodyPart) -> bool:
    return part.term in _CHEST_PARTS or not _CHEST_REGIONS.isdisjoint(part.codes)


def _not_frontal(header: Header) -> str | None:
    position = (header.view_position or "").upper()
    if position in OTHER_POSITIONS:
        return f"view position {position}"
    if header.view_code is not None and header.view_code.value in _OTHER_VIEWS:
        return f"view code {header.view_code.value}"
    said = position or (header.view_code is not None and header.view_code.value)
    if not said and header.patient_orientation[:1] in (("A",), ("P",)):
        known = all(_DIRECTIONS.fullmatch(direction) for direction in header.patient_orientation)
        return f"patient orientation {'/'.join(header.patient_orientation)}" if known else "a view that is not frontal"
    return None
