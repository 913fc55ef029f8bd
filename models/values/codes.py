"""Coded concepts of the findings, structures and measurements (SNOMED CT, DCM, RadLex, UCUM), each literal once.

Sources: PS3.16 CID 7150/7151 (segmentation property categories and types), CID 6101 (chest findings), CID 244
(laterality), CID 6 (units), SNOMED CT international.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One coded concept: Code Value (0008,0100), Coding Scheme Designator (0008,0102), Code Meaning (0008,0104)."""

    value: str
    scheme: str
    meaning: str

    def names(self, other: Code) -> bool:
        """Return whether both name one concept, whatever their meanings say."""
        return (self.value, self.scheme) == (other.value, other.scheme)


LUNG = Code("39607008", "SCT", "Lung")
HEART = Code("80891009", "SCT", "Heart")
THORAX = Code("51185008", "SCT", "Thorax")
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
BILATERAL = Code("51440002", "SCT", "Bilateral")
LEFT_ATRIUM = Code("82471001", "SCT", "Left atrium")
PLEURA = Code("3120008", "SCT", "Pleural structure")
MORPHOLOGICALLY_ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")

PNEUMONIA = Code("233604007", "SCT", "Pneumonia")
PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
ATELECTASIS = Code("46621007", "SCT", "Atelectasis")
# PS3.16 CID 6104, a chest finding. What radiologists marked for RSNA as suspect of pneumonia is an opacity and not yet
# a diagnosis; no SNOMED CT or RadLex code of a lung opacity could be verified. The site says that it is in the lung.
LUNG_OPACITY = Code("112001", "DCM", "Opacity")

# Private: no code for the ratio of diameters on a radiograph was found in SNOMED CT, LOINC or DCM as far as they are at
# hand (LOINC 59074-5 and 59076-0 are those of a fetus by ultrasound). Replace it when a standard one is verified.
CARDIOTHORACIC_RATIO = Code("CTR", "99HILUM", "Cardiothoracic ratio")
# Private for the same reason.
PART_OF_LUNG = Code("PART-OF-LUNG", "99HILUM", "Area as a part of the lung of its side, itself included")
AREA = Code("42798000", "SCT", "Area")
WIDTH = Code("103355008", "SCT", "Width")
VOLUME = Code("118565006", "SCT", "Volume")

RATIO = Code("{ratio}", "UCUM", "ratio")
PERCENT = Code("%", "UCUM", "percent")
PROBABILITY_UNIT = Code("1", "UCUM", "no units")
MILLIMETRE = Code("mm", "UCUM", "mm")
SQUARE_CENTIMETRE = Code("cm2", "UCUM", "cm2")
MILLILITRE = Code("mL", "UCUM", "mL")
SQUARE_PIXEL = Code("{pixels}", "UCUM", "pixels")
PIXEL = Code("{pixels}", "UCUM", "pixels")
