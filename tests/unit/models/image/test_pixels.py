"""Pixels as a viewer shows them: every transform over small files that are written and read back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence

from models.errors import Undecodable
from models.image import pixels

ROWS, COLUMNS = 6, 5
RAMP = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)


def dataset(stored: np.ndarray = RAMP, *, bits: int = 12, signed: bool = False, **attributes: object) -> FileDataset:
    """Make an uncompressed CR image; a keyword set to None is left out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = "2.25.1"
    ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    allocated = 8 if bits <= 8 else 16
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, "2.25.1"
    ds.Rows, ds.Columns = stored.shape[:2]
    ds.SamplesPerPixel = 1 if stored.ndim == 2 else stored.shape[2]
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = allocated, bits, bits - 1, int(signed)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    kind = ("i" if signed else "u") + str(allocated // 8)
    ds.PixelData = stored.astype(f"<{kind}").tobytes() + b"\0" * (stored.size * allocated // 8 % 2)
    ds["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return ds


def reread(ds: Dataset, tmp_path: Path) -> pixels.Radiograph:
    """Write to bytes and read back through the code under test."""
    path = tmp_path / "image.dcm"
    ds.save_as(path, enforce_file_format=True)
    return pixels.read(path)


def test_linear_window_follows_the_standard(tmp_path: Path) -> None:
    seen = reread(dataset(WindowCenter=["15", "400"], WindowWidth=["11", "900"]), tmp_path)
    expected = np.clip((RAMP - 14.5) / 10 + 0.5, 0, 1)
    np.testing.assert_allclose(seen.pixels, expected, atol=1e-6)
    assert seen.pixels.dtype == np.float32


def test_linear_window_of_width_one_is_a_step(tmp_path: Path) -> None:
    seen = reread(dataset(WindowCenter="15", WindowWidth="1"), tmp_path)
    np.testing.assert_array_equal(seen.pixels, RAMP > 14.5)


def test_linear_exact_window(tmp_path: Path) -> None:
    ds = dataset(WindowCenter="15", WindowWidth="10", VOILUTFunction="LINEAR_EXACT")
    np.testing.assert_allclose(reread(ds, tmp_path).pixels, np.clip((RAMP - 15) / 10 + 0.5, 0, 1), atol=1e-6)


def test_sigmoid_window(tmp_path: Path) -> None:
    ds = dataset(WindowCenter="15", WindowWidth="10", VOILUTFunction="SIGMOID")
    np.testing.assert_allclose(reread(ds, tmp_path).pixels, 1 / (1 + np.exp(-4 * (RAMP - 15) / 10)), atol=1e-6)


@pytest.mark.parametrize(("centre", "width"), [("15", "0"), ("15", "-4"), ("3000", "10")])
def test_a_window_that_shows_nothing_is_replaced_and_said(tmp_path: Path, centre: str, width: str) -> None:
    seen = reread(dataset(WindowCenter=centre, WindowWidth=width), tmp_path)
    assert np.ptp(seen.pixels) > 0.9
    assert any("window" in note for note in seen.notes)


def test_without_a_window_high_depth_uses_robust_percentiles(tmp_path: Path) -> None:
    stored = np.full((40, 40), 1000)
    stored[:20] = 2000
    stored[0, 0] = 4095
    seen = reread(dataset(stored), tmp_path)
    assert seen.pixels[30, 30] == 0
    assert seen.pixels[10, 10] == 1


def test_eight_bits_without_a_window_are_shown_as_they_are(tmp_path: Path) -> None:
    seen = reread(dataset(RAMP, bits=8), tmp_path)
    np.testing.assert_allclose(seen.pixels, RAMP / 255, atol=1e-6)
    np.testing.assert_array_equal(seen.pixels, pixels.from_array(RAMP.astype(np.uint8)).pixels)


def test_monochrome1_is_inverted_after_the_window(tmp_path: Path) -> None:
    ds = dataset(WindowCenter="15", WindowWidth="11", PhotometricInterpretation="MONOCHROME1")
    seen = reread(ds, tmp_path)
    np.testing.assert_allclose(seen.pixels, 1 - np.clip((RAMP - 14.5) / 10 + 0.5, 0, 1), atol=1e-6)
    assert "inverted MONOCHROME1" in seen.notes


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
    ],
)
def test_presentation_lut_shape_inverts_once(tmp_path: Path, photometric: str, shape: str, inverted: bool) -> None:
    ds = dataset(RAMP, bits=8, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    expected = 1 - RAMP / 255 if inverted else RAMP / 255
    np.testing.assert_allclose(reread(ds, tmp_path).pixels, expected, atol=1e-6)


def test_rescale_comes_before_the_window(tmp_path: Path) -> None:
    ds = dataset(RescaleSlope="2", RescaleIntercept="-10", RescaleType="US", WindowCenter="20.5", WindowWidth="41")
    np.testing.assert_allclose(reread(ds, tmp_path).pixels, np.clip((2 * RAMP - 30) / 40 + 0.5, 0, 1), atol=1e-6)


def lut(entries: list[int], first: int, bits: int, *, signed: bool = False) -> Sequence:
    """Make a LUT sequence of one item."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return Sequence([item])


def test_modality_lut_sequence(tmp_path: Path) -> None:
    table = [value * value for value in range(30)]
    ds = dataset(ModalityLUTSequence=lut(table, 0, 16), WindowCenter="420.5", WindowWidth="842")
    ds.ModalityLUTSequence[0].ModalityLUTType = "US"
    seen = reread(ds, tmp_path)
    np.testing.assert_allclose(seen.pixels, np.clip((RAMP**2 - 420) / 841 + 0.5, 0, 1), atol=1e-5)
    assert "Modality LUT Sequence" in seen.notes


def test_voi_lut_sequence_comes_before_a_window(tmp_path: Path) -> None:
    table = [min(255, 20 * value) for value in range(20)]
    ds = dataset(VOILUTSequence=lut(table, 5, 8), WindowCenter="15", WindowWidth="2")
    seen = reread(ds, tmp_path)
    expected = np.asarray(table)[np.clip(RAMP - 5, 0, 19)] / 255
    np.testing.assert_allclose(seen.pixels, expected, atol=1e-6)
    assert "VOI LUT Sequence" in seen.notes


def test_voi_lut_of_signed_pixels_starts_below_zero(tmp_path: Path) -> None:
    table = list(range(0, 256, 8))[:30]
    ds = dataset(RAMP - 15, signed=True, VOILUTSequence=lut(table, -15, 8, signed=True))
    np.testing.assert_allclose(reread(ds, tmp_path).pixels, np.asarray(table)[RAMP] / 255, atol=1e-6)


def test_signed_pixels(tmp_path: Path) -> None:
    ds = dataset(RAMP - 15, signed=True, WindowCenter="0.5", WindowWidth="11")
    np.testing.assert_allclose(reread(ds, tmp_path).pixels, np.clip((RAMP - 15) / 10 + 0.5, 0, 1), atol=1e-6)


def test_bits_above_bits_stored_are_dropped(tmp_path: Path) -> None:
    ds = dataset(RAMP | 0x4000, WindowCenter="15", WindowWidth="11")
    np.testing.assert_allclose(reread(ds, tmp_path).pixels, np.clip((RAMP - 14.5) / 10 + 0.5, 0, 1), atol=1e-6)


def test_padding_is_invalid_black_and_does_not_decide_the_window(tmp_path: Path) -> None:
    stored = np.tile(np.linspace(1000, 2000, 40).astype(int), (40, 1))
    stored[:, :15] = 0
    ds = dataset(stored, PhotometricInterpretation="MONOCHROME1")
    ds.add_new("PixelPaddingValue", "US", 0)
    seen = reread(ds, tmp_path)
    assert seen.valid is not None
    np.testing.assert_array_equal(seen.valid, stored != 0)
    assert not seen.pixels[:, :15].any()
    assert seen.pixels[:, 15:].max() > 0.98
    assert seen.pixels[:, 15:].min() < 0.02


def test_padding_range_and_sign(tmp_path: Path) -> None:
    stored = RAMP - 15
    ds = dataset(stored, signed=True)
    ds.add_new("PixelPaddingValue", "SS", -15)
    ds.add_new("PixelPaddingRangeLimit", "SS", -10)
    seen = reread(ds, tmp_path)
    assert seen.valid is not None
    np.testing.assert_array_equal(seen.valid, stored > -10)


def test_an_image_of_nothing_but_padding_is_undecodable(tmp_path: Path) -> None:
    ds = dataset(np.zeros((4, 4), int))
    ds.add_new("PixelPaddingValue", "US", 0)
    with pytest.raises(Undecodable, match="padding"):
        reread(ds, tmp_path)


def test_pixel_aspect_ratio_without_spacing(tmp_path: Path) -> None:
    seen = reread(dataset(PixelAspectRatio=["2", "1"]), tmp_path)
    assert seen.aspect == 2
    assert seen.spacing_mm is None


@pytest.mark.parametrize(
    ("attributes", "spacing", "calibrated"),
    [
        ({"PixelSpacing": ["0.2", "0.1"]}, (0.2, 0.1), False),
        ({"ImagerPixelSpacing": ["0.2", "0.1"]}, (0.2, 0.1), False),
        ({"PixelSpacing": ["0.18", "0.09"], "ImagerPixelSpacing": ["0.2", "0.1"]}, (0.18, 0.09), True),
        ({"PixelSpacing": ["0.2", "0.1"], "PixelSpacingCalibrationType": "FIDUCIAL"}, (0.2, 0.1), True),
        ({"PixelSpacing": ["0.000", "0.000"]}, None, False),
    ],
)
def test_spacing(tmp_path: Path, attributes: dict[str, object], spacing: object, calibrated: bool) -> None:
    seen = reread(dataset(**attributes), tmp_path)
    assert seen.spacing_mm == spacing
    assert seen.spacing_is_calibrated is calibrated
    assert seen.aspect == pytest.approx(1.0 if spacing is None else 2.0)


@pytest.mark.parametrize(
    ("patient_orientation", "turn"),
    [
        (["L", "F"], lambda a: a),
        (["R", "F"], lambda a: a[:, ::-1]),
        (["L", "H"], lambda a: a[::-1]),
        (["R", "H"], lambda a: a[::-1, ::-1]),
        (["F", "L"], lambda a: a.T),
        (["F", "R"], lambda a: np.rot90(a.T, 0)[:, ::-1]),
        (["H", "L"], lambda a: a.T[::-1]),
        (["H", "R"], lambda a: a.T[::-1, ::-1]),
    ],
)
def test_patient_orientation_is_brought_to_left_and_feet(
    tmp_path: Path, patient_orientation: list[str], turn: object
) -> None:
    ds = dataset(RAMP, bits=8, PatientOrientation=patient_orientation, PixelSpacing=["0.2", "0.1"])
    seen = reread(ds, tmp_path)
    np.testing.assert_allclose(seen.pixels, turn(RAMP) / 255, atol=1e-6)
    np.testing.assert_array_equal(seen.to_source(seen.pixels), (RAMP / np.float32(255)).astype(np.float32))
    assert seen.source_shape == (ROWS, COLUMNS)
    transposed = patient_orientation[0] in "FH"
    assert seen.spacing_mm == ((0.1, 0.2) if transposed else (0.2, 0.1))
    assert seen.aspect == pytest.approx(0.5 if transposed else 2.0)


def test_a_lateral_orientation_is_left_and_said(tmp_path: Path) -> None:
    seen = reread(dataset(RAMP, bits=8, PatientOrientation=["A", "F"]), tmp_path)
    assert any("Patient Orientation" in note for note in seen.notes)


def test_equal_colour_channels_are_grey(tmp_path: Path) -> None:
    grey = np.repeat(RAMP[..., None], 3, axis=2)
    ds = dataset(grey, bits=8, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    np.testing.assert_allclose(reread(ds, tmp_path).pixels, RAMP / 255, atol=1e-6)


def test_a_coloured_picture_is_undecodable(tmp_path: Path) -> None:
    colour = np.stack([RAMP, 3 * RAMP, 5 * RAMP], axis=2)
    with pytest.raises(Undecodable, match="coloured"):
        reread(dataset(colour, bits=8, PhotometricInterpretation="RGB", PlanarConfiguration=0), tmp_path)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_compressed_pixels_equal_the_uncompressed(tmp_path: Path, syntax: uid.UID) -> None:
    rng = np.random.default_rng(0)
    ds = dataset(rng.integers(0, 4096, (96, 80)), WindowCenter="2000", WindowWidth="4000")
    plain = reread(ds, tmp_path)
    ds.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(reread(ds, tmp_path).pixels, plain.pixels)


def test_a_frame_larger_than_its_header_is_refused_before_decoding(tmp_path: Path) -> None:
    ds = dataset(np.zeros((64, 64), int))
    ds.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    ds.Rows = 32
    with pytest.raises(Undecodable, match="header says"):
        reread(ds, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"NumberOfFrames": "2"}, "frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "photometric"),
        ({"Rows": 65535, "Columns": 65535}, "values"),
        ({"BitsStored": 20}, "bits stored"),
    ],
)
def test_what_is_no_single_grey_picture_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(Undecodable, match=message):
        reread(dataset(**change), tmp_path)


def test_missing_pixel_data_is_refused(tmp_path: Path) -> None:
    ds = dataset()
    del ds.PixelData
    with pytest.raises(Undecodable, match="no Pixel Data"):
        reread(ds, tmp_path)


def test_a_deflated_file_is_refused_by_its_header(tmp_path: Path) -> None:
    ds = dataset()
    ds.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    with pytest.raises(Undecodable, match="transfer syntax"):
        reread(ds, tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_and_altered_files_are_undecodable_or_decode(tmp_path: Path, compressed: bool) -> None:
    ds = dataset(np.random.default_rng(1).integers(0, 4096, (32, 24)), WindowCenter="2000", WindowWidth="4000")
    if compressed:
        ds.compress(uid.JPEGLSLossless, generate_instance_uid=False)
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    whole = buffer.getvalue()
    rng = np.random.default_rng(2)
    path = tmp_path / "hostile.dcm"
    for trial in range(120):
        content = bytearray(whole[: int(rng.integers(0, len(whole)))] if trial % 2 else whole)
        if trial % 2 == 0:
            for at in rng.integers(132, min(900, len(whole)), 4):
                content[at] = int(rng.integers(0, 256))
        path.write_bytes(bytes(content))
        try:
            seen = pixels.read(path)
        except Undecodable as error:
            assert str(error)
        else:
            assert seen.pixels.ndim == 2
            assert np.isfinite(seen.pixels).all()


def test_a_fault_of_the_disk_says_nothing_of_the_image(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pixels.read(tmp_path / "absent.dcm")
    with pytest.raises(IsADirectoryError):
        pixels.read(tmp_path)


def test_a_read_error_of_the_disk_passes_as_it_is() -> None:
    # A process may not read the first page of its memory: the kernel answers EIO, as a failing disk does.
    with pytest.raises(OSError, match="Input/output error"):
        pixels.read(Path("/proc/self/mem"))


@pytest.mark.parametrize("array", [np.zeros((0, 4), np.uint8), np.zeros((2, 2, 3), np.uint8)])
def test_from_array_wants_rows_and_columns(array: np.ndarray) -> None:
    with pytest.raises(Undecodable):
        pixels.from_array(array)


@pytest.mark.parametrize(
    ("name", "shape", "note"),
    [
        ("chest-cr-monochrome1-jpeg2000", (1955, 1841), "inverted MONOCHROME1"),
        ("chest-cr-monochrome1-jpegls-near", (1955, 1841), "inverted MONOCHROME1"),
        ("chest-siim-sc-jpegbaseline", (1024, 1024), None),
        ("not-chest-extremity-rle", (1760, 1760), "turned from Patient Orientation R/F"),
        ("not-chest-hip-jpegls", (2140, 1760), None),
        ("not-chest-teeth-cr-modality-lut-jpeglossless", (1576, 1976), "Modality LUT Sequence"),
        ("not-human-dx-lateral-thorax", (169, 211), "inverted MONOCHROME1"),
    ],
)
def test_real_samples_are_shown(data_folder: Path, name: str, shape: tuple[int, int], note: str | None) -> None:
    seen = pixels.read(data_folder / "dicom" / f"{name}.dcm")
    assert seen.shape == shape
    assert 0 <= seen.pixels.min() < 0.2
    assert 0.8 < seen.pixels.max() <= 1
    assert note is None or note in seen.notes
