"""Reading a SEG back into typed segments, for pictures and for checks: what an archive holds, not what was meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from models.codes import Code
from models.findings import BundleIdentity, Gate, ImageFindings, Segment

_UNKNOWN = BundleIdentity("unknown", "", "")


def findings_of_seg(path: Path) -> ImageFindings:
    """Read a BINARY SEG of one source image (PS3.3 section A.51).

    Returns
    -------
    ImageFindings
        With the segments only; masks are bool (rows, columns) on the grid of the source.
    """
    ds = dcmread(path)
    pixels = ds.pixel_array.astype(bool)
    frames = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    masks: dict[int, NDArray[np.bool_]] = {}
    for item, frame in zip(ds.PerFrameFunctionalGroupsSequence, frames, strict=True):
        masks[int(item.SegmentIdentificationSequence[0].ReferencedSegmentNumber)] = frame
    source = ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
    return ImageFindings(
        sop_instance_uid=str(source),
        gate=Gate(None, ""),
        segments=tuple(_segment(item, masks[int(item.SegmentNumber)]) for item in ds.SegmentSequence),
    )


def _segment(item: Dataset, mask: NDArray[np.bool_]) -> Segment:
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    modifier = kind.get("SegmentedPropertyTypeModifierCodeSequence")
    return Segment(
        label=str(item.SegmentLabel),
        property_type=_code(kind),
        property_category=_code(item.SegmentedPropertyCategoryCodeSequence[0]),
        laterality=_code(modifier[0]) if modifier else None,
        colour_rgb=_rgb(item.RecommendedDisplayCIELabValue),
        mask=mask,
        bundle=_UNKNOWN,
    )


def _code(item: Dataset) -> Code:
    return Code(str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning))


def _rgb(encoded: list[int]) -> tuple[int, int, int]:
    """Convert PCS-values of PS3.3 section C.10.7.1.1 (CIELab in 16 bits, D50) to sRGB."""
    lightness, a, b = encoded[0] * 100 / 65535, encoded[1] * 255 / 65535 - 128, encoded[2] * 255 / 65535 - 128
    fy = (lightness + 16) / 116
    curve = [t**3 if t > 6 / 29 else 3 * (6 / 29) ** 2 * (t - 4 / 29) for t in (fy + a / 500, fy, fy - b / 200)]
    xyz = np.array(curve) * (0.9642, 1.0, 0.8249)
    # Bradford-adapted D50 to linear sRGB
    matrix = ((3.1339, -1.6169, -0.4906), (-0.9788, 1.9161, 0.0335), (0.0719, -0.2290, 1.4052))
    linear = np.clip(np.array(matrix) @ xyz, 0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (round(float(value) * 255) for value in values)
    return red, green, blue
