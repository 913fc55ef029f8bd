"""Stored pixel values: which bits of a decoded sample are the value, with which sign, and grey of three samples.

PS3.5 section 8.1.1 for native pixel data. Of compressed data PS3.5 section 8.2 wants the header to agree with the
codestream. Where it does not, the codestream is believed: it is what was encoded, and the header was written beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.errors import Undecodable
from models.image.codestreams.form import Form

MAX_PIXELS = 50_000_000
"""The largest flat panels have 25 million."""
MAX_COLOURED = 0.01
"""Part of the pixels that may be coloured (a burnt-in mark) in a picture that is taken for grey."""

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"})


@dataclass(frozen=True)
class Stored:
    """The one frame as integers (rows, columns).

    Attributes
    ----------
    bits
        Depth of the values, which is Bits Stored (0028,0101) unless the codestream has another.
    signed
        As Pixel Representation (0028,0103), unless the codestream says otherwise.
    notes
        Where the codestream was believed against the header.
    """

    values: NDArray[Any]
    bits: int
    signed: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """What the header says of the pixels (PS3.3 section C.7.6.3)."""

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    overlays_in_pixels: bool
    """An overlay lies in bits beside the value: Overlay Bit Position (60xx,0102), retired, is not 0."""

    @property
    def lowest_bit(self) -> int:
        """Where the value begins."""
        return self.high_bit + 1 - self.bits_stored

    @classmethod
    def of(cls, ds: Dataset) -> Layout:
        """Read and check the attributes.

        Raises
        ------
        Undecodable
            They describe no single picture of bearable size.
        """
        if "PixelData" not in ds:
            raise Undecodable("the object has no Pixel Data")
        rows, columns, samples = _whole(ds, "Rows"), _whole(ds, "Columns"), _whole(ds, "SamplesPerPixel", 1)
        if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS or samples not in (1, 3):
            raise Undecodable(f"{rows} x {columns} x {samples} values, at most {MAX_PIXELS} of 1 or 3 samples are read")
        frames = _whole(ds, "NumberOfFrames", 1)
        if frames != 1:
            raise Undecodable(f"{frames} frames, one was expected")
        photometric = str(ds.get("PhotometricInterpretation") or "")
        if photometric not in GREY | COLOUR:
            raise Undecodable(f"photometric interpretation {photometric or 'absent'}, grey was expected")
        allocated, stored = _whole(ds, "BitsAllocated"), _whole(ds, "BitsStored")
        if allocated not in (8, 16, 32) or not 1 <= stored <= allocated:
            raise Undecodable(f"{stored} bits stored in {allocated}")
        high = _whole(ds, "HighBit", stored - 1)
        if not stored <= high + 1 <= allocated:
            high = stored - 1  # cannot be; the usual place is meant
        return cls(
            rows, columns, samples, photometric, allocated, stored, high,
            signed=_whole(ds, "PixelRepresentation", 0) == 1,
            overlays_in_pixels=any(_bit_position(ds, group) > 0 for group in range(0x6000, 0x6020, 2)),
        )  # fmt: skip


def of_header(array: NDArray[Any], layout: Layout) -> Stored:
    """Take the value out of samples of which the header alone speaks (native, RLE): Bits Stored bits up to High Bit."""
    if array.ndim == 2:
        array = _bits(_signed_as(array, signed=layout.signed), layout.lowest_bit, layout.bits_stored)
    return Stored(_one_channel(array), layout.bits_stored, layout.signed)


def of_codestream(array: NDArray[Any], layout: Layout, form: Form) -> Stored:
    """Take the value out of decoded samples.

    The value is where the header says, unless the codestream has other bits: fewer than High Bit names, or more than
    Bits Stored, and uses them for the value. Samples without a sign of their own have that of the header.
    """
    if array.ndim == 3:
        return Stored(_one_channel(array), form.precision, form.signed or False)
    low = layout.lowest_bit if form.precision > layout.high_bit else 0
    bits, notes = layout.bits_stored, tuple[str, ...]()
    if low == 0 and not layout.overlays_in_pixels and _is_deeper(array, layout, form):
        bits, notes = form.precision, (f"{form.precision} bits as in the codestream, not {bits} as in the header",)
    by_header = _bits(_signed_as(array, signed=layout.signed), low, bits)
    if form.signed is None or form.signed == layout.signed:
        return Stored(by_header, bits, layout.signed, notes)
    # Encoders that were handed signed values as unsigned are as real as headers that are wrong. Neighbouring pixels
    # tell them apart: with the wrong sign, grey values wrap around within the picture.
    by_codestream = _bits(_signed_as(array, signed=form.signed), low, bits)
    if _roughness(by_header) <= _roughness(by_codestream):
        return Stored(by_header, bits, layout.signed, notes)
    said = "signed" if form.signed else "unsigned"
    return Stored(by_codestream, bits, form.signed, (*notes, f"{said} as in the codestream, not as in the header"))


def _is_deeper(array: NDArray[Any], layout: Layout, form: Form) -> bool:
    """Return whether values go beyond Bits Stored: the bits above are neither all zero nor copies of the sign."""
    if form.precision <= layout.bits_stored or not (_signed_as(array, signed=False) >> layout.bits_stored).any():
        return False
    signed = _signed_as(array, signed=layout.signed)
    return not np.array_equal(_bits(signed, 0, layout.bits_stored), _bits(signed, 0, form.precision))


def _signed_as(array: NDArray[Any], *, signed: bool) -> NDArray[Any]:
    return array.view(np.dtype(f"{'i' if signed else 'u'}{array.dtype.itemsize}"))


def _roughness(values: NDArray[Any]) -> float:
    """Return the mean step between neighbours in a row, of about a thousand rows."""
    rows = values[:: max(1, len(values) // 1000)].astype(np.float32)
    return float(np.abs(np.diff(rows, axis=1)).mean()) if rows.shape[1] > 1 else 0.0


def _bits(array: NDArray[Any], low: int, count: int) -> NDArray[Any]:
    """Return `count` bits from bit `low` on, in the sign of the array's type."""
    size = array.dtype.itemsize * 8
    if count >= size:
        return array
    above = size - low - count
    return np.asarray(np.right_shift(np.left_shift(array, above), above + low), array.dtype)


def _one_channel(array: NDArray[Any]) -> NDArray[Any]:
    """Take the one channel, or the mean of three that are equal but for burnt-in marks."""
    if array.ndim == 2:
        return array
    difference = array.max(axis=2).astype(np.int64) - array.min(axis=2)
    coloured = float((difference > 0.04 * np.iinfo(array.dtype).max).mean())
    if coloured > MAX_COLOURED:
        raise Undecodable(f"a coloured picture ({coloured:.0%} of the pixels), grey was expected")
    return np.asarray(np.rint(array.mean(axis=2, dtype=np.float32)), array.dtype)


def _whole(ds: Dataset, keyword: str, default: int | None = None) -> int:
    """Read a whole number; what cannot be read is not there."""
    try:
        value = ds.get(keyword)
        number = None if value in (None, "") else float(value)
    # pydicom converts when it is asked, and raises what the value leads it to.
    except Exception:
        number = None
    if number is not None and number.is_integer():
        return int(number)
    if default is None:
        raise Undecodable(f"{keyword} is absent, or no whole number")
    return default


def _bit_position(ds: Dataset, group: int) -> int:
    """Return the Overlay Bit Position (60xx,0102) of a group of overlays."""
    element = ds.get((group, 0x0102))
    value = getattr(element, "value", None)
    return value if isinstance(value, int) else 0
