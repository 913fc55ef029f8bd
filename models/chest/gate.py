"""The gate before the findings: an upright frontal chest radiograph with two plausible lungs, or a reason.

Pure rules on the lung masks, and a distance of the encoder's features from those of known frontal chests. The network
answers other pictures with empty masks (training/data/negatives.py), the rules catch scraps, and the distance catches
what looks like no chest although something was segmented. Only numpy and OpenCV: no network here.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import GateSettings
from models.values.features import FeatureStatistics
from models.values.findings import Gate, NotComputedReason

Float = NDArray[np.float32]
# A lung smaller than this part of the picture is none at all.
TRACE = 0.005


@dataclass(frozen=True)
class Lung:
    """Shape of one lung's mask on the model grid, measured on its largest piece."""

    area_part: float
    centre: tuple[float, float]
    rows: tuple[int, int]
    columns: tuple[int, int]
    solidity: float
    largest_piece: float
    confidence: float


@dataclass(frozen=True)
class GateObservation:
    """What the gate looks at: both lungs (None: no trace), the distance of the features, and the picture's columns."""

    right: Lung | None
    left: Lung | None
    feature_distance: float
    width: int

    @property
    def in_one_half(self) -> bool:
        """Whether both lungs lie on one side of the picture's middle, which has room for another chest beside them.

        Of two chests side by side the network outlines one, and the other would go unread.
        """
        if self.right is None or self.left is None:
            return False
        columns = (*self.right.columns, *self.left.columns)
        return 2 * max(columns) <= self.width or 2 * min(columns) >= self.width

    @property
    def values(self) -> dict[str, float]:
        """The measured values by the names of `GateSettings`; empty unless there are two lungs."""
        if self.right is None or self.left is None:
            return {}
        right, left = self.right, self.left
        width = max(right.columns[1], left.columns[1]) - min(right.columns[0], left.columns[0])
        common = min(right.rows[1], left.rows[1]) - max(right.rows[0], left.rows[0])
        shorter = min(right.rows[1] - right.rows[0], left.rows[1] - left.rows[0])
        return {
            "smallest_lung": min(right.area_part, left.area_part),
            "largest_lung": max(right.area_part, left.area_part),
            "lungs": right.area_part + left.area_part,
            "smaller_to_larger_area": min(right.area_part, left.area_part) / max(right.area_part, left.area_part),
            "horizontal_separation": (left.centre[1] - right.centre[1]) / max(width, 1),
            "vertical_overlap": common / max(shorter, 1),
            "solidity": min(right.solidity, left.solidity),
            "largest_piece": min(right.largest_piece, left.largest_piece),
            "confidence": min(right.confidence, left.confidence),
        }


def observe(
    probabilities: Float, content: tuple[slice, slice], features: Float, statistics: FeatureStatistics
) -> GateObservation:
    """Measure one image.

    Parameters
    ----------
    probabilities
        (labels, size, size) on the model grid, right lung first, then left lung.
    content
        The picture within the model grid.
    features
        (features,), pooled over the encoder's last stage.
    statistics
        Known chests.
    """
    right, left = (_lung(probability[content]) for probability in probabilities[:2])
    width = content[1].stop - content[1].start
    return GateObservation(right, left, statistics.distance(features), width)


def judge(observation: GateObservation, settings: GateSettings) -> Gate:
    """Return the verdict: no trace of a lung, or strange features: no chest; one lung, or odd lungs: implausible."""
    if observation.right is None and observation.left is None:
        return Gate(NotComputedReason.NOT_A_CHEST, "no lung was found")
    distance = f"(distance {observation.feature_distance:.2f}, limit {settings.feature_distance:.2f})"
    if observation.feature_distance > settings.feature_distance:
        detail = f"the image does not look like the chest radiographs that the network knows {distance}"
        return Gate(NotComputedReason.NOT_A_CHEST, detail)
    if observation.right is None or observation.left is None:
        missing = "right" if observation.right is None else "left"
        return Gate(NotComputedReason.LUNGS_IMPLAUSIBLE, f"no {missing} lung was found")
    failed = failures(observation, settings)
    if failed:
        return Gate(NotComputedReason.LUNGS_IMPLAUSIBLE, "; ".join(failed))
    if observation.in_one_half:
        detail = "both lungs lie in one half of the picture, which may show two chests"
        return Gate(NotComputedReason.LUNGS_IMPLAUSIBLE, detail)
    detail = f"two lungs were found, and the image looks like the chest radiographs that the network knows {distance}"
    return Gate(None, detail)


def failures(observation: GateObservation, settings: GateSettings) -> tuple[str, ...]:
    """List the rules that two found lungs break, with values and limits."""
    values = observation.values
    limits: tuple[tuple[str, float, float], ...] = (
        ("smallest_lung", settings.lung_area_part[0], np.inf),
        ("largest_lung", -np.inf, settings.lung_area_part[1]),
        ("lungs", *settings.lungs_area_part),
        ("smaller_to_larger_area", settings.smaller_to_larger_area, np.inf),
        ("horizontal_separation", settings.horizontal_separation, np.inf),
        ("vertical_overlap", settings.vertical_overlap, np.inf),
        ("solidity", settings.solidity, np.inf),
        ("largest_piece", settings.largest_piece, np.inf),
        ("confidence", settings.confidence, np.inf),
    )
    return tuple(
        f"{name.replace('_', ' ')} {values[name]:.3f}, expected {_span(low, high)}"
        for name, low, high in limits
        if not low <= values[name] <= high
    )


def _span(low: float, high: float) -> str:
    """Say a range in words."""
    if np.isinf(high):
        return f"at least {low:.3f}"
    return f"at most {high:.3f}" if np.isinf(low) else f"{low:.3f} to {high:.3f}"


def _lung(probability: Float) -> Lung | None:
    """Measure one lung's probability map (rows, columns); None without a trace of a lung."""
    mask = np.ascontiguousarray(probability > 0.5).astype(np.uint8)
    count, labelled, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    area = int(stats[best, cv2.CC_STAT_AREA])
    if area < TRACE * mask.size:
        return None
    piece = labelled == best
    left, top, width, height = (int(stats[best, i]) for i in range(4))
    outline, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.fillConvexPoly(np.zeros_like(mask), cv2.convexHull(np.concatenate(outline)), 1)
    return Lung(
        area_part=area / mask.size,
        centre=(float(centres[best][1]), float(centres[best][0])),
        rows=(top, top + height),
        columns=(left, left + width),
        solidity=area / max(int(hull.sum()), 1),
        largest_piece=area / int(mask.sum()),
        confidence=float(probability[piece].mean()),
    )
