"""A white border: what a scanner, a film's mask or an inversion leaves around the picture, and perhaps over a lung.

It is said and not removed: the networks were trained on such pictures too, and no contrast brings back what it hides.
Black borders are collimation, and usual.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WHITE = 0.99
LEAST = 0.03
"""Part of the rows, or of the columns, from which on a border is spoken of."""


def white_border(shown: NDArray[np.float32]) -> tuple[str, ...]:
    """Return a note on the edges of the source image that are nothing but white; () where there is no such border."""
    white, found = shown > WHITE, list[str]()
    for axis, first, last in ((1, "top", "bottom"), (0, "left", "right")):
        lines: NDArray[np.bool_] = np.logical_and.reduce(white, axis=axis)
        if lines.all():
            return ()  # no picture at all, which is not for a border to say
        for edge, width in ((first, int(np.argmin(lines))), (last, int(np.argmin(lines[::-1])))):
            if width >= LEAST * len(lines):
                found.append(f"{edge} {width / len(lines):.0%}")
    return (f"white border, of the image as it was stored: {', '.join(found)}",) if found else ()
