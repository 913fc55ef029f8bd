"""What a UID is, and UIDs of the Standard by name: transfer syntaxes (PS3.5 Annex A), SOP classes (PS3.4)."""

from __future__ import annotations

import re
from typing import Final

IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"

UNCOMPRESSED: Final = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
"""Transfer syntaxes without compression; every DICOM application has the second one (PS3.5 section 10.1)."""

VERIFICATION_SOP_CLASS: Final = "1.2.840.10008.1.1"
"""PS3.4 section A.4."""

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4 section J.3)."""

COMPUTED_RADIOGRAPHY: Final = "1.2.840.10008.5.1.4.1.1.1"
DIGITAL_XRAY: Final = "1.2.840.10008.5.1.4.1.1.1.1"
DIGITAL_XRAY_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.7"
COMPREHENSIVE_3D_SR: Final = "1.2.840.10008.5.1.4.1.1.88.34"
"""Storage SOP classes (PS3.4 Table B.5-1)."""

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND (PS3.4 section C.6.2)."""

_LONGEST: Final = 64
_COMPONENTS: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_CHARACTERS: Final = frozenset("0123456789.")


def is_uid(text: str) -> bool:
    """Return whether a text is numbers with dots between them, 64 characters at most (PS3.5 section 9.1).

    A number may begin with zero, which is against the Standard, but frequent. What refers to an object asks for more:
    `Source.can_be_referenced`.
    """
    return len(text) <= _LONGEST and _COMPONENTS.fullmatch(text) is not None


def has_uid_characters(text: str) -> bool:
    """Whether a text is 1 to 64 digits and dots, in whatever order: enough to be a file name, a key or an answer.

    Where an object is only named, and not yet read, a misplaced dot is no reason to refuse it.
    """
    return 0 < len(text) <= _LONGEST and _CHARACTERS.issuperset(text)
