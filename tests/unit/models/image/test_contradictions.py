"""Where header and codestream differ, or the header speaks of another picture: what is shown is the chest, and so says.

Each case shows the same chest, so what must come out is known to the pixel, or to the correlation of a lossy codec.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from models.errors import Undecodable
from models.image import decode, pixels
from tests.support.data import frames

CHEST = frames.picture()
EIGHT = (CHEST >> 4).astype(np.uint8)
COLOUR = np.repeat(EIGHT[..., None], 3, axis=2)
J2K, JLS, HTJ2K = uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.HTJ2KLossless


def likeness(ds: Dataset, tmp_path: Path) -> tuple[float, tuple[str, ...]]:
    """Return the correlation of what is shown with the chest, and the notes."""
    seen = pixels.read(frames.write(tmp_path / "image.dcm", ds))
    return float(np.corrcoef(seen.pixels.ravel(), CHEST.ravel())[0, 1]), seen.notes


def under(array: NDArray[Any], syntax: str, bits: int = 12, **header: Any) -> Callable[[], Dataset]:
    """Return what puts pixels, compressed as they are, under another header."""

    def made() -> Dataset:
        return frames.with_frame(
            frames.radiograph(array, bits=bits), frames.codestream(array, syntax, bits=bits), syntax, **header
        )

    return made


def as_stored(stored: int, allocated: int = 16, **others: Any) -> dict[str, Any]:
    return {"BitsStored": stored, "HighBit": stored - 1, "BitsAllocated": allocated, **others}


OVERLAY = (np.arange(CHEST.size).reshape(CHEST.shape) % 7 == 0).astype(np.uint16) << 14
SIGNED = (CHEST.astype(np.int16) - 2048).astype(np.int16)
GREY = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PlanarConfiguration": None}
RGB = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
EIGHT_BITS = {"WindowCenter": "128", "WindowWidth": "256"}
NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}

SHOWN: dict[str, Callable[[], Dataset]] = {
    "J2K of 12 bits, header 10": under(CHEST, J2K, **as_stored(10)),
    "J2K of 12 bits, header 8 of 8": under(CHEST, J2K, **as_stored(8, 8)),
    "J2K of 12 bits, header 8 of 8, no window": under(CHEST, J2K, **as_stored(8, 8), **NO_WINDOW),
    "J2K of 12 bits, header 16": under(CHEST, J2K, **as_stored(16)),
    "J2K of 12 bits, header 16 signed": under(CHEST, J2K, **as_stored(16, PixelRepresentation=1)),
    "J2K of 12 bits, header 12 signed": under(CHEST, J2K, **as_stored(12, PixelRepresentation=1)),
    "J2K of 12 bits, header 10 signed": under(CHEST, J2K, **as_stored(10, PixelRepresentation=1)),
    "J2K signed, header unsigned": under(SIGNED, J2K, PixelRepresentation=0, **NO_WINDOW),
    "J2K of 8 bits, header 32": under(EIGHT, J2K, 8, **as_stored(32, 32), **EIGHT_BITS),
    "J2K of 8 bits, header 16": under(EIGHT, J2K, 8, **as_stored(16), **EIGHT_BITS),
    "JPEG-LS of 12 bits, header 10": under(CHEST, JLS, **as_stored(10)),
    "JPEG-LS of 12 bits, header 8 of 8": under(CHEST, JLS, **as_stored(8, 8)),
    "JPEG-LS of 12 bits, header 16 signed": under(CHEST, JLS, **as_stored(16, PixelRepresentation=1)),
    "J2K of 3 components, header 1": under(COLOUR, J2K, 8, **GREY, **EIGHT_BITS),
    "J2K of 3 components, header 3 called grey": under(
        COLOUR, J2K, 8, PhotometricInterpretation="MONOCHROME2", **EIGHT_BITS
    ),
    "J2K of 1 component, header 3": under(EIGHT, J2K, 8, **RGB, **NO_WINDOW),
    "JPEG-LS of 3 components, header 1": under(COLOUR, JLS, 8, **GREY, **EIGHT_BITS),
    "JPEG-LS of 1 component, header 3": under(EIGHT, JLS, 8, **RGB, **NO_WINDOW),
    "JPEG of 3 components, header 1": lambda: frames.with_frame(
        frames.radiograph(EIGHT, bits=8, **EIGHT_BITS), frames.jpeg(COLOUR), uid.JPEGBaseline8Bit
    ),
    "native, value in the upper bits": lambda: frames.radiograph(CHEST << 4, HighBit=15),
    "native, value in the middle": lambda: frames.radiograph(CHEST << 2 | 0x8003, HighBit=13),
    "native, high bit that cannot be": lambda: frames.radiograph(CHEST, HighBit=7),
    "J2K of 16 bits, value in the upper bits": under(CHEST << 4, J2K, 16, BitsStored=12, HighBit=15),
    "J2K of 12 bits, high bit 15": under(CHEST, J2K, 12, HighBit=15),
    "RLE, value in the upper bits": under(CHEST << 4, uid.RLELossless, 16, BitsStored=12, HighBit=15),
    "JPEG-LS of 16 bits, an overlay above the value": under(CHEST | OVERLAY, JLS, 16, BitsStored=12, HighBit=11),
    "number of frames is written 1.0": lambda: frames.radiograph(CHEST, NumberOfFrames="1.0"),
}


@pytest.mark.parametrize("case", SHOWN)
def test_the_chest_is_shown(tmp_path: Path, case: str) -> None:
    ds = SHOWN[case]()
    if "overlay" in case:
        ds.add_new((0x6000, 0x0102), "US", 14)
    similar, notes = likeness(ds, tmp_path)
    assert similar > (0.995 if "no window given: robust percentiles" in notes else 0.999), (similar, notes)


@pytest.mark.parametrize(
    ("case", "note"),
    [
        ("J2K of 12 bits, header 10", "12 bits as in the codestream, not 10 as in the header"),
        ("J2K of 12 bits, header 12 signed", "unsigned as in the codestream, not as in the header"),
        ("J2K signed, header unsigned", "signed as in the codestream, not as in the header"),
    ],
)
def test_it_is_said_where_the_codestream_was_believed(tmp_path: Path, case: str, note: str) -> None:
    assert note in likeness(SHOWN[case](), tmp_path)[1]


def test_signed_values_that_were_encoded_as_unsigned_stay_signed(tmp_path: Path) -> None:
    raw = SIGNED.view(np.uint16) & 0x0FFF
    ds = under(raw, J2K, 12, PixelRepresentation=1, **NO_WINDOW)()
    path = frames.write(tmp_path / "image.dcm", ds)
    stored = decode.stored_values(decode.open_dataset(path))
    np.testing.assert_array_equal(stored.values, SIGNED)
    assert stored.signed
    assert stored.notes == ()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (under(CHEST, J2K, Rows=159), "header says"),
        (under(CHEST, JLS, Columns=64), "header says"),
        (under(CHEST, uid.RLELossless, SamplesPerPixel=3, PhotometricInterpretation="RGB"), "2 RLE segments, 6"),
        (lambda: frames.radiograph(CHEST, Rows=8000, Columns=8000), "at most 50000000"),
        (lambda: frames.with_items(frames.radiograph(CHEST), frames.items(b""), J2K), "empty"),
    ],
)
def test_what_cannot_be_decided_has_a_reason_of_its_own(
    tmp_path: Path, made: Callable[[], Dataset], message: str
) -> None:
    with pytest.raises(Undecodable, match=message):
        likeness(made(), tmp_path)


def test_fragments_that_others_read_are_read(tmp_path: Path) -> None:
    frame = frames.even(frames.codestream(CHEST, J2K))
    half = len(frame) // 4 * 2
    for encapsulated in (
        frames.items(frame, b""),
        frames.items(frame + bytes(500)),
        frames.items(frame, offsets=b"\x10\x27\0\0"),
        frames.items(frame[:half], frame[half:]),
    ):
        ds = frames.with_items(frames.radiograph(CHEST), encapsulated, J2K)
        assert likeness(ds, tmp_path)[0] > 0.999


def lut(first: int, entries: NDArray[Any], *, signed: bool, bits: int = 12) -> Sequence:
    """Return a VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return Sequence([item])


def test_the_first_mapped_value_has_the_sign_of_the_input_and_not_of_the_darkest_pixel(tmp_path: Path) -> None:
    table = lut(-2048, np.clip(np.arange(-2048, 4096), 0, 4095), signed=True)
    ds = frames.radiograph(CHEST.astype(np.int16), bits=16, **NO_WINDOW, VOILUTSequence=table)
    similar, notes = likeness(ds, tmp_path)
    assert similar > 0.9999
    assert "VOI LUT Sequence" in notes


def test_the_first_mapped_value_may_be_negative_where_rescaled_values_may(tmp_path: Path) -> None:
    table = lut(-1000, np.clip(np.arange(-1000, 4196), 0, 4095), signed=True)
    stored = (CHEST + 1100).astype(np.uint16)
    ds = frames.radiograph(stored, bits=13, **NO_WINDOW, RescaleIntercept="-1000", VOILUTSequence=table)
    similar, notes = likeness(ds, tmp_path)
    assert similar > 0.9999
    assert "VOI LUT Sequence" in notes


def test_a_voi_lut_that_shows_nothing_gives_way_to_the_window(tmp_path: Path) -> None:
    ds = frames.radiograph(CHEST, VOILUTSequence=lut(20000, np.arange(4096), signed=False))
    similar, notes = likeness(ds, tmp_path)
    assert similar > 0.9999
    assert "VOI LUT Sequence shows nothing" in notes
    ds = frames.radiograph(CHEST, **NO_WINDOW, VOILUTSequence=lut(20000, np.arange(4096), signed=False))
    similar, notes = likeness(ds, tmp_path)
    assert similar > 0.95
    assert "no window given: robust percentiles" in notes


@pytest.mark.parametrize(
    "left_behind",
    [
        {"WindowCenter": "300", "WindowWidth": "400"},
        {"PresentationLUTShape": "INVERSE"},
        {"RescaleSlope": "-1", "RescaleIntercept": "255"},
        {"VOILUTSequence": lut(0, np.arange(255, -1, -1), signed=False, bits=8)},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_a_capture_kept_of_a_grey_image_is_not_applied(tmp_path: Path, left_behind: dict[str, Any]) -> None:
    plain = frames.radiograph(COLOUR, bits=8, **NO_WINDOW, PresentationLUTShape=None, RescaleSlope=None)
    expected = pixels.read(frames.write(tmp_path / "plain.dcm", plain)).pixels
    ds = frames.change(plain, **left_behind)
    seen = pixels.read(frames.write(tmp_path / "kept.dcm", ds))
    np.testing.assert_array_equal(seen.pixels, expected)
    assert any("not applied" in note for note in seen.notes)


def test_a_voi_lut_of_a_large_image_needs_no_gigabytes() -> None:
    code = (
        "import numpy as np\n"
        "from models.image.lut import Lut\n"
        "values = np.zeros((5000, 10000), np.float32)\n"
        "table = Lut(0, np.arange(4096, dtype=np.float32), 12)\n"
        "table.look_up(values)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 700 * 1024, "KiB; values and result are 400 MB"


SHUTTERS: dict[str, dict[str, Any]] = {
    "RECTANGULAR": {
        "ShutterLeftVerticalEdge": 11,
        "ShutterRightVerticalEdge": 100,
        "ShutterUpperHorizontalEdge": 21,
        "ShutterLowerHorizontalEdge": 150,
    },
    "CIRCULAR": {"CenterOfCircularShutter": [80, 64], "RadiusOfCircularShutter": 50},
    "POLYGONAL": {"VerticesOfThePolygonalShutter": [21, 11, 21, 100, 150, 100, 150, 11]},
}


@pytest.mark.parametrize("shape", SHUTTERS)
def test_nothing_is_seen_outside_of_a_display_shutter(tmp_path: Path, shape: str) -> None:
    plain = pixels.read(frames.write(tmp_path / "plain.dcm", frames.radiograph(CHEST)))
    ds = frames.radiograph(CHEST, ShutterShape=shape, **SHUTTERS[shape])
    seen = pixels.read(frames.write(tmp_path / "image.dcm", ds))
    assert seen.valid is not None
    if shape == "CIRCULAR":
        rows, columns = np.mgrid[1:161, 1:129]
        expected = (rows - 80) ** 2 + (columns - 64) ** 2 <= 2500
    else:
        expected = np.zeros(CHEST.shape, np.bool_)
        expected[20:150, 10:100] = True
    np.testing.assert_array_equal(seen.valid, expected)
    np.testing.assert_array_equal(seen.pixels, np.where(expected, plain.pixels, 0))
    assert "blank outside of the Display Shutter" in seen.notes


@pytest.mark.parametrize(
    "attributes",
    [
        {"ShutterShape": "RECTANGULAR"},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [80, 64], "RadiusOfCircularShutter": 1},
    ],
)
def test_a_shutter_that_cannot_be_used_hides_nothing(tmp_path: Path, attributes: dict[str, Any]) -> None:
    seen = pixels.read(frames.write(tmp_path / "image.dcm", frames.radiograph(CHEST, **attributes)))
    assert seen.valid is None
    assert any("Display Shutter" in note for note in seen.notes)


def test_a_white_border_is_said(tmp_path: Path) -> None:
    framed = CHEST.copy()
    framed[:, :20] = 4095
    framed[-8:] = 4095
    seen = pixels.read(frames.write(tmp_path / "image.dcm", frames.radiograph(framed)))
    assert "white border, of the image as it was stored: bottom 5%, left 16%" in seen.notes
    plain = pixels.read(frames.write(tmp_path / "plain.dcm", frames.radiograph(CHEST)))
    assert plain.notes == ()


def test_zeros_behind_the_data_set_and_the_pixels_are_read(tmp_path: Path) -> None:
    ds = frames.radiograph(CHEST)
    ds.PixelData += bytes(4000)
    path = frames.write(tmp_path / "image.dcm", ds)
    path.write_bytes(path.read_bytes() + bytes(1001))
    seen = pixels.read(path)
    assert float(np.corrcoef(seen.pixels.ravel(), CHEST.ravel())[0, 1]) > 0.9999
