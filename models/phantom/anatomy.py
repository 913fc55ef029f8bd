"""The statistical chest: mean and modes of contours and of blurred appearance, and samples drawn from them.

Coordinates are (x, y) in units of the box around both lungs: the right lung touches x = 0, the left lung x = 1,
the higher apex y = 0, the lower costophrenic angle y = 1. In these units a squashed image and its original agree.

The file holds means and modes only; no score of any patient is stored. How it was fitted, and what was measured
about privacy: docs/phantom.md and training/phantom.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from models.phantom.warp import Doubles, Floats

# Points along a lung: apex → costophrenic angle → cardiophrenic angle → apex.
LUNG_ARCS = (24, 14, 26)
# Points along the heart: topmost → the patient's right → bottom → the patient's left → topmost.
HEART_ARCS = (10, 10, 10, 10)
LUNG_POINTS = sum(LUNG_ARCS)
HEART_POINTS = sum(HEART_ARCS)
RIGHT_LUNG = slice(0, LUNG_POINTS)
LEFT_LUNG = slice(LUNG_POINTS, 2 * LUNG_POINTS)
HEART = slice(2 * LUNG_POINTS, 2 * LUNG_POINTS + HEART_POINTS)
POINTS = 2 * LUNG_POINTS + HEART_POINTS
COSTOPHRENIC = LUNG_ARCS[0]
CARDIOPHRENIC = LUNG_ARCS[0] + LUNG_ARCS[1]
HEART_RIGHT = HEART.start + HEART_ARCS[0]
HEART_BOTTOM = HEART_RIGHT + HEART_ARCS[1]
HEART_LEFT = HEART_BOTTOM + HEART_ARCS[2]

# The appearance frame, in lung boxes, and its grid.
FRAME_X = (-0.30, 1.30)
FRAME_Y = (-0.40, 1.50)
GRID = (150, 120)
# Fixed points of every warp: the frame does not move when the organs do.
ANCHORS = np.array([(x, y) for x in (-0.30, 0.25, 0.75, 1.30) for y in (-0.40, 0.5, 1.50) if x in FRAME_X or y != 0.5])

_SHAPE_LIMIT = 2.2  # standard deviations; beyond it contours begin to cross
_APPEARANCE_LIMIT = 1.8


@dataclass(frozen=True)
class ChestModel:
    """Mean and principal modes, each mode scaled to one standard deviation.

    `shape_mean` is (points, 2), `shape_modes` (k, points, 2); `appearance_mean` is (rows, columns) and
    `appearance_modes` (m, rows, columns) over the frame, 0 being lung and 1 heart. `aspect` is mean and standard
    deviation of width over height of the box around the lungs.
    """

    shape_mean: Doubles
    shape_modes: Doubles
    appearance_mean: Floats
    appearance_modes: Floats
    aspect: tuple[float, float]


@dataclass(frozen=True)
class Chest:
    """One sampled chest in lung-box coordinates: `points` (points, 2), `appearance` over the frame, `aspect`."""

    points: Doubles
    appearance: Floats
    aspect: float

    @property
    def cardiothoracic_ratio(self) -> float:
        """Widest heart over widest thorax, from the points."""
        lungs = self.points[: HEART.start, 0]
        heart = self.points[HEART, 0]
        return float((heart.max() - heart.min()) / (lungs.max() - lungs.min()))


def frame_axes() -> tuple[Doubles, Doubles]:
    """Return the x and y positions of the appearance grid, in lung boxes."""
    return np.linspace(*FRAME_X, GRID[1]), np.linspace(*FRAME_Y, GRID[0])


def warp_points(points: Doubles) -> Doubles:
    """Return the points that carry the appearance: both lungs and the frame.

    The heart is left out: its sides run beside the lung borders, its underside cannot be seen, and two borders that
    disagree by a pixel fold the plane.
    """
    return np.concatenate([points[: HEART.start], ANCHORS])


@lru_cache(maxsize=1)
def load() -> ChestModel:
    """Read the fitted model that lies beside this module."""
    with np.load(Path(__file__).with_name("model.npz"), allow_pickle=False) as stored:
        scale = stored["appearance_scale"].astype(np.float32)
        return ChestModel(
            shape_mean=stored["shape_mean"].astype(np.float64),
            shape_modes=stored["shape_modes"].astype(np.float64),
            appearance_mean=stored["appearance_mean"].astype(np.float32),
            appearance_modes=stored["appearance_modes"].astype(np.float32) * scale[:, None, None],
            aspect=(float(stored["aspect"][0]), float(stored["aspect"][1])),
        )


def sample(
    model: ChestModel, random: np.random.Generator, *, cardiothoracic_ratio: float, spread: float = 0.85
) -> Chest:
    """Draw a chest whose heart has the given width.

    The shape is drawn from the fitted normal distribution, and then conditioned on the ratio: in lung-box
    coordinates the width of the heart is a linear function of the mode scores, so that lungs and mediastinum
    follow the heart as they do among patients.

    Parameters
    ----------
    cardiothoracic_ratio
        Wanted ratio, 0.35 to 0.65; the result is within about 0.02 of it.
    spread
        Standard deviations of the scores; 0 gives the mean chest of that heart width.
    """
    shape_scores = np.clip(random.normal(0, spread, len(model.shape_modes)), -_SHAPE_LIMIT, _SHAPE_LIMIT)
    points = model.shape_mean + np.tensordot(shape_scores, model.shape_modes, 1)
    gain = model.shape_modes[:, HEART_LEFT, 0] - model.shape_modes[:, HEART_RIGHT, 0]
    for _ in range(3):  # the extreme points may change; more passes settle it
        chest = Chest(_joined(points), model.appearance_mean, 1.0)
        missing = cardiothoracic_ratio - chest.cardiothoracic_ratio
        points = points + np.tensordot(gain * missing / (gain @ gain), model.shape_modes, 1)
    points = _joined(points)
    low, high = points[: HEART.start].min(axis=0), points[: HEART.start].max(axis=0)
    points = (points - low) / (high - low)
    scores = np.clip(
        random.normal(0, 0.7 * spread, len(model.appearance_modes)), -_APPEARANCE_LIMIT, _APPEARANCE_LIMIT
    ).astype(np.float32)
    appearance = model.appearance_mean + np.tensordot(scores, model.appearance_modes, 1)
    mean, deviation = model.aspect
    aspect = mean + deviation * float(np.clip(random.normal(0, spread), -2, 2))
    return Chest(points, appearance.astype(np.float32), aspect)


def _joined(points: Doubles) -> Doubles:
    """Move the sides of the heart onto the lung borders beside them.

    A few modes do not keep two borders together that are one line in the picture: without this the heart of an
    extreme sample would end short of what is seen of it.
    """
    joined = points.copy()
    top = points[HEART.start, 1]
    for lung, arc, outward in (
        (points[RIGHT_LUNG], slice(HEART.start, HEART_BOTTOM), -1.0),
        (points[LEFT_LUNG], slice(HEART_BOTTOM, HEART.stop), 1.0),
    ):
        border = lung[CARDIOPHRENIC:]
        corner = border[0]
        x, y = points[arc].T
        order = np.argsort(border[:, 1])
        beside = np.interp(y, border[order, 1], border[order, 0])
        # Above, the great vessels leave the heart: the outline comes to the lungs on the upper fifth of its height.
        weight = np.clip((y - top) / (0.2 * (corner[1] - top) + 1e-6) - 0.3, 0, 1)
        moved = x + weight * (beside - x)
        below = y > corner[1]
        # Below the lungs the outline turns in towards the underside.
        depth = np.clip((y - corner[1]) / (points[HEART, 1].max() - corner[1] + 1e-6), 0, 1)
        limit = corner[0] * outward - 0.12 * depth**2
        joined[arc, 0] = np.where(below, np.minimum(x * outward, limit) * outward, moved)
    return joined
