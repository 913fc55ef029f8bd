"""From a radiograph to what a network takes: letterbox, contrast, normalisation. One implementation, for training too.

The contrast is stretched between two percentiles of the pixels that belong to the picture, so a network sees the same
thing whatever window the acquisition suggested.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.geometry import Letterbox
from models.pixels import Radiograph


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


@dataclass(frozen=True)
class ModelInput:
    """A radiograph on the model grid: `image` float32 (size, size) in [0, 1] and the way back."""

    image: NDArray[np.float32]
    letterbox: Letterbox


def prepare(radiograph: Radiograph, spec: InputSpec) -> ModelInput:
    """Letterbox `radiograph` onto the model grid and stretch its contrast; outside the picture is 0."""
    letterbox = Letterbox.of(radiograph.shape, aspect=radiograph.aspect, size=spec.size)
    valid = np.ones(radiograph.shape, np.float32) if radiograph.valid is None else radiograph.valid.astype(np.float32)
    weight = letterbox.forward(valid)
    inside = weight > 0.5
    image = letterbox.forward(radiograph.pixels * valid) / np.maximum(weight, 0.5)
    if not inside.any():
        return ModelInput(np.zeros_like(image), letterbox)
    low, high = np.percentile(image[inside], spec.contrast_percentiles)
    stretched = np.clip((image - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    return ModelInput(np.where(inside, stretched, 0.0).astype(np.float32), letterbox)
