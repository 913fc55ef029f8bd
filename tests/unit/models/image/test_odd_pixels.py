"""Odd and real files of other projects: what their pixels come to, each a row; skipped where the data are not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import Undecodable
from models.image import pixels

ODD: dict[str, tuple[int, int] | str] = {
    "clunie-modality-lut-12in16": (512, 512),
    "clunie-sc-japanese-h32": (512, 512),
    "dcm4che-3gb-truncated": "Rows is absent, or no whole number",
    "dcmfx-deflated-image-frame": "is not supported",
    "dcmfx-presentation-lut-inverse": (512, 512),
    "dcmjs-no-meta-length": "no Pixel Data",
    "dwv-no-rows": "Rows is absent",
    "fodicom-chest-cr-no-preamble": "InvalidDicomError",
    "fodicom-gh177-ivrle-bigendian": "not a readable DICOM file",
    "microsoft-jpeg-process14": "a coloured picture",
    "orthanc-deflated": "is not supported",
    "orthanc-enhanced-no-pixels": "no Pixel Data",
    "orthanc-issue140-3x3-jpeglossless": (3, 3),
    "orthanc-long-tag": "no Pixel Data",
    "orthanc-no-preamble-private": "InvalidDicomError",
    "orthanc-oob-46341": "at most 50000000",
    "orthanc-patientid-collision-1": "no Pixel Data",
    "orthanc-patientid-collision-3": "no Pixel Data",
    "orthanc-unknown-sop-class": (41, 41),
    "pydicom-ambiguous-vr": "The number of bytes of pixel data is less than expected",
    "pydicom-bad-vr": "invalid literal",
    "pydicom-explicit-no-meta": "InvalidDicomError",
    "pydicom-htj2k-rgb": "a coloured picture",
    "pydicom-j2k-gbr-order": "a coloured picture",
    "pydicom-j2k-truncated": "no Pixel Data",
    "pydicom-meta-without-transfer-syntax": "absent is not supported",
    "pydicom-no-meta-group-length": "no Pixel Data",
    "pydicom-pixeldata-padded": (64, 64),
    "pydicom-sc-rgb-3x3-odd-big-endian": "a coloured picture",
    "pydicom-truncated-in-header": "no Pixel Data",
    "pydicom-un-sequence": "no Pixel Data",
    "ruby-duplicate-elements": "no Pixel Data",
    "ruby-xa-philips-private-sq-implicit": (1024, 1024),
}
REAL: dict[str, tuple[int, int] | str] = {
    "chest-ai-result-burnt-in-rgb-sc": (1024, 1024),
    "chest-ai-result-sr": "no Pixel Data",
    "chest-cr-konica-mono1-8bit-jpegbaseline": (2446, 2010),
    "chest-dx-lateral-ge-14in16-j2k": (2022, 1736),
    "chest-nih-sc-modality-dx-implicit": (1024, 1024),
    "chest-rsna-sc-jpegbaseline-ap": (1024, 1024),
    "notchest-cr-canon-pelvis-no-pixeldata": "no Pixel Data",
    "notchest-rf-multiframe-siemens": (464, 512),  # one frame, and its SOP class declines it
}
CASES = [("odd-dicom", name, comes) for name, comes in ODD.items()] + [("dicom", *row) for row in REAL.items()]


@pytest.mark.parametrize(("folder", "name", "comes_to"), CASES, ids=[name for _, name, _ in CASES])
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_the_pixels_of_a_file_are_shown_or_refused_in_words(
    data_folder: Path, folder: str, name: str, comes_to: tuple[int, int] | str
) -> None:
    path = data_folder / folder / f"{name}.dcm"
    if not path.exists():
        pytest.skip(f"no {path}")
    if isinstance(comes_to, str):
        with pytest.raises(Undecodable, match=comes_to):
            pixels.read(path)
        return
    seen = pixels.read(path)
    assert seen.shape == comes_to
    assert np.ptp(seen.pixels) > 0.05
