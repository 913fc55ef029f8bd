"""What a compressed frame says of itself is read strictly: each altered frame is refused, and nothing is decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from pydicom import uid

from models.errors import Undecodable
from models.image.codestreams import fragments, jpeg, jpeg2000, rle
from models.image.codestreams.form import Form
from tests.support.data import frames

PIXELS = frames.picture()
ROWS, COLUMNS = PIXELS.shape
EIGHT = (PIXELS >> 4).astype(np.uint8)
COLOUR = np.repeat(EIGHT[..., None], 3, axis=2)
J2K = frames.codestream(PIXELS, uid.JPEG2000Lossless)
JLS = frames.codestream(PIXELS, uid.JPEGLSLossless)
RLE = frames.codestream(PIXELS, uid.RLELossless)
JPEG = frames.jpeg(EIGHT)

Change = Callable[[bytes], bytes]


def siz(**changes: int) -> Change:
    """Change fields of the marker segment SIZ."""
    places = {
        "width": (8, "I"),
        "height": (12, "I"),
        "tile_width": (24, "I"),
        "components": (40, "H"),
        "depth": (42, "B"),
    }

    def change(stream: bytes) -> bytes:
        altered = bytearray(stream)
        for name, value in changes.items():
            at, kind = places[name]
            struct.pack_into(f">{kind}", altered, at, value)
        return bytes(altered)

    return change


def after_soi(segment: bytes) -> Change:
    return lambda frame: frame[:2] + segment + frame[2:]


def scans(count: int) -> Change:
    """Repeat the only scan."""

    def change(frame: bytes) -> bytes:
        start = frame.index(b"\xff\xda")
        return frame[:start] + count * frame[start:-2] + frame[-2:]

    return change


def test_the_forms_of_sound_frames() -> None:
    assert jpeg2000.read(J2K).form == Form(ROWS, COLUMNS, 1, 12, signed=False)
    assert jpeg2000.read(frames.codestream(PIXELS.astype(np.int16), uid.JPEG2000Lossless)).form.signed is True
    assert jpeg.read(JLS, uid.JPEGLSLossless).form == Form(ROWS, COLUMNS, 1, 12)
    assert jpeg.read(JPEG, uid.JPEGBaseline8Bit).form == Form(ROWS, COLUMNS, 1, 8, photometric="YBR_FULL_422")
    assert jpeg.read(frames.jpeg(COLOUR), uid.JPEGBaseline8Bit).form.components == 3
    assert rle.read(RLE, rows=ROWS, columns=COLUMNS, samples=1, bits_allocated=16).form == Form(ROWS, COLUMNS, 1, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[2:], "SOC and SIZ"),
        (lambda f: b"\0" + f, "SOC and SIZ"),
        (lambda f: f[:60], "no marker segment"),
        (lambda f: f[: len(f) // 2], "cut short"),
        (lambda f: f[:-40] + f[-2:], "cut short"),
        (siz(components=16384), "is not one"),
        (siz(components=2), "is not one"),
        (siz(depth=31), "of 32 bits"),
        (siz(width=0), "do not meet"),
        (siz(tile_width=0), "do not meet"),
        (siz(width=60000, height=60000, tile_width=1), "tiles"),
        (lambda f: f[: 2 + 2 + 41] + f[2 : 2 + 2 + 41] + f[45:], "FF51"),
        (lambda f: f.replace(b"\xff\x52", b"\xff\x64", 1), "COD"),
    ],
)
def test_altered_jpeg_2000_is_refused(change: Change, message: str) -> None:
    with pytest.raises(Undecodable, match=message):
        jpeg2000.read(change(J2K))


def test_components_that_are_unlike_or_many_are_refused() -> None:
    three = frames.codestream(COLOUR, uid.JPEG2000Lossless, bits=8)
    assert jpeg2000.read(three).form.components == 3
    altered = bytearray(three)
    altered[46] = 2  # the second component is sampled at every other column
    with pytest.raises(Undecodable, match="unlike, sampled"):
        jpeg2000.read(bytes(altered))


def test_boxes_are_walked_and_not_searched() -> None:
    huge = siz(width=30000, height=30000)(J2K)
    small_header = siz(width=64, height=64)(J2K)[:60]
    assert jpeg2000.read(frames.boxed(J2K)).content == J2K
    assert jpeg2000.read(frames.boxed(J2K, (b"free", small_header))).form.rows == ROWS
    with pytest.raises(Undecodable, match=r"cut short|tiles"):
        jpeg2000.read(frames.boxed(huge, (b"free", small_header)))
    with pytest.raises(Undecodable, match="no codestream"):
        jpeg2000.read(frames.boxed(b"")[:-8])
    with pytest.raises(Undecodable, match="box of"):
        jpeg2000.read(frames.boxed(J2K)[:-9])


@pytest.mark.parametrize("padding", [b"", b"\0", bytes(700)])
def test_padding_after_the_end_and_a_missing_end_marker_are_read(padding: bytes) -> None:
    assert jpeg2000.read(J2K + padding).content == J2K
    assert jpeg2000.read(J2K[:-2] + padding).content == J2K[:-2]
    assert jpeg.read(JLS + padding, uid.JPEGLSLossless).content == JLS
    assert jpeg.read(JPEG + padding, uid.JPEGBaseline8Bit).content == JPEG


@pytest.mark.parametrize(
    ("change", "syntax", "message"),
    [
        (lambda f: f[1:], uid.JPEGBaseline8Bit, "SOI"),
        (lambda f: b"", uid.JPEGBaseline8Bit, "SOI"),
        (lambda f: f[:300], uid.JPEGBaseline8Bit, "cut short|segment"),
        (lambda f: f[:-2], uid.JPEGBaseline8Bit, "cut short"),
        (lambda f: f, uid.JPEGLosslessSV1, "SOF0, SOF3 was announced"),
        (lambda f: f, uid.JPEGLSLossless, "SOF0, SOF55 was announced"),
        (lambda _: frames.jpeg(EIGHT, progressive=True), uid.JPEGBaseline8Bit, "SOF2, SOF0 or SOF1"),
        (scans(2), uid.JPEGBaseline8Bit, "2 scans"),
        (scans(600), uid.JPEGBaseline8Bit, "2 scans"),
        (after_soi(b"\xff\xd8"), uid.JPEGBaseline8Bit, "marker SOI"),
        (after_soi(b"\xff\xde\x00\x02"), uid.JPEGBaseline8Bit, "marker DHP"),
        (after_soi(b"\xff\xc0\x00\x0b\x08\x00\x40\x00\x40\x01\x01\x11\x00"), uid.JPEGBaseline8Bit, "two frame headers"),
        (after_soi(b"\xff\xe0\xff\xff"), uid.JPEGBaseline8Bit, "marker segment of 65535"),
        (after_soi(b"\x00\x00"), uid.JPEGBaseline8Bit, "no marker"),
        (lambda f: f[:2] + f[-2:], uid.JPEGBaseline8Bit, "no frame header"),
    ],
)
def test_altered_jpeg_is_refused(change: Change, syntax: str, message: str) -> None:
    with pytest.raises(Undecodable, match=message):
        jpeg.read(change(JPEG), syntax)


@pytest.mark.parametrize(
    ("altered", "message"),
    [
        (RLE[:50], "50 bytes"),
        (struct.pack("<I", 1) + RLE[4:], "1 RLE segments, 2"),
        (struct.pack("<I", 15) + RLE[4:], "15 RLE segments"),
        (RLE[:8] + struct.pack("<I", 63) + RLE[12:], "follow each other"),
        (RLE[:8] + struct.pack("<I", 1 << 31) + RLE[12:], "follow each other"),
        (RLE[:200], "cannot hold|follow each other"),
        (RLE + bytes(10 * ROWS * COLUMNS), "RLE frame of"),
    ],
)
def test_altered_rle_is_refused(altered: bytes, message: str) -> None:
    with pytest.raises(Undecodable, match=message):
        rle.read(altered, rows=ROWS, columns=COLUMNS, samples=1, bits_allocated=16)


@pytest.mark.parametrize(
    "encapsulated",
    [
        frames.items(b"abcd", b"efgh"),
        frames.items(b"abcd", b"efgh", b""),
        frames.items(b"abcd", b"", b"efgh"),
        frames.items(b"abcd", b"efgh", end=False),
        frames.items(b"abcd", b"efgh") + bytes(64),
        frames.items(b"abcd", b"efgh", offsets=struct.pack("<I", 4242)),
        frames.items(b"abcd", b"efgh", offsets=struct.pack("<II", 0, 12)),
    ],
    ids=["plain", "empty last", "empty middle", "no end", "zeros after", "wrong offset", "an offset for each fragment"],
)
def test_all_fragments_are_the_one_frame(encapsulated: bytes) -> None:
    assert fragments.frame_of(encapsulated) == b"abcdefgh"


@pytest.mark.parametrize(
    "encapsulated", [b"", bytes(80), frames.items(), frames.items(b""), frames.items(b"abcd", end=False)[:-1]]
)
def test_what_holds_no_frame_is_refused(encapsulated: bytes) -> None:
    with pytest.raises(Undecodable):
        fragments.frame_of(encapsulated)
