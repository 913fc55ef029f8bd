"""A phantom as a DICOM object: Digital X-Ray (PS3.3 A.26), Computed Radiography (A.2) or Secondary Capture (A.8).

Nothing reads the clock or draws a random UID: the same phantom and options give the same bytes.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from models.phantom.image import BITS_STORED, Phantom

NAMESPACE = uuid.UUID("6f1f1c1e-3a57-5c0e-9d0a-0d5b7c1f8e42")
IMPLEMENTATION_CLASS_UID = UID("2.25.147745512938012345678901234567890123")
ACQUIRED = datetime(2024, 1, 2, 9, 30)  # noqa: DTZ001 - DICOM DA and TM without a zone: local time of nowhere
_FULL_SCALE = 2**BITS_STORED - 1


class SopClass(StrEnum):
    """Storage SOP Classes a phantom can take (PS3.4 B.5)."""

    DX = "1.2.840.10008.5.1.4.1.1.1.1"
    CR = "1.2.840.10008.5.1.4.1.1.1"
    SC = "1.2.840.10008.5.1.4.1.1.7"


class View(StrEnum):
    """Frontal projections, View Position (0018,5101)."""

    PA = "PA"
    AP = "AP"


class Photometric(StrEnum):
    """Photometric Interpretation (0028,0004); MONOCHROME1 stores the inverted values."""

    MONOCHROME1 = "MONOCHROME1"
    MONOCHROME2 = "MONOCHROME2"


# SNOMED CT codes of CID 4010 (DX View) and CID 4009 (DX Anatomy Imaged), PS3.16.
_VIEW_CODES = {View.PA: ("272479007", "postero-anterior"), View.AP: ("399348003", "antero-posterior")}
_CHEST = ("816094009", "Chest")
_PLAIN_CHEST = ("399208008", "Plain chest X-ray")


def uid(*parts: object) -> UID:
    """Return the UID (`2.25.` and a version 5 UUID) that belongs to the parts."""
    return UID(f"2.25.{uuid.uuid5(NAMESPACE, '|'.join(str(part) for part in parts)).int}")


def dataset(
    phantom: Phantom,
    *,
    seed: int | None = None,
    sop_class: SopClass = SopClass.DX,
    view: View = View.PA,
    photometric: Photometric = Photometric.MONOCHROME2,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
    patient_id: str = "PHANTOM-000001",
    patient_name: str = "Phantom^Hilum",
    patient_sex: str = "O",
    accession_number: str = "",
    acquired: datetime = ACQUIRED,
    instance_number: int = 1,
) -> Dataset:
    """Return a phantom as a dataset with File Meta Information, ready to write or to send.

    Parameters
    ----------
    phantom
        Pixels and spacing.
    seed
        What the UIDs are derived from; the phantom's own seed unless given. Copies of one phantom with different seeds
        are different studies.
    sop_class, view, photometric
        Kind of object. `view` sets the header only; `generate(..., projection=...)` sets the anatomy.
    study_instance_uid, series_instance_uid, sop_instance_uid
        UIDs to use instead of the derived ones.
    acquired
        Date and time of study, series and acquisition; pinned unless given.

    Returns
    -------
    Dataset
        Explicit VR Little Endian, 12 bits in 16.
    """
    key = phantom.seed if seed is None else seed
    rows, columns = phantom.pixels.shape
    study = study_instance_uid or uid("study", key, patient_id, rows, columns, phantom.age_years)
    series = series_instance_uid or uid("series", study, sop_class, view)
    instance = sop_instance_uid or uid(
        "instance", series, key, rows, columns, phantom.age_years, photometric, instance_number
    )
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class.value, instance
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.PatientID, ds.PatientName, ds.PatientSex = patient_id, patient_name, patient_sex
    ds.PatientBirthDate = ""
    ds.PatientAge = f"{phantom.age_years:03d}Y"
    ds.AccessionNumber = accession_number
    ds.InstanceNumber = instance_number
    _when(ds, acquired)
    _study_and_equipment(ds, key)
    _kind(ds, sop_class, view, phantom.spacing_mm)
    _pixels(ds, phantom, photometric, sop_class)
    ds.file_meta = _file_meta(ds)
    return ds


def write(
    path: Path | str,
    phantom: Phantom,
    *,
    sop_class: SopClass = SopClass.DX,
    view: View = View.PA,
    photometric: Photometric = Photometric.MONOCHROME2,
    study_instance_uid: str | None = None,
    patient_id: str = "PHANTOM-000001",
) -> Dataset:
    """Write a phantom as a DICOM file and return what was written; for further options see `dataset`.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    ds = dataset(
        phantom,
        sop_class=sop_class,
        view=view,
        photometric=photometric,
        study_instance_uid=study_instance_uid,
        patient_id=patient_id,
    )
    ds.save_as(Path(path), enforce_file_format=True)
    return ds


def _when(ds: Dataset, acquired: datetime) -> None:
    """Set the dates and times."""
    date, time = acquired.strftime("%Y%m%d"), acquired.strftime("%H%M%S")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = time


def _study_and_equipment(ds: Dataset, key: int) -> None:
    """Set General Study, General Series and General Equipment (PS3.3 C.7.2.1, C.7.3.1, C.7.5.1)."""
    ds.StudyID = str(key % 10**12)
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Chest radiograph (phantom)"
    ds.ProcedureCodeSequence = Sequence([_code(*_PLAIN_CHEST)])
    ds.SeriesDescription = "Generated phantom, no patient"
    ds.SeriesNumber = 1
    ds.Manufacturer = "Hilum phantom generator"  # not "Hilum": the node ignores its own results
    ds.ManufacturerModelName = "Phantom"
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = "1"


def _code(value: str, meaning: str) -> Dataset:
    """Return a code sequence item of SNOMED CT."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _kind(ds: Dataset, sop_class: SopClass, view: View, spacing_mm: float) -> None:
    """Set what differs between the three kinds of object."""
    ds.BodyPartExamined = "CHEST"
    ds.PatientOrientation = ["L", "F"]
    match sop_class:
        case SopClass.DX:
            ds.Modality = "DX"
            ds.PresentationIntentType = "FOR PRESENTATION"
            ds.ImageType = ["DERIVED", "PRIMARY", ""]
            _dx(ds, view, spacing_mm)
        case SopClass.CR:
            ds.Modality = "CR"
            ds.ImageType = ["DERIVED", "PRIMARY"]
            ds.ViewPosition = view.value
            ds.ImagerPixelSpacing = [spacing_mm, spacing_mm]
        case SopClass.SC:
            ds.Modality = "DX"
            ds.ImageType = ["DERIVED", "SECONDARY"]
            ds.ConversionType = "SYN"
            ds.NominalScannedPixelSpacing = [spacing_mm, spacing_mm]


def _dx(ds: Dataset, view: View, spacing_mm: float) -> None:
    """Set DX Anatomy Imaged, Detector, Positioning and Acquisition Context (PS3.3 C.8.11.2 to C.8.11.5, C.7.6.14)."""
    ds.ImageLaterality = "U"
    ds.AnatomicRegionSequence = Sequence([_code(*_CHEST)])
    ds.DetectorType = "DIRECT"
    ds.ImagerPixelSpacing = [spacing_mm, spacing_mm]
    ds.PositionerType = "COLUMN"
    ds.ViewPosition = view.value
    view_item = _code(*_VIEW_CODES[view])
    view_item.ViewModifierCodeSequence = Sequence([])
    ds.ViewCodeSequence = Sequence([view_item])
    ds.KVP = "120"
    ds.DistanceSourceToDetector = "1800"
    ds.AcquisitionContextSequence = Sequence([])


def _pixels(ds: Dataset, phantom: Phantom, photometric: Photometric, sop_class: SopClass) -> None:
    """Set Image Pixel, the VOI and what DX Image adds (PS3.3 C.7.6.3, C.11.2, C.8.11.3)."""
    inverted = photometric is Photometric.MONOCHROME1
    pixels = (_FULL_SCALE - phantom.pixels) if inverted else phantom.pixels
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = photometric.value
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, BITS_STORED, BITS_STORED - 1
    ds.PixelRepresentation = 0
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    ds.WindowCenterWidthExplanation = "Full scale"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    if sop_class is SopClass.DX:
        ds.PixelIntensityRelationship = "LOG"
        ds.PixelIntensityRelationshipSign = 1 if inverted else -1
        ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.PixelData = np.ascontiguousarray(pixels).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"


def _file_meta(ds: Dataset) -> FileMetaDataset:
    """Return the File Meta Information (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = "HILUM_PHANTOM_1"
    return meta
