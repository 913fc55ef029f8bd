"""Coding schemes that results use, and every code of the private one. Data only: the conformance statement lists it.

The codes themselves are made in `workers/results/text/vocabulary.py` from this table; those of measurements stand in
`models/values/codes.py`, which knows no `node`, and a test holds both to one meaning.
"""

from __future__ import annotations

from typing import Final

PRIVATE_SCHEME: Final = "99HILUM"

CODING_SCHEMES: Final = {
    "DCM": "DICOM Controlled Terminology (PS3.16 annex D)",
    "SCT": "SNOMED CT",
    "LN": "LOINC",
    "UCUM": "units",
    "UMLS": "UMLS, in TID 1500",
    "RFC5646": "language of the report, in TID 1204",
    PRIVATE_SCHEME: "private, below",
}
"""By Coding Scheme Designator (0008,0102), as PS3.16 Table 8-1 names them."""

PRIVATE_CODES: Final = {
    "CTR": "Cardiothoracic ratio",
    "PART-OF-LUNG": "Area as a part of the lung of its side, itself included",
    "GATE": "Frontal chest radiograph (gate)",
    "GATE-PASSED": "Passed",
    "GATE-REFUSED": "Refused",
    "REASON": "Reason why nothing was computed",
    "PIXEL-SPACING": "Pixel spacing",
    "SPACING-CALIBRATED": "Calibrated or corrected for magnification",
    "SPACING-AT-DETECTOR": "At the detector",
    "SPACING-UNKNOWN": "Unknown",
    "LUNGS-AT-EDGE": "Lungs reach the edge of the image",
    "CALIBRATED": "Calibrated on validation images",
    "DOUBT-FROM": "Indeterminate from this probability",
    "DOUBT-BELOW": "Indeterminate below this probability",
    "THRESHOLD-RULE": "Rule that chose the threshold",
    "OUTLINE": "Region outlined",
    "HEART-BOX": "Bounding box of the heart, in pixels of the source image",
    "PIXEL-NOTE": "How the pixels were read",
    "INTENDED-USE": "Intended use of the algorithm",
    "LIMITS": "Limits of this result",
    "PREDECESSOR": "Result that this one supersedes",
    "CLASS-ACTIVATION": "Class activation of a classifier, by place",
}
"""Code Meaning (0008,0104) by Code Value (0008,0100); every `Reason` is one more."""
