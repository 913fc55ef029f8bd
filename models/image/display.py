"""Grey values as a radiologist's viewer shows them: Modality LUT, VOI LUT or window, polarity.

PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (Photometric Interpretation), C.11.6 (Presentation LUT).
Softcopy presentation states are not looked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

Float = NDArray[np.float32]
Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
"""VOI LUT Function (0028,1056)."""

# Without a window of the sender's: the values between which nearly all of the picture lies.
ROBUST_PERCENTILES = (0.5, 99.5)
SAMPLE = 1_000_000
_LARGEST = 1e30
"""Of a number in a header: more times a stored value is no float32."""


@dataclass(frozen=True)
class Rescale:
    """A Modality LUT that is a straight line."""

    slope: float
    intercept: float


@dataclass(frozen=True)
class Window:
    """A VOI LUT that is a window (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    centre: float
    width: float
    function: Function = "LINEAR"


@dataclass(frozen=True)
class Greys:
    """How stored values became grey: what was applied, which is not always what the header asks for.

    Attributes
    ----------
    modality
        None: the stored values are taken as they are.
    inverted
        Low values are bright.
    """

    modality: Lut | Rescale | None
    voi: Lut | Window
    inverted: bool


@dataclass(frozen=True)
class Shown:
    """Grey values (rows, columns) in [0, 1], bright is dense, and what was done to get them."""

    values: Float
    notes: tuple[str, ...]
    greys: Greys


def show(stored: NDArray[Any], ds: Dataset, valid: NDArray[np.bool_] | None) -> Shown:
    """Turn stored values into what is displayed; only `valid` pixels decide a window that had to be chosen."""
    values, of_modality, notes = _modality(stored, ds)
    shown, voi, voi_notes = _voi(values, ds, valid)
    notes += voi_notes
    inverted = is_inverted(ds)
    if inverted:
        shown = 1 - shown
        notes += (f"inverted {ds.PhotometricInterpretation}",)
    return Shown(shown, notes, Greys(of_modality, voi, inverted))


def is_inverted(ds: Dataset) -> bool:
    """Return whether low values are displayed bright: MONOCHROME1, or the shape INVERSE on MONOCHROME2.

    DX objects give MONOCHROME1 and INVERSE together and mean one inversion (PS3.3 C.8.11.3.1.2).
    """
    return bool(ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE")


def _modality(stored: NDArray[Any], ds: Dataset) -> tuple[Float, Lut | Rescale | None, tuple[str, ...]]:
    """Apply the Modality LUT Sequence or the rescale; neither leaves the stored values."""
    item = _first(ds.get("ModalityLUTSequence"))
    if item is not None:
        table = Lut.of(item, signed=int(ds.get("PixelRepresentation", 0)) == 1)
        if table is not None:
            return table.look_up(stored), table, ("Modality LUT Sequence",)
    slope, intercept = _number(ds.get("RescaleSlope")), _number(ds.get("RescaleIntercept"))
    values = stored.astype(np.float32)
    if slope is None or intercept is None or slope == 0:
        return values, None, ()
    if (slope, intercept) == (1, 0):
        return values, None, ()
    return values * np.float32(slope) + np.float32(intercept), Rescale(slope, intercept), ("rescaled",)


def _voi(values: Float, ds: Dataset, valid: NDArray[np.bool_] | None) -> tuple[Float, Lut | Window, tuple[str, ...]]:
    """Apply the sender's VOI LUT, else its first window, else one of ours."""
    item = _first(ds.get("VOILUTSequence"))
    table = None if item is None else Lut.of(item, signed=float(values.min()) < 0)
    if table is not None:
        looked_up = table.look_up(values)
        spread = table.full_scale
        return _clip(looked_up / np.float32(spread)), table, ("VOI LUT Sequence",)
    centre, width = _number(ds.get("WindowCenter")), _number(ds.get("WindowWidth"))
    if centre is not None and width is not None:
        function = str(ds.get("VOILUTFunction") or "LINEAR").upper()
        shown = window(values, centre, width, function)
        if shown is None:
            return _own_window(values, ds, valid, f"window {centre:g}/{width:g} {function} is not valid")
        if _is_visible(shown, valid):
            notes = () if function == "LINEAR" else (f"VOI LUT Function {function}",)
            return shown, Window(centre, width, cast(Function, function)), notes
        return _own_window(values, ds, valid, f"window {centre:g}/{width:g} shows nothing")
    return _own_window(values, ds, valid, None)


def window(values: Float, centre: float, width: float, function: str) -> Float | None:
    """Apply a window (PS3.3 C.11.2.1.2 and C.11.2.1.3) with output 0 to 1; None where it is not valid."""
    match function:
        case "LINEAR" if width == 1:
            return (values > centre - 0.5).astype(np.float32)
        case "LINEAR" if width > 1:
            return _clip((values - np.float32(centre - 0.5)) / np.float32(width - 1) + np.float32(0.5))
        case "LINEAR_EXACT" if width > 0:
            return _clip((values - np.float32(centre)) / np.float32(width) + np.float32(0.5))
        case "SIGMOID" if width > 0:
            exponent = np.clip(-4 * (values - np.float32(centre)) / np.float32(width), -80, 80)
            return np.asarray(1 / (1 + np.exp(exponent)), np.float32)
    return None


def robust_window(values: Float, valid: NDArray[np.bool_] | None) -> Float:
    """Stretch the picture between its robust percentiles."""
    return _between_percentiles(values, valid)[0]


def _between_percentiles(values: Float, valid: NDArray[np.bool_] | None) -> tuple[Float, Window]:
    low, high = np.percentile(_sample(values, valid), ROBUST_PERCENTILES)
    span = max(float(high - low), 1e-6)
    return np.asarray(np.clip((values - low) / span, 0, 1), np.float32), _window_of(float(low), float(low) + span)


def _own_window(
    values: Float, ds: Dataset, valid: NDArray[np.bool_] | None, why: str | None
) -> tuple[Float, Window, tuple[str, ...]]:
    """Show 8-bit values as they are, and others between robust percentiles."""
    notes = () if why is None else (why,)
    unscaled = "ModalityLUTSequence" not in ds and "RescaleSlope" not in ds
    if why is None and int(ds.BitsStored) == 8 and unscaled and int(ds.get("PixelRepresentation", 0)) == 0:
        return values / np.float32(255), _window_of(0, 255), notes
    return *_between_percentiles(values, valid), (*notes, "no window given: robust percentiles")


def _window_of(low: float, high: float) -> Window:
    """Return the window that is black at `low` and white at `high`."""
    return Window((low + high + 1) / 2, high - low + 1)


def _is_visible(shown: Float, valid: NDArray[np.bool_] | None) -> bool:
    """Return whether a window leaves anything to see: the middle 98 percent of the picture are not one grey."""
    low, high = np.percentile(_sample(shown, valid), (1, 99))
    return bool(high - low > 0.02)


def _clip(values: Float) -> Float:
    """Clip to [0, 1]."""
    return np.asarray(np.clip(values, 0, 1), np.float32)


def _sample(values: Float, valid: NDArray[np.bool_] | None) -> Float:
    """Return about a million of the valid values."""
    flat = values[valid] if valid is not None else values.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE)]


@dataclass(frozen=True, eq=False)
class Lut:
    """A lookup table: `entries` for the inputs from `first` on; inputs beyond either end take the end entry.

    Entries are whole numbers of 0 to 65535, float32; `bits` is what the descriptor says of them.
    """

    first: int
    entries: Float
    bits: int

    @classmethod
    def of(cls, item: Dataset, *, signed: bool) -> Lut | None:
        """Read LUT Descriptor and LUT Data; None where they do not fit together."""
        descriptor = [int(v) for v in item.get("LUTDescriptor") or ()]
        data = item.get("LUTData")
        if len(descriptor) != 3 or data is None:
            return None
        count = descriptor[0] % 65536 or 65536
        first = descriptor[1] % 65536
        first -= 65536 if signed and first >= 32768 else 0
        entries = _lut_entries(data, count)
        if entries is None or not 1 <= descriptor[2] <= 16:
            return None
        return cls(first, entries, descriptor[2])

    @property
    def full_scale(self) -> float:
        """The largest output: by the descriptor's bits, unless the entries go beyond or are far below (seen in CR)."""
        nominal = float(2**self.bits - 1)
        highest = float(self.entries.max())
        return nominal if nominal / 4 <= highest <= nominal else max(highest, 1.0)

    def look_up(self, values: NDArray[Any]) -> Float:
        """Map values, rounded to integers."""
        index = np.rint(values).astype(np.int64) - self.first
        return np.asarray(self.entries[np.clip(index, 0, len(self.entries) - 1)], np.float32)


def _lut_entries(data: Any, count: int) -> Float | None:
    """Read LUT Data as US values or as OW bytes, 8 or 16 bits each."""
    if isinstance(data, bytes):
        kind = "<u2" if len(data) >= 2 * count else "u1"
        entries = np.frombuffer(data, kind)
    else:
        entries = np.asarray(data).reshape(-1) % 65536
    return entries[:count].astype(np.float32) if len(entries) >= count else None


def _first(sequence: Any) -> Dataset | None:
    """Return the first item of a sequence that may be absent or empty."""
    return sequence[0] if sequence else None


def _number(value: Any) -> float | None:
    """Return the first of possibly several values, if it is a number that can be computed with."""
    if isinstance(value, MultiValue | list | tuple):
        value = value[0] if len(value) else None
    try:
        number = float(value) if value is not None else math.nan
    except (TypeError, ValueError):
        return None
    return number if abs(number) < _LARGEST else None
