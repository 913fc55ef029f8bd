"""Headers of source images, cleaned once: what arrives here may lack, misspell or mis-encode nearly everything.

A clean header holds only attributes that a result repeats, decoded to Unicode, with every Type 2 attribute present
(empty where the source has no usable value). Pixel data is never read.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from models.image.pixels import SPACING_LIMITS_MM
from node.dicom.ages import age_years
from node.dicom.uids import COMPUTED_RADIOGRAPHY
from workers.results.sources import values
from workers.results.sources.attributes import SourceAttributes, attempt, read_attributes
from workers.results.sources.identity import PATIENT_ID, REQUEST_ATTRIBUTES, Identity, identity_of

# Type 2 of the Patient and General Study modules (PS3.3 sections C.7.1.1 and C.7.2.1)
TYPE_2 = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_OPTIONAL = (
    "IssuerOfPatientID",
    "PatientAge",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
    "Modality",
    "ViewPosition",
    "SeriesNumber",
    "InstanceNumber",
    "PixelSpacingCalibrationType",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_REQUEST = (
    "AccessionNumber",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "ScheduledProcedureStepID",
)
_NOMINAL_THICKNESS = "1"
"""A projection has no slices, yet Pixel Measures without Slice Thickness fail dciodvfy where there is a Frame of
Reference (Type 1C), and highdicom and dcmqi cannot read them at all."""
_OFFSET_FORM = re.compile(r"[+-][0-9]{2}[0-5][0-9]")
_OFFSET_LIMITS = (-1200, 1400)
"""Of Timezone Offset From UTC (0008,0201), hours and minutes, west to east (PS3.3 section C.12.1)."""
_DIRECTION_TOLERANCE = 1e-3
_DIRECTIONS = re.compile("[LRAPHF]{1,3}")
_AXES = {"L": "x", "R": "x", "A": "y", "P": "y", "H": "z", "F": "z"}
_ADULT_YEARS = 18
_SHORTEST_ENDING = 8
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
_DATES_OF_EXAMINATION = (
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "ContentDate",
    "InstanceCreationDate",
)
_GRID = (
    "Rows",
    "Columns",
    "PatientOrientation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
)
_SEQUENCES = ("IssuerOfAccessionNumberSequence", "RequestAttributesSequence")
_READ = frozenset(("SpecificCharacterSet", *TYPE_2, *_OPTIONAL, *_UIDS, *_DATES_OF_EXAMINATION, *_GRID, *_SEQUENCES))


@dataclass(frozen=True)
class Source:
    """A source image, by its clean header.

    Attributes
    ----------
    header
        Without the patient's name: highdicom logs one whose form it doubts.
    identity
        What results are filed by, as bytes.
    name
        How people find the image in a viewer, its series and instance number; no other image of the study has it.
    position
        1 for the first image of the study, in the order of series and instance number; 0 for a stand-in.
    orientation
        Image Orientation (Patient) as six decimal strings, also where the rest of the position in the patient is not
        whole and the header therefore has none of it; () where the source has none, or no two directions at a right
        angle.
    """

    header: Dataset
    request_attributes: tuple[Dataset, ...] = ()
    identity: Identity = field(default_factory=Identity)
    name: str = ""
    position: int = 0
    path: Path | None = None
    """The Part 10 file; None for a stand-in."""
    orientation: tuple[str, ...] = ()
    age_years: float | None = None
    """Patient's age, as the node's own header has it."""

    @property
    def uid(self) -> str:
        """SOP Instance UID."""
        return str(self.header.SOPInstanceUID)

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID."""
        return str(self.header.SOPClassUID)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID."""
        return str(self.header.SeriesInstanceUID)

    @property
    def patient_id(self) -> str:
        """Patient ID (0010,0020) as it stands in the file, but for padding; empty where the image names no patient."""
        value = self.header.PatientID
        return "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else value or ""

    @property
    def can_be_referenced(self) -> bool:
        """Whether a result may refer to the image: one that repeats an invalid UID (PS3.5 section 9) cannot be read.

        Receiving is more lenient, because such UIDs are common and the study is answered all the same.
        """
        header = self.header
        return all(uid.is_valid for uid in (header.SOPInstanceUID, header.SeriesInstanceUID, header.SOPClassUID))

    @property
    def spacing_is_calibrated(self) -> bool:
        """Whether lengths are corrected for magnification, as `models.image.pixels` judges it (PS3.3 10.7.1.3)."""
        header = self.header
        pixel, imager = (values.numbers(header, keyword, 2) for keyword in ("PixelSpacing", "ImagerPixelSpacing"))
        if not pixel or min(pixel) < SPACING_LIMITS_MM[0] or max(pixel) > SPACING_LIMITS_MM[1]:
            return False
        return bool(header.get("PixelSpacingCalibrationType")) or bool(imager and imager != pixel)

    @property
    def is_child(self) -> bool:
        """Whether the patient was under 18 years of age; False where the header does not say."""
        return self.age_years is not None and self.age_years < _ADULT_YEARS

    @property
    def shape(self) -> tuple[int, int] | None:
        """Rows and columns; None where the header does not say."""
        if "Rows" not in self.header or "Columns" not in self.header:
            return None
        return int(self.header.Rows), int(self.header.Columns)


def bare_name(image_uid: str) -> str:
    """Return a name for an image of which only the UID is known."""
    return f"image {image_uid}"


def read_source(file: BinaryIO, path: Path) -> Source | None:
    """Read the header of one open Part 10 file; its name and position follow from `in_order`.

    Returns
    -------
    Source or None
        None where it has no header that names the object, its series and its study, or names a patient by what is no
        Patient ID: no result can be filed like it.

    Raises
    ------
    OSError
        The file cannot be read: the disk fails, which is no property of the object.
    """
    attributes = read_attributes(file, _READ)
    if attributes is None or PATIENT_ID in attributes.unreadable:
        return None
    source = attempt(lambda: _source(attributes))
    return None if source is None else replace(source, path=path)


def in_order(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the images of one study by series, instance number and UID, each with a name that no other has."""
    ordered = sorted({source.uid: source for source in sources}.values(), key=_order)
    return tuple(
        replace(source, name=name, position=position)
        for position, (source, name) in enumerate(zip(ordered, _names(ordered), strict=True), start=1)
    )


def empty_header(study_instance_uid: str) -> Source:
    """Return a stand-in for a study of which no object can be parsed: nothing is known but its UID."""
    header = _clean(Dataset(), Dataset())
    header.StudyInstanceUID = study_instance_uid
    header.SOPClassUID = UID(COMPUTED_RADIOGRAPHY)
    return Source(header)


def _names(sources: Sequence[Source]) -> list[str]:
    """Return a name for each image; where two would be called alike, with the end of the UID that tells them apart."""
    alike: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        alike[_number_name(source)].append(source.uid)
    return [_distinct(_number_name(source), source.uid, alike[_number_name(source)]) for source in sources]


def _number_name(source: Source) -> str:
    header = source.header
    if not header.get("InstanceNumber"):
        return bare_name(source.uid)
    series = f"series {header.SeriesNumber} " if header.get("SeriesNumber") else ""
    return f"{series}image {header.InstanceNumber}"


def _distinct(name: str, uid: str, uids: Sequence[str]) -> str:
    if len(uids) == 1:
        return name
    longest = max(map(len, uids))
    length = next(
        n for n in range(min(_SHORTEST_ENDING, longest), longest + 1) if len({u[-n:] for u in uids}) == len(uids)
    )
    return f"{name} (UID ending in {uid[-length:]})"


def _order(source: Source) -> tuple[int, int, str]:
    return int(source.header.get("SeriesNumber") or 0), int(source.header.get("InstanceNumber") or 0), source.uid


def _source(attributes: SourceAttributes) -> Source | None:
    ds, meta = attributes.ds, attributes.meta
    uids = {
        "StudyInstanceUID": values.uid(ds, "StudyInstanceUID"),
        "SeriesInstanceUID": values.uid(ds, "SeriesInstanceUID"),
        "SOPInstanceUID": values.uid(ds, "SOPInstanceUID") or values.uid_of(meta.sop_instance_uid),
        "SOPClassUID": values.uid(ds, "SOPClassUID") or values.uid_of(meta.sop_class_uid),
    }
    if not all(uids.values()):
        return None
    header = _clean(ds, Dataset())
    for keyword, value in uids.items():
        setattr(header, keyword, UID(value or ""))
    _copy_geometry(ds, header)
    # A sequence may hold what one parser takes for an item and another does not.
    count = len(attributes.items.get(REQUEST_ATTRIBUTES, ()))
    requests = tuple(map(_request, values.items(ds, "RequestAttributesSequence")[:count]))
    return Source(
        header,
        requests,
        identity_of(attributes, header, requests),
        orientation=_orientation(ds),
        age_years=age_years(
            stated=values.text(ds, "PatientAge"),
            born=values.text(ds, "PatientBirthDate"),
            examined=(values.text(ds, keyword) for keyword in _DATES_OF_EXAMINATION),
        ),
    )


def _clean(ds: Dataset, header: Dataset) -> Dataset:
    """Fill `header` with what results repeat of `ds`."""
    for keyword in TYPE_2:
        values.put(header, keyword, None if keyword == "PatientName" else values.usable(ds, keyword))
    if header.PatientSex not in ("M", "F", "O"):
        header.PatientSex = None
    for keyword in _OPTIONAL:
        value = values.usable(ds, keyword)
        if value is not None:
            values.put(header, keyword, value)
    if not _is_offset(str(header.get("TimezoneOffsetFromUTC") or "")):
        header.pop("TimezoneOffsetFromUTC", None)
    issuers = [_copied(item, _ISSUER) for item in values.items(ds, "IssuerOfAccessionNumberSequence")]
    if issuers and _names_an_issuer(issuers[0]):
        header.IssuerOfAccessionNumberSequence = issuers[:1]
    return header


def _names_an_issuer(item: Dataset) -> bool:
    """Return whether an item holds what the HL7v2 Hierarchic Designator Macro wants (PS3.3 Table 10-17)."""
    universal = [keyword in item for keyword in ("UniversalEntityID", "UniversalEntityIDType")]
    return universal[0] == universal[1] and (universal[0] or "LocalNamespaceEntityID" in item)


def _is_offset(text: str) -> bool:
    """Return whether a text is an offset from UTC; -0000 shall not be used."""
    low, high = _OFFSET_LIMITS
    return bool(_OFFSET_FORM.fullmatch(text)) and text != "-0000" and low <= int(text) <= high


_ISSUER = ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType")


def _copy_geometry(ds: Dataset, header: Dataset) -> None:
    """Copy the pixel grid, and the position in the patient only where it is whole."""
    for keyword in ("Rows", "Columns"):
        value = values.usable(ds, keyword)
        if isinstance(value, int) and value > 0:
            values.put(header, keyword, value)
    orientation = values.parts(ds, "PatientOrientation")
    values.put(header, "PatientOrientation", orientation if _are_directions(orientation) else None)
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = values.numbers(ds, keyword, 2)
        if spacing and min(spacing) > 0:
            values.put(header, keyword, values.parts(ds, keyword))
    thickness = values.numbers(ds, "SliceThickness", 1)
    values.put(
        header,
        "SliceThickness",
        values.usable(ds, "SliceThickness") if thickness and thickness[0] > 0 else _NOMINAL_THICKNESS,
    )
    frame_of_reference = values.uid(ds, "FrameOfReferenceUID")
    if frame_of_reference is None or not UID(frame_of_reference).is_valid:
        return
    header.FrameOfReferenceUID = UID(frame_of_reference)
    whole = values.numbers(ds, "ImagePositionPatient", 3) and _orientation(ds)
    if whole and "PixelSpacing" in header:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
            values.put(header, keyword, values.parts(ds, keyword))


def _are_directions(orientation: Sequence[str]) -> bool:
    """Return whether a Patient Orientation names two directions, of different axes (PS3.3 section C.7.6.1.1.1)."""
    if len(orientation) != 2 or not all(_DIRECTIONS.fullmatch(direction) for direction in orientation):
        return False
    axes = [[_AXES[letter] for letter in direction] for direction in orientation]
    return axes[0][0] != axes[1][0] and all(len(set(each)) == len(each) for each in axes)


def _orientation(ds: Dataset) -> tuple[str, ...]:
    """Return Image Orientation (Patient) where it is two directions at a right angle (PS3.3 section C.7.6.2.1.1)."""
    numbers = values.numbers(ds, "ImageOrientationPatient", 6)
    if not numbers:
        return ()
    row, column = numbers[:3], numbers[3:]
    lengths = (math.hypot(*row), math.hypot(*column))
    cosine = sum(a * b for a, b in zip(row, column, strict=True))
    off = max(*(abs(length - 1) for length in lengths), abs(cosine))
    return tuple(values.parts(ds, "ImageOrientationPatient")) if off < _DIRECTION_TOLERANCE else ()


def _request(item: Dataset) -> Dataset:
    return _copied(item, _REQUEST)


def _copied(ds: Dataset, keywords: tuple[str, ...]) -> Dataset:
    copy = Dataset()
    for keyword in keywords:
        value = values.usable(ds, keyword)
        if value is not None:
            values.put(copy, keyword, value)
    return copy
