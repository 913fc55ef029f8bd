"""What every network returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """Logits, and what some networks have besides.

    Attributes
    ----------
    logits
        (batch, labels) of a classifier, (batch, labels, rows, columns) of a segmenter, in float of any precision.
    features
        (batch, channels), the encoder's last stage averaged over the picture; None where nobody asks for it.
    maps
        (batch, labels, rows, columns), a coarse logit of each label at each place; None where there is none.
    """

    logits: Tensor
    features: Tensor | None = None
    maps: Tensor | None = None
