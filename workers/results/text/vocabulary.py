"""Coded concepts that results use besides those of findings: PS3.16 annex D (DCM) and the private scheme 99HILUM."""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

from models.values.codes import Code
from models.values.findings import NotComputedReason
from node.dicom.terminology import PRIVATE_CODES, PRIVATE_SCHEME
from node.identity import CONTRIBUTION_PURPOSE, OWN_MANUFACTURER
from node.reasons import LOST, Reason


def private(value: str) -> Code:
    """Return a code of the private scheme."""
    return Code(value, PRIVATE_SCHEME, PRIVATE_CODES[value])


IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
DIAGNOSTIC_IMAGING_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")
PLAIN_CHEST_RADIOGRAPHY = Code("399208008", "SCT", "Plain chest X-ray")
MAGNETIC_RESONANCE_IMAGING = Code("113091000", "SCT", "Magnetic resonance imaging")
PLAIN_RADIOGRAPHY = Code("168537006", "SCT", "Plain radiography")
PROCESSING_EQUIPMENT = Code(*CONTRIBUTION_PURPOSE, "Processing Equipment")
DEVICE = Code("121007", "DCM", "Device")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")

# PS3.16 CID 6042 Status of Results, and the question that they answer
SUMMARY_OF_ANALYSES = Code("111065", "DCM", "Summary of Analyses")
SUCCEEDED = Code("111222", "DCM", "Succeeded")
PARTIALLY_SUCCEEDED = Code("111223", "DCM", "Partially Succeeded")
FAILED = Code("111224", "DCM", "Failed")
NOT_ATTEMPTED = Code("111225", "DCM", "Not Attempted")
FAILURES = frozenset({Reason.ANALYSIS_FAILED, Reason.RESULT_WITHHELD, Reason.UNDECODABLE, *LOST})
"""Reasons for which an image, or a study of such images, failed; for the others nothing was attempted."""

# PS3.16 CID 240 Present-Absent
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")

PROBABILITY = Code("122157", "DCM", "Probability")
THRESHOLD = Code("122411", "DCM", "Threshold Value")
SUMMARY = Code("121111", "DCM", "Summary")
COMMENT = Code("121106", "DCM", "Comment")

# PS3.16 TID 1500, 1501, 1410 and 4019, as highdicom writes them
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
FINDING = Code("121071", "DCM", "Finding")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
LATERALITY = Code("272741003", "SCT", "Laterality")
REFERENCED_SEGMENT = Code("121214", "DCM", "Referenced Segmentation Frame")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")

# The quality of an image: PS3.16 CID 6101, annex D, and CID 4010 DX View
IMAGE_QUALITY = Code("111101", "DCM", "Image Quality")
LOSSY_COMPRESSION = Code("113040", "DCM", "Lossy Compression")
IMAGE_VIEW = Code("111031", "DCM", "Image View")
ANTERO_POSTERIOR = Code("399348003", "SCT", "antero-posterior")
POSTERO_ANTERIOR = Code("272479007", "SCT", "postero-anterior")

# PS3.16 TID 1500 row 12
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")

# PS3.16 TID 1600 to 1603 (image library)
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
SOURCE = Code("260753009", "SCT", "Source")
MODALITY = Code("121139", "DCM", "Modality")
PIXEL_DATA_ROWS = Code("110910", "DCM", "Pixel Data Rows")
PIXEL_DATA_COLUMNS = Code("110911", "DCM", "Pixel Data Columns")
PATIENT_ORIENTATION_ROW = Code("111044", "DCM", "Patient Orientation Row")
PATIENT_ORIENTATION_COLUMN = Code("111043", "DCM", "Patient Orientation Column")
HORIZONTAL_PIXEL_SPACING = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_PIXEL_SPACING = Code("111066", "DCM", "Vertical Pixel Spacing")
MODALITIES = {
    "CR": Code("CR", "DCM", "Computed Radiography"),
    "DX": Code("DX", "DCM", "Digital Radiography"),
    "MR": Code("MR", "DCM", "Magnetic Resonance"),
}
"""PS3.16 CID 29, as far as the pipelines need it. OT is not in it: of other modalities nothing is said."""

NOT_COMPUTED_REASON = private("REASON")
GATE = private("GATE")
GATE_PASSED = private("GATE-PASSED")
GATE_REFUSED = private("GATE-REFUSED")
PIXEL_SPACING = private("PIXEL-SPACING")
SPACING_CALIBRATED = private("SPACING-CALIBRATED")
SPACING_AT_DETECTOR = private("SPACING-AT-DETECTOR")
SPACING_UNKNOWN = private("SPACING-UNKNOWN")
LUNGS_AT_EDGE = private("LUNGS-AT-EDGE")
CALIBRATED = private("CALIBRATED")
DOUBT_FROM = private("DOUBT-FROM")
DOUBT_BELOW = private("DOUBT-BELOW")
THRESHOLD_RULE = private("THRESHOLD-RULE")
INTENDED_USE = private("INTENDED-USE")
OUTLINE = private("OUTLINE")
LIMITS = private("LIMITS")
HEART_BOX = private("HEART-BOX")
PIXEL_NOTE = private("PIXEL-NOTE")
PREDECESSOR = private("PREDECESSOR")

REASON_MEANINGS: dict[Reason, str] = {
    Reason.NOT_A_RADIOGRAPH: "Not a projection radiograph",
    Reason.NOT_THE_CHEST: "Body part is not the chest",
    Reason.FOR_PROCESSING: "For Processing image, not For Presentation",
    Reason.LATERAL_VIEW: "View is not frontal",
    Reason.MULTI_FRAME: "More than one frame",
    Reason.NOT_HUMAN: "Patient is not human",
    Reason.COLOUR_IMAGE: "Colour image",
    Reason.ENERGY_SUBTRACTION: "Image of energy subtraction, not a plain radiograph",
    Reason.TOO_SMALL: "Image is too small",
    Reason.NOT_FOR_THIS_ANALYSIS: "Not an image of the kind that is analysed",
    Reason.NO_VOLUME: "Slices make no volume that can be analysed",
    Reason.NO_RULE: "No routing rule selects this image",
    Reason.DIFFERENT_PATIENTS: "Images of the study name different patients",
    Reason.OWN_RESULT: "Result of this node",
    Reason.NOT_AN_IMAGE: "Not an image",
    Reason.MALFORMED: "Malformed object",
    Reason.TRUNCATED: "Truncated object",
    Reason.NO_PIXEL_DATA: "No pixel data",
    Reason.ABSURD_GEOMETRY: "Implausible number of rows or columns",
    Reason.INVALID_UID: "Invalid UID",
    Reason.IDENTITY_MISMATCH: "Object differs from what was announced",
    Reason.TRANSFER_SYNTAX: "Wrong transfer syntax",
    Reason.TOO_LARGE: "Object is too large",
    Reason.UNDECODABLE: "Pixel data cannot be decoded",
    Reason.UID_CONFLICT: "Same UID as another object",
    Reason.DAMAGED: "Image was damaged in the node; send it again",
    Reason.MISSING: "Image is missing in the node; send it again",
    Reason.NOT_A_CHEST: "Not a frontal chest radiograph",
    Reason.LUNGS_IMPLAUSIBLE: "Two plausible lungs were not found",
    Reason.AGE_OUTSIDE_INTENDED_USE: "Age outside the intended use",
    Reason.AGE_UNKNOWN: "Age unknown",
    Reason.VIEW_OUTSIDE_INTENDED_USE: "View outside the intended use",
    Reason.NOT_FOUND_BY_CLASSIFIER: "Nothing to outline, absent by the classifier",
    Reason.CLASSIFIER_NOT_RUN: "Classifier that decides about an outline was not run",
    Reason.ANALYSIS_FAILED: "Analysis failed",
    Reason.RESULT_WITHHELD: "Result withheld, it failed a check of the node",
}
"""Code Meaning (0008,0104) of every reason; its value is the Code Value."""


def reason_code(reason: Reason | NotComputedReason) -> Code:
    """Return the coded form of a reason; a reason without a listed meaning is its own meaning."""
    try:
        meaning = REASON_MEANINGS[Reason(reason.value)]
    except (KeyError, ValueError):
        meaning = reason.value
    return Code(reason.value, PRIVATE_SCHEME, meaning[:64])


def concept(code: Code) -> CodedConcept:
    """Return the code as highdicom's item of a code sequence (PS3.3 section 8)."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def coding_schemes() -> list[CodingSchemeIdentificationItem]:
    """Return the items that name the private scheme (0008,0110; PS3.3 section C.12.1.1.1)."""
    return [
        CodingSchemeIdentificationItem(
            PRIVATE_SCHEME, name="Hilum reasons and statements", responsible_organization=OWN_MANUFACTURER
        )
    ]
