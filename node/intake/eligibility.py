"""Which received objects are analysed: a judgement of the header alone, in the order of `judge`.

What holds for every object stands here, what is asked of an image stands with its pipeline. Where the header does not
say, pixels decide later. What is declined is answered with its reason; what is ignored is recorded only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from node.dicom.contexts import CLASS_BY_UID, DEFLATED, Use
from node.dicom.header import Header
from node.identity import CONTRIBUTION_PURPOSE, OWN_MANUFACTURER
from node.pipelines import EdgePipeline
from node.reasons import Reason

_ANIMALS: Final = re.compile(r"\b(canine|feline|equine|bovine|avian|veterinary|dog|cat|horse|rabbit)\b", re.IGNORECASE)


class Eligibility(StrEnum):
    """What becomes of an object."""

    ACCEPT = "accept"
    DECLINE = "decline"
    """Not analysed, and answered with the reason."""
    IGNORE = "ignore"
    """Recorded and never answered."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one object."""

    eligibility: Eligibility
    reason: Reason | None = None
    """None: accepted."""
    detail: str = ""
    """What the header says: defined terms and numbers; no patient attribute, and no free text of the sender."""


def judge(header: Header, pipeline: EdgePipeline) -> Verdict:
    """Decide whether an object is analysed. The first rule that holds is the reason: the node's own, the pipeline's."""
    if _is_own(header):
        return Verdict(Eligibility.IGNORE, Reason.OWN_RESULT, "made by this node, or by another of its kind")
    if header.transfer_syntax_uid == DEFLATED.uid and _use(header) is not Use.IGNORED:
        return Verdict(Eligibility.DECLINE, Reason.TRANSFER_SYNTAX, "deflated: taken for results of the node only")
    if _use(header) is Use.IGNORED or header.rows is None:
        return Verdict(Eligibility.IGNORE, Reason.NOT_AN_IMAGE, f"SOP class {header.sop_class_uid}")
    declined = pipeline.decline(header)
    if declined is not None:
        return Verdict(Eligibility.DECLINE, *declined)
    return Verdict(Eligibility.ACCEPT)


def _is_own(header: Header) -> bool:
    """Recognise our results by the device that contributed, or by the manufacturer of a SEG or SR.

    Not by UIDs under 2.25: many systems make those. Not by the manufacturer alone: our phantoms are images to analyse.
    """
    contributed = any(
        equipment.manufacturer == OWN_MANUFACTURER
        and (equipment.purpose is None or equipment.purpose.value == CONTRIBUTION_PURPOSE[0])
        for equipment in header.contributing_equipment
    )
    return contributed or (header.manufacturer == OWN_MANUFACTURER and _use(header) is Use.IGNORED)


def _use(header: Header) -> Use | None:
    """Look up the SOP class; None: not in the table."""
    storage_class = CLASS_BY_UID.get(header.sop_class_uid)
    return None if storage_class is None else storage_class.use


def not_human(header: Header) -> str | None:
    """Say what in the header is of an animal; None: nothing is."""
    if header.is_human is False:
        return "the species that is given is not known to be human"
    animal = next(filter(None, map(_ANIMALS.search, header.protocol)), None)
    return None if animal is None else f"the protocol names {animal[0].lower()}"


def too_small(header: Header, minimum_side: int) -> str | None:
    """Return its rows and columns where one of them is below a minimum; None: neither is."""
    if min(header.rows or 0, header.columns or 0) < minimum_side:
        return f"{header.rows} rows, {header.columns} columns; {minimum_side} are needed"
    return None
