"""Stored results read again: what an archive holds, back as findings, for pictures and tests."""

from __future__ import annotations

from pathlib import Path

from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, segread
from pydicom.dataset import Dataset

from models.codes import Code
from models.findings import BundleIdentity, Gate, ImageFindings, Segment
from workers.objects.vocabulary import SEGMENTATION


def findings_of_seg(path: Path) -> ImageFindings:
    """Return the structures of a SEG of this project, with their masks bool (rows, columns).

    The digest of their bundle is empty: a SEG names the algorithm by name and version. Findings and measurements stand
    in the report, not here.

    Raises
    ------
    ValueError
        The object is no Segmentation of one source image.
    """
    ds = segread(path)
    if ds.SOPClassUID != SEGMENTATION or len(ds.get("SourceImageSequence", ())) != 1:
        raise ValueError(f"{path} is no Segmentation of one source image")
    uid = str(ds.SourceImageSequence[0].ReferencedSOPInstanceUID)
    return ImageFindings(
        sop_instance_uid=uid,
        gate=Gate(None, ""),
        segments=tuple(_segment(ds, uid, number) for number in ds.segment_numbers),
    )


def _segment(ds: Segmentation, uid: str, number: int) -> Segment:
    item = ds.SegmentSequence[number - 1]
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence", ())
    algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
    mask = ds.get_pixels_by_source_instance([uid], segment_numbers=[number])[0, :, :, 0]
    red, green, blue = CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue).to_rgb(clip=True)
    return Segment(
        label=str(item.SegmentLabel),
        property_type=_code(kind),
        property_category=_code(item.SegmentedPropertyCategoryCodeSequence[0]),
        laterality=_code(modifiers[0]) if modifiers else None,
        colour_rgb=(red, green, blue),
        mask=mask.astype(bool),
        bundle=BundleIdentity(str(algorithm.AlgorithmName), str(algorithm.AlgorithmVersion), ""),
    )


def _code(item: Dataset) -> Code:
    return Code(str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning))
