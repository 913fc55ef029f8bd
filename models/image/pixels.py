"""One radiograph as a radiologist's viewer would show it, and where its pixels lie in the source image.

The only preprocessing there is: `read` serves the workers, `from_array` the training sets; what follows
(models/image/inputs.py) is the same for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.errors import Undecodable
from models.image import decode, display
from models.image.border import white_border
from models.image.geometry import Orientation
from models.image.shutter import shutter
from models.image.stored import Stored

# What a detector may plausibly have; the test collections hold objects with a spacing of 0.
SPACING_LIMITS_MM = (0.02, 5.0)
ASPECT_LIMITS = (0.2, 5.0)


@dataclass(frozen=True)
class Radiograph:
    """A displayed radiograph on the canonical grid (the patient's left on the right, feet down).

    Attributes
    ----------
    pixels
        float32 (rows, columns) in [0, 1], bright is dense.
    valid
        bool (rows, columns), False where the detector saw nothing (padding); None: all valid.
    spacing_mm
        Row and column spacing; None is unknown.
    spacing_is_calibrated
        The spacing was corrected for magnification or calibrated with an object of known size; otherwise lengths are
        those at the detector.
    aspect
        Row spacing over column spacing.
    orientation
        How the source image was laid onto this grid.
    notes
        What was done to the pixels, for the report.
    greys
        How stored values became grey; None: not from a DICOM image.
    """

    pixels: NDArray[np.float32]
    valid: NDArray[np.bool_] | None = None
    spacing_mm: tuple[float, float] | None = None
    spacing_is_calibrated: bool = False
    aspect: float = 1.0
    orientation: Orientation = field(default_factory=Orientation)
    notes: tuple[str, ...] = ()
    greys: display.Greys | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the canonical grid."""
        rows, columns = self.pixels.shape
        return rows, columns

    @property
    def source_shape(self) -> tuple[int, int]:
        """Rows and columns of the source image."""
        rows, columns = self.shape
        return (columns, rows) if self.orientation.transpose else (rows, columns)

    def to_source(self, mask: NDArray[Any]) -> NDArray[Any]:
        """Lay an array of the canonical grid onto the grid of the source image, exactly."""
        return np.ascontiguousarray(self.orientation.to_source(mask))


def read(path: Path) -> Radiograph:
    """Read one DICOM image; the file is not changed and not kept open.

    Raises
    ------
    Undecodable
        The file is no DICOM image that can be shown as one grey picture; the message says why, without any attribute
        of the patient.
    OSError
        The file cannot be read, or the machine gives no process or memory to decode it with: nothing is known of the
        image.
    """
    ds = decode.open_dataset(path)
    stored = decode.stored_values(ds)
    try:
        return _radiograph(stored, ds)
    except (Undecodable, MemoryError):
        raise
    # Attributes of a hostile file can hold anything; whatever they break, the image cannot be shown.
    except Exception as error:
        raise Undecodable(f"display attributes are not usable: {type(error).__name__}") from error


def from_array(grey: NDArray[np.uint8] | NDArray[np.uint16], *, aspect: float = 1.0) -> Radiograph:
    """Take a decoded grey picture (rows, columns), bright is dense, already the right way up.

    8-bit values are shown as they are, 16-bit values between robust percentiles, as `read` does without a window.

    Raises
    ------
    Undecodable
        The array is empty or not two-dimensional.
    """
    if grey.ndim != 2 or grey.size == 0:
        raise Undecodable(f"an array of shape {grey.shape}, rows and columns were expected")
    if grey.dtype == np.uint8:
        return Radiograph(grey.astype(np.float32) / np.float32(255), aspect=aspect)
    return Radiograph(display.robust_window(grey.astype(np.float32), None), aspect=aspect)


def _radiograph(stored: Stored, ds: Dataset) -> Radiograph:
    """Show the stored values and lay them onto the canonical grid."""
    valid, valid_notes = _valid(stored, ds)
    shown = display.show(stored, ds, valid)
    orientation, orientation_notes = orientation_of(ds)
    spacing, calibrated, aspect, spacing_notes = spacing_of(ds)
    pixels = shown.values if valid is None else np.where(valid, shown.values, np.float32(0))
    if orientation.transpose:
        spacing = None if spacing is None else (spacing[1], spacing[0])
        aspect = 1 / aspect
    return Radiograph(
        pixels=np.ascontiguousarray(orientation.to_canonical(pixels), np.float32),
        valid=None if valid is None else np.ascontiguousarray(orientation.to_canonical(valid)),
        spacing_mm=spacing,
        spacing_is_calibrated=calibrated,
        aspect=aspect,
        orientation=orientation,
        notes=(*shown.notes, *valid_notes, *white_border(pixels), *orientation_notes, *spacing_notes),
        greys=shown.greys,
    )


def orientation_of(ds: Dataset) -> tuple[Orientation, tuple[str, ...]]:
    """Return the way from the source grid to the canonical one by Patient Orientation (0020,0020).

    Its two values name where rows and columns lead: L, F is canonical. Absent, it is taken to be that. A lateral (A or
    P in a first letter) is left as it is: the gate refuses it.
    """
    values = ds.get("PatientOrientation") or ()
    letters = tuple(str(value)[:1].upper() for value in values) if len(values) == 2 else ()
    match letters:
        case ("L" | "R" as along_row, "F" | "H" as along_column):
            found = Orientation(False, along_column == "H", along_row == "R")
        case ("F" | "H" as along_row, "L" | "R" as along_column):
            found = Orientation(True, along_row == "H", along_column == "R")
        case ():
            return Orientation(), ()
        case _:
            return Orientation(), ("Patient Orientation is not that of a frontal image",)
    return found, () if found == Orientation() else (f"turned from Patient Orientation {'/'.join(letters)}",)


def _valid(stored: Stored, ds: Dataset) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Mark what is neither padding nor behind a shutter; None: all of the picture is shown."""
    seen = _not_padding(stored, ds)
    opened, notes = shutter(ds, stored.values.shape)
    if opened is not None:
        seen = opened if seen is None else seen & opened
    if seen is None or seen.all():
        return None, notes
    if not seen.any():
        raise Undecodable("every pixel is padding")
    return seen, notes


def _not_padding(stored: Stored, ds: Dataset) -> NDArray[np.bool_] | None:
    """Mark what is not Pixel Padding Value (0028,0120) or within its range; None without padding."""
    first = ds.get("PixelPaddingValue")
    if first is None:
        return None
    limit = ds.get("PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(value, stored) for value in (first, first if limit is None else limit))
    return (stored.values < low) | (stored.values > high)


def _as_stored(value: Any, stored: Stored) -> int:
    """Read a padding value in the sign of the pixels: senders write it as US in signed images and the reverse."""
    number = int(value) % 65536
    return number - 65536 if stored.signed and number >= 32768 else number


def spacing_of(ds: Dataset) -> tuple[tuple[float, float] | None, bool, float, tuple[str, ...]]:
    """Return spacing, whether it is calibrated, aspect, and notes.

    PS3.3 10.7.1.3: Pixel Spacing that equals Imager Pixel Spacing, or stands alone without a calibration type, is that
    of the detector's face.
    """
    pixel, imager = _pair(ds.get("PixelSpacing")), _pair(ds.get("ImagerPixelSpacing"))
    spacing = next((p for p in (pixel, imager) if p is not None and _within(p, SPACING_LIMITS_MM)), None)
    notes = ("spacing given is not plausible",) if spacing is None and (pixel or imager) else ()
    calibrated = (
        spacing is not None
        and spacing == pixel
        and (bool(ds.get("PixelSpacingCalibrationType")) or (imager is not None and imager != pixel))
    )
    ratio = spacing or _pair(ds.get("PixelAspectRatio")) or (1.0, 1.0)
    aspect = ratio[0] / ratio[1] if min(ratio) > 0 else 1.0
    if not ASPECT_LIMITS[0] <= aspect <= ASPECT_LIMITS[1]:
        return None, False, 1.0, (*notes, "pixel aspect given is not plausible")
    return spacing, calibrated, aspect, (*notes, *(() if abs(aspect - 1) < 0.01 else (f"pixel aspect {aspect:.3f}",)))


def _pair(value: Any) -> tuple[float, float] | None:
    """Return two finite numbers, if that is what the value is."""
    try:
        first, second = (float(part) for part in value)
    except (TypeError, ValueError):
        return None
    return (first, second) if math.isfinite(first) and math.isfinite(second) else None


def _within(pair: tuple[float, float], limits: tuple[float, float]) -> bool:
    """Return whether both numbers lie within the limits."""
    return all(limits[0] <= part <= limits[1] for part in pair)
