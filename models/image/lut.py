"""Lookup tables of Modality LUT and VOI LUT (PS3.3 sections C.11.1.1 and C.11.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

Float = NDArray[np.float32]


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
        """Map values, rounded to integers; row by row, as places in the table take more memory than values."""
        shown = np.empty(values.shape, np.float32)
        for row, target in zip(values, shown, strict=True):
            place = np.rint(row).astype(np.int64) - self.first
            target[:] = self.entries[np.clip(place, 0, len(self.entries) - 1)]
        return shown


def _lut_entries(data: Any, count: int) -> Float | None:
    """Read LUT Data as US values or as OW bytes, 8 or 16 bits each."""
    if isinstance(data, bytes):
        kind = "<u2" if len(data) >= 2 * count else "u1"
        entries = np.frombuffer(data, kind)
    else:
        entries = np.asarray(data).reshape(-1) % 65536
    return entries[:count].astype(np.float32) if len(entries) >= count else None
