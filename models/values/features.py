"""Known images in the space of an encoder's pooled features, and how far another one lies from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureStatistics:
    """Known frontal chests in the space of the encoder's pooled features.

    Attributes
    ----------
    mean
        (features,).
    components
        (kept, features), orthonormal principal directions.
    scale
        (kept,), standard deviation along each.
    residual_scale
        Root mean square of what the kept directions leave, per image.
    """

    mean: Float
    components: Float
    scale: Float
    residual_scale: float

    def distance(self, features: Float) -> float:
        """Return the distance of one image's features (features,); about 1 for a typical chest.

        The Mahalanobis distance within the kept directions and the relative size of the rest, as root mean squares.
        """
        centred = features.astype(np.float64) - self.mean
        along = self.components @ centred
        rest = centred - self.components.T @ along
        within = float(np.mean((along / self.scale) ** 2))
        beyond = float(np.sum(rest**2)) / self.residual_scale**2
        return float(np.sqrt((within + beyond) / 2))
