"""Which images the pipeline for MR series analyses: a judgement of the header alone.

Whether the slices of a series make a volume, its positions say when it is read. Imports nothing of networks and
results, because the always-on edge loads it.
"""

from __future__ import annotations

from typing import Final

from node.dicom.contexts import StorageClass, Use
from node.dicom.defined_terms import MODALITIES
from node.dicom.header import Header
from node.intake.eligibility import not_human, too_small
from node.reasons import Reason

MR_IMAGE: Final = StorageClass("1.2.840.10008.5.1.4.1.1.4", "MR Image Storage", Use.ANALYSED)
"""PS3.4 Table B.5-1."""

MINIMUM_SIDE: Final = 32
"""Fewest rows and columns."""


def decline(header: Header) -> tuple[Reason, str] | None:
    """Return why an image is not analysed, with what its header says; None: it is."""
    for reason, detail in (
        (Reason.NOT_HUMAN, not_human(header)),
        (Reason.NOT_FOR_THIS_ANALYSIS, _not_mr(header)),
        (Reason.MULTI_FRAME, f"{header.frames} frames" if header.frames > 1 else None),
        (Reason.TOO_SMALL, too_small(header, MINIMUM_SIDE)),
    ):
        if detail is not None:
            return reason, detail
    return None


def _not_mr(header: Header) -> str | None:
    if header.sop_class_uid == MR_IMAGE.uid:
        return None
    modality = (header.modality or "").upper()
    if not modality:
        return f"SOP class {header.sop_class_uid}"
    return f"modality {modality}" if modality in MODALITIES else "a modality that is not MR"
