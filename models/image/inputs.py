"""From a radiograph to what a network takes: letterbox, contrast, normalisation. One implementation, for training too.

The contrast is stretched between two percentiles of the pixels that belong to the picture, so a network sees the same
thing whatever window the acquisition suggested.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.image.geometry import Letterbox
from models.image.pixels import Radiograph
from models.values.findings import Box


class InputSpec(BaseModel):
    """Input geometry and normalisation of a network, part of a bundle's manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(ge=32, le=2048)
    """Edge of the square model grid, in pixels."""
    contrast_percentiles: tuple[float, float] = (0.5, 99.5)
    """Percentiles of the picture that become 0 and 1; values beyond are clipped."""
    scale: float = 2.0
    """The network takes `scale * x + offset`, the same in each of three channels."""
    offset: float = -1.0
    """See `scale`; 2 and -1 give x / 127.5 - 1 for 8-bit values, as the ImageNet weights expect."""
    region: Literal["image", "lungs"] = "image"
    """The whole picture, or the box around both lungs that the segmenter found: more pixels for what matters, and
    markers at the border stay outside."""
    margin: float = Field(default=0.0, ge=0.0, le=0.5)
    """How much wider than that box the region is, on each side, as a part of the box's edges."""


@dataclass(frozen=True)
class ModelInput:
    """A radiograph, or a region of it, on the model grid, and the way back.

    Attributes
    ----------
    image
        float32 (size, size) in [0, 1].
    letterbox
        From the region to the model grid.
    region
        The part of the canonical grid that was taken.
    shape
        Rows and columns of the canonical grid.
    """

    image: NDArray[np.float32]
    letterbox: Letterbox
    region: Box
    shape: tuple[int, int]

    def to_canonical(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring values of the model grid (size, size) to the canonical grid; outside the region they are 0."""
        whole = np.zeros(self.shape, np.float32)
        whole[rows_and_columns(self.region)] = self.letterbox.inverse(square)
        return whole


def prepare(radiograph: Radiograph, spec: InputSpec, lungs: Box | None = None) -> ModelInput:
    """Cut the region, letterbox it onto the model grid and stretch its contrast; outside the picture is 0.

    Parameters
    ----------
    lungs
        The box around both lungs on the canonical grid, for `region` "lungs"; None takes the whole picture.
    """
    rows, columns = radiograph.shape
    region = Box(0, 0, columns, rows)
    if spec.region == "lungs" and lungs is not None:
        region = widened(lungs, spec.margin, within=region)
        radiograph = _cut(radiograph, region)
    return _fit(radiograph, spec, region, (rows, columns))


def widened(box: Box, margin: float, *, within: Box) -> Box:
    """Return a box that is larger by `margin` of its edges on each side, cut at the edges of another."""
    across, down = round(margin * (box.x1 - box.x0)), round(margin * (box.y1 - box.y0))
    return Box(
        max(within.x0, box.x0 - across),
        max(within.y0, box.y0 - down),
        min(within.x1, box.x1 + across),
        min(within.y1, box.y1 + down),
    )


def rows_and_columns(box: Box) -> tuple[slice, slice]:
    """Return a box as slices of an array (rows, columns)."""
    return slice(box.y0, box.y1), slice(box.x0, box.x1)


def _cut(radiograph: Radiograph, region: Box) -> Radiograph:
    """Return the part of a radiograph within a box; its orientation no longer leads to the source grid."""
    part = rows_and_columns(region)
    valid = None if radiograph.valid is None else radiograph.valid[part]
    return replace(radiograph, pixels=radiograph.pixels[part], valid=valid)


def _fit(radiograph: Radiograph, spec: InputSpec, region: Box, shape: tuple[int, int]) -> ModelInput:
    """Letterbox and stretch."""
    letterbox = Letterbox.of(radiograph.shape, aspect=radiograph.aspect, size=spec.size)
    valid = np.ones(radiograph.shape, np.float32) if radiograph.valid is None else radiograph.valid.astype(np.float32)
    weight = letterbox.forward(valid)
    inside = weight > 0.5
    image = letterbox.forward(radiograph.pixels * valid) / np.maximum(weight, 0.5)
    if not inside.any():
        return ModelInput(np.zeros_like(image), letterbox, region, shape)
    low, high = np.percentile(image[inside], spec.contrast_percentiles)
    stretched = np.clip((image - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return ModelInput(np.where(inside, stretched, 0.0).astype(np.float32), letterbox, region, shape)
