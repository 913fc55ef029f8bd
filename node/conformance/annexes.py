"""What the results contain, and where they go beyond the Standard (PS3.2 section A.8)."""

from __future__ import annotations

from pydicom.datadict import dictionary_description, tag_for_keyword

from node.conformance.markdown import prose, section, table
from node.delivery.profiles import BUILT_IN
from node.dicom.kinds import KINDS, RESULT_CLASSES
from node.dicom.terminology import CODING_SCHEMES, PRIVATE_CODES, PRIVATE_SCHEME
from node.identity import OWN_MANUFACTURER
from node.reasons import Reason


def annexes() -> str:
    """Write section 8."""
    return section("## 8 Annexes", _contents(), _private(), _terminology(), _extensions())


def _contents() -> str:
    return section(
        "### 8.1 IOD contents",
        "#### 8.1.1 Created SOP instances",
        table(("SOP class", "UID", "For"), [(row.name, row.sop_class_uid, row.purpose) for row in RESULT_CLASSES]),
        prose(
            f"Every result has its sources in the same study, Manufacturer (0008,0070) {OWN_MANUFACTURER!r}, and a "
            "Contributing Equipment item (0018,A001) with purpose (109102, DCM) for each algorithm (IHE Radiology, AI "
            "Results 1.3). Results are preliminary and unverified."
        ),
        prose(
            "UIDs are derived, under 2.25., from study, sources, algorithms, configuration, kind and revision, so "
            "that the same analysis gives the same object. A later revision is a new instance in the same series."
        ),
        prose(
            "A segment is an Anatomical Structure (lungs, heart) or a Morphologically Abnormal Structure (a disease, "
            "looked for where its classifier's probability reaches the threshold, which an indeterminate one may, too; "
            "never where it is below); its side is the modifier of its property type (CID 244). Findings in the report "
            "have a site and, where a region was outlined, the same side. Where a site has set thresholds of its own, "
            "Device Serial Number and Algorithm Parameters hold a digest of bundle and thresholds together, and the "
            "parameters the digest of the bundle beside it."
        ),
        "#### 8.1.2 Usage of attributes from received IODs",
        prose(
            "Whether an image is analysed is decided by SOP Class UID, Modality, Presentation Intent Type, Body Part "
            "Examined, Anatomic Region Sequence, View Position, View Code Sequence, Patient Orientation, Rows, "
            "Columns, Number of Frames, Samples per Pixel, Photometric Interpretation and Patient's Age. Declined is a "
            "body part, view or modality that PS3.16 or PS3.3 defines as another one; a code counts before a text, and "
            "what no table defines is left to the pixels. The age is that of the first of Patient's Age, Patient's "
            "Birth Date and the dates of study, series, acquisition and object that can be true. A source "
            "image whose SOP Class, Series or SOP Instance UID breaks PS3.5 section 9.1 (a component with a leading "
            "zero, say) is answered by a report that names it in text; no object refers to it."
        ),
        _mapping(),
        "#### 8.1.4 Coerced and modified attributes",
        "None: what was received is not sent on.",
    )


def _mapping() -> str:
    return section(
        "#### 8.1.3 Attribute mapping",
        prose(
            "Patient and Study attributes and Accession Number (0008,0050) are those of the source images. By kind, as "
            "`objects` of a profile names it:"
        ),
        table(
            ("Result", "Sources", "Order, where Request Attributes (0040,0275) name one", "Superseded result"),
            [
                (kind, _named(row.sources), _named(row.order), _named(*[row.predecessor] if row.predecessor else []))
                for kind, row in KINDS.items()
            ],
        ),
        prose(
            "A report also refers, by the code PREDECESSOR, to every result of another kind that an earlier revision "
            "made: what it shows no longer holds."
        ),
        prose(
            f"Frame of Reference UID (0020,0052) stands in {_kinds_with_frame_of_reference()}: it is that of the "
            "source image. A Segmentation of an image without one has none. A Parametric Map must have one and a "
            "position: where the source has no whole position in the patient, they are made up (8.5)."
        ),
    )


def _named(*keywords: str) -> str:
    """Name attributes as PS3.6 does, with their tags."""
    tags = [tag for tag in map(tag_for_keyword, keywords) if tag is not None]
    return ", ".join(f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in tags) or "none"


def _kinds_with_frame_of_reference() -> str:
    return " and ".join(kind for kind, row in KINDS.items() if row.has_frame_of_reference)


def _private() -> str:
    return section(
        "### 8.2 Data dictionary of private attributes",
        "None. No private SOP class and no private transfer syntax is used.",
    )


def _terminology() -> str:
    return section(
        "### 8.3 Coded terminology and templates",
        prose(
            "Templates: TID 1500 with TID 1501, TID 1410, TID 1600 and TID 4019 in reports, TID 2010 in Key Object "
            "Selections. Coding schemes:"
        ),
        table(("Coding scheme", "What it is"), CODING_SCHEMES.items()),
        prose(
            f"The scheme {PRIVATE_SCHEME} is named in the Coding Scheme Identification Sequence (0008,0110). Its codes "
            "stand where no code of another scheme was found:"
        ),
        table(("Code value", "Code meaning"), PRIVATE_CODES.items()),
        "and, for why something was not analysed or not outlined:",
        "\n".join(f"- `{reason}`" for reason in Reason),
    )


def _extensions() -> str:
    placed = ", ".join(f"`{profile.name}`" for profile in BUILT_IN.values() if profile.plane_orientation)
    whole = ", ".join(f"`{profile.name}`" for profile in BUILT_IN.values() if profile.split_segments)
    worded = ", ".join(f"`{profile.name}`" for profile in BUILT_IN.values() if profile.text_report)
    return section(
        "### 8.4 Grayscale image consistency",
        "Not supported: the node displays nothing.",
        "### 8.5 Standard Extended, Specialized and Private SOP classes",
        "Standard Extended SOP classes; none is Specialized or Private.",
        prose(
            "Segmentation Storage and Label Map Segmentation Storage, by profiles with `plane_orientation` "
            f"({placed}): where the source image has no whole position in the patient (CR, DX), the shared functional "
            "groups hold a Plane Orientation Sequence (0020,9116), without position, and with a Frame of Reference UID "
            "only where the image has one. Its orientation is that "
            "of the image, or 1\\0\\0\\0\\1\\0 where it has none, which makes no claim about the patient. PS3.3 "
            "section A.51 asks for it only where there is a Frame of Reference; OHIF does not load the object without "
            "it, or with another orientation than the image's. Where the image has no Pixel Spacing, Pixel Measures "
            "hold the Imager Pixel Spacing, or 1 mm where that is unknown too."
        ),
        prose(
            "Segmentation Storage, Label Map Segmentation Storage and Parametric Map Storage: Slice Thickness "
            "(0018,0050) in Pixel Measures is nominal, 1 mm, where the source has none; common readers do not load "
            "the object without it."
        ),
        prose(
            "Parametric Map Storage: where the source has no whole position in the patient (Frame of Reference, Image "
            "Position, Image Orientation and Pixel Spacing), the map has a Frame of Reference UID of its own, derived "
            "from the source's SOP Instance UID, and lies at 0\\0\\0 with the orientation 1\\0\\0\\0\\1\\0; its Pixel "
            "Measures then hold Pixel Spacing, else Imager Pixel Spacing, else 1 mm. The UID equals no other, so that "
            "nothing is claimed about the patient. The IOD (PS3.3 section A.75) demands position and Frame of "
            "Reference; a projection has none."
        ),
        prose(
            f"By profiles with `split_segments` ({whole}), a BINARY Segmentation holds one segment each where rows × "
            "columns is no multiple of 16; otherwise one object holds all segments of a bundle. No attribute "
            "changes."
        ),
        prose(
            f"Comprehensive 3D SR, by profiles with `text_report` ({worded}): the document title is (18748-4, LN, "
            '"Diagnostic Imaging Report"), an extension of CID 7021, and the Instance Number (0020,0013) falls with '
            "each revision: OHIF shows the first report of a series, and shows it as text only where the title is not "
            '(126000, DCM, "Imaging Measurement Report"). The result in sentences (121111, DCM, "Summary") and its '
            "limits are TEXT items of the root, behind the language and before the observation context, where a reader "
            "sees them first. The other profiles have that title, the revision as number, and the sentences among the "
            "Qualitative Evaluations."
        ),
    )
