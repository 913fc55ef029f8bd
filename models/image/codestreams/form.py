"""The form of a compressed frame: what its own headers say of the picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """Size, samples and depth of a frame as its codestream declares them.

    Attributes
    ----------
    rows, columns
        Size of the picture.
    components
        Samples of a pixel: 1 or 3.
    precision
        Bits of a sample.
    signed
        Whether samples are signed; None: the codestream cannot say, as those of JPEG, JPEG-LS and RLE.
    photometric
        Photometric Interpretation (0028,0004) of the three components, for a header that calls them grey.
    """

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool | None = None
    photometric: str = "RGB"


@dataclass(frozen=True, slots=True)
class Frame:
    """A codestream without what surrounds it (boxes, padding), and its form."""

    content: bytes
    form: Form
