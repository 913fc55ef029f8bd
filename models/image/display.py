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

from models.image.lut import Lut
from models.image.stored import GREY, Stored

Float = NDArray[np.float32]
Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
"""VOI LUT Function (0028,1056)."""

# Without a window of the sender's: the values between which nearly all of the picture lies.
ROBUST_PERCENTILES = (0.5, 99.5)
SAMPLE = 1_000_000
_OF_GREY_ALONE = ("ModalityLUTSequence", "RescaleSlope", "VOILUTSequence", "WindowCenter")
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


def show(stored: Stored, ds: Dataset, valid: NDArray[np.bool_] | None) -> Shown:
    """Turn stored values into what is displayed; only `valid` pixels decide a window that had to be chosen.

    Modality LUT, VOI LUT, window and Presentation LUT are of the grey Photometric Interpretations alone (PS3.3 sections
    C.11.1, C.11.2.1.2, C.11.6). A colour picture is shown as it is: what a capture kept of them is another image's.
    """
    if ds.PhotometricInterpretation not in GREY:
        return _colour(stored, ds, valid)
    values, of_modality, notes = _modality(stored, ds)
    shown, voi, voi_notes = _voi(values, _signed_input(stored, of_modality), stored, ds, valid)
    notes += voi_notes
    inverted = is_inverted(ds)
    if inverted:
        shown = 1 - shown
        notes += (f"inverted {ds.PhotometricInterpretation}",)
    return Shown(shown, (*stored.notes, *notes), Greys(of_modality, voi, inverted))


def is_inverted(ds: Dataset) -> bool:
    """Return whether low values are displayed bright: MONOCHROME1, or the shape INVERSE on MONOCHROME2.

    DX objects give MONOCHROME1 and INVERSE together and mean one inversion (PS3.3 C.8.11.3.1.2).
    """
    photometric = ds.PhotometricInterpretation
    return bool(
        photometric == "MONOCHROME1" or (photometric == "MONOCHROME2" and ds.get("PresentationLUTShape") == "INVERSE")
    )


def _colour(stored: Stored, ds: Dataset, valid: NDArray[np.bool_] | None) -> Shown:
    """Show the grey of a colour picture."""
    values = stored.values.astype(np.float32)
    shown, chosen, notes = _own_window(values, stored, valid, (), unscaled=True)
    left = any(keyword in ds for keyword in _OF_GREY_ALONE) or ds.get("PresentationLUTShape") == "INVERSE"
    if left:
        notes += (f"grey scale attributes are not of a {ds.PhotometricInterpretation} picture, and were not applied",)
    return Shown(shown, (*stored.notes, *notes), Greys(None, chosen, inverted=False))


def _modality(stored: Stored, ds: Dataset) -> tuple[Float, Lut | Rescale | None, tuple[str, ...]]:
    """Apply the Modality LUT Sequence or the rescale; neither leaves the stored values."""
    item = _first(ds.get("ModalityLUTSequence"))
    if item is not None:
        table = Lut.of(item, signed=stored.signed)
        if table is not None:
            return table.look_up(stored.values), table, ("Modality LUT Sequence",)
    slope, intercept = _number(ds.get("RescaleSlope")), _number(ds.get("RescaleIntercept"))
    values = stored.values.astype(np.float32)
    if slope is None or intercept is None or slope == 0:
        return values, None, ()
    if (slope, intercept) == (1, 0):
        return values, None, ()
    return values * np.float32(slope) + np.float32(intercept), Rescale(slope, intercept), ("rescaled",)


def _signed_input(stored: Stored, of_modality: Lut | Rescale | None) -> bool:
    """Return whether the input of a VOI LUT may be negative: so is then its first value mapped (C.11.2.1.1)."""
    match of_modality:
        case None:
            return stored.signed
        case Rescale(slope, intercept):
            lowest = -(2 ** (stored.bits - 1)) if stored.signed else 0
            highest = lowest + 2**stored.bits - 1
            return bool(min(lowest * slope, highest * slope) + intercept < 0)
        case Lut():
            return False


def _voi(
    values: Float, signed: bool, stored: Stored, ds: Dataset, valid: NDArray[np.bool_] | None
) -> tuple[Float, Lut | Window, tuple[str, ...]]:
    """Apply the sender's VOI LUT, else its first window, else one of ours; what shows nothing is passed over."""
    item = _first(ds.get("VOILUTSequence"))
    table = None if item is None else Lut.of(item, signed=signed)
    passed: tuple[str, ...] = ()
    if table is not None:
        shown = _clip(table.look_up(values) / np.float32(table.full_scale))
        if _is_visible(shown, valid):
            return shown, table, ("VOI LUT Sequence",)
        passed = ("VOI LUT Sequence shows nothing",)
    centre, width = _number(ds.get("WindowCenter")), _number(ds.get("WindowWidth"))
    if centre is not None and width is not None:
        function = str(ds.get("VOILUTFunction") or "LINEAR").upper()
        windowed = window(values, centre, width, function)
        if windowed is not None and _is_visible(windowed, valid):
            notes = () if function == "LINEAR" else (f"VOI LUT Function {function}",)
            return windowed, Window(centre, width, cast(Function, function)), (*passed, *notes)
        fault = "is not valid" if windowed is None else "shows nothing"
        passed += (f"window {centre:g}/{width:g} {function} {fault}",)
    unscaled = "ModalityLUTSequence" not in ds and "RescaleSlope" not in ds
    return _own_window(values, stored, valid, passed, unscaled=unscaled)


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
    values: Float, stored: Stored, valid: NDArray[np.bool_] | None, passed: tuple[str, ...], *, unscaled: bool
) -> tuple[Float, Window, tuple[str, ...]]:
    """Show 8-bit values as they are, and others between robust percentiles; `passed` says what showed nothing."""
    if not passed and stored.bits == 8 and unscaled and not stored.signed:
        return values / np.float32(255), _window_of(0, 255), ()
    return *_between_percentiles(values, valid), (*passed, "no window given: robust percentiles")


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
