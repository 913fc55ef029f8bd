"""Soft tissue and air: body outline, lung borders, airways, vessels, breasts, gas in the stomach, fine texture.

Units: 0 is lung, 1 is heart, −0.6 is air outside the patient. Lengths are adult millimetres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from models.phantom import anatomy
from models.phantom.scene import PITCH_MM, Scene, blur, fill, outlines, smooth, soft_fill
from models.phantom.warp import Floats

AIR = -0.6
# Directions of the main vessels from the hilum, in radians below the horizontal.
_SPREADS = (-1.25, -0.95, -0.6, -0.25, 0.2, 0.55, 0.8, 1.0, 1.25)


@dataclass(frozen=True)
class Lungs:
    """Soft masks (rows, columns), 0 to 1, on the drawing grid."""

    right: Floats
    left: Floats
    both: Floats


@dataclass(frozen=True)
class Branch:
    """A piece of a vessel between two forks: its diameter and its centre line on the grid, (x, y)."""

    diameter_mm: float
    points: list[tuple[float, float]]


def lungs(scene: Scene) -> Lungs:
    """Return the lung masks of a scene."""
    right, left, _ = outlines(scene.chest.points)
    masks = [soft_fill(scene, scene.place(outline), blur_mm=0.5) for outline in (right, left)]
    return Lungs(masks[0], masks[1], np.maximum(masks[0], masks[1]))


def sharpened_borders(appearance: Floats, lung: Lungs) -> Floats:
    """Return what turns the blurred lung borders of the statistical appearance into edges.

    A border blurred over 4 mm becomes a sharp one where the difference between the sharp mask and the blurred
    mask is taken from it, weighted with the local contrast between the two sides.
    """
    softened = blur(lung.both, 3.2)
    inside = blur(appearance * lung.both, 7.0) / (blur(lung.both, 7.0) + np.float32(0.05))
    outside_mask = 1 - lung.both
    outside = blur(appearance * outside_mask, 7.0) / (blur(outside_mask, 7.0) + np.float32(0.05))
    contrast = np.clip(outside - inside, 0, 1)
    return np.asarray((softened - lung.both) * contrast * np.float32(0.85), dtype=np.float32)


def heart(scene: Scene) -> Floats:
    """Return the density of the heart over mediastinum and abdomen: its underside shows faintly through the dome."""
    outline = outlines(scene.chest.points)[2]
    return soft_fill(scene, scene.place(outline), blur_mm=2.5) * np.float32(0.11)


def body(scene: Scene, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the body's mask and its thickness towards the skin, both 0 to 1."""
    middle = scene.midline
    wide = 0.03 * random.normal()
    half = [(0.20, -0.9), (0.19, -0.36), (0.24, -0.24), (0.42, -0.185), (0.62, -0.15), (0.80, -0.07), (0.95, 0.15)]
    half += [(1.2, 0.75)]
    under_arm = [(1.05, 0.80), (0.82, 0.47 + wide), (0.665 + wide, 0.34), (0.635 + wide, 0.5), (0.63 + wide, 0.8)]
    side = half + under_arm + [(0.64 + wide, 1.1), (0.65 + wide, 2.2)]
    right = [(middle - x, y) for x, y in side]
    left = [(middle + x + 0.01 * random.normal(), y) for x, y in side[::-1]]
    outline = smooth(scene.place(right + left), closed=True)
    filled = fill(scene.shape, outline)
    distance = cv2.distanceTransform(np.pad(filled, 1, constant_values=255), cv2.DIST_L2, 3)[1:-1, 1:-1] * PITCH_MM
    depth = np.sqrt(np.clip(distance / 38.0, 0, 1)).astype(np.float32)
    return blur(filled.astype(np.float32) / np.float32(255), 0.5), blur(depth, 1.2)


def airways(scene: Scene, random: np.random.Generator) -> Floats:
    """Return trachea and main bronchi: negative attenuation."""
    middle = scene.midline + 0.006 * random.normal()
    carina = 0.27 + 0.02 * random.normal()
    canvas = np.zeros(scene.shape, np.uint8)
    tubes = [
        ([(middle + 0.004, -0.5), (middle - 0.004, 0.05), (middle - 0.012, carina)], 7.0, 190),
        ([(middle - 0.012, carina - 0.02), (middle - 0.06, carina + 0.06), (middle - 0.12, carina + 0.15)], 5.4, 130),
        ([(middle - 0.012, carina - 0.02), (middle + 0.07, carina + 0.05), (middle + 0.15, carina + 0.105)], 4.8, 120),
    ]
    for points, radius_mm, value in tubes[::-1]:
        line = smooth(scene.place(points), closed=False)
        thickness = round(2 * radius_mm / PITCH_MM)
        cv2.polylines(canvas, [np.round(line * 16).astype(np.int32)], False, value, thickness, cv2.LINE_AA, 4)
    return blur(canvas.astype(np.float32) / np.float32(255), 1.6) * np.float32(-0.20)


def vessels(scene: Scene, lung: Lungs, random: np.random.Generator) -> Floats:
    """Return the hila and the branching vessels of both lungs."""
    canvas = np.zeros(scene.shape, np.uint8)
    hila = np.zeros(scene.shape, np.uint8)
    branches: list[Branch] = []
    for side, hilum in ((-1.0, (-0.100, 0.425)), (1.0, (0.110, 0.385))):
        start = scene.place([(scene.midline + side * abs(hilum[0]), hilum[1])])[0]
        outward = np.pi if side < 0 else 0.0
        for spread in _SPREADS:
            # Positive spread points down; on the right side the angle runs the other way.
            angle = outward + side * (spread + 0.12 * random.normal())
            diameter_mm = random.uniform(3.2, 5.4) * (1.2 if spread > 0.5 else 0.9)
            at = start + random.normal(0, 9, 2)
            branches += _grow((float(at[0]), float(at[1])), float(angle), float(diameter_mm), random)
        knot = start + np.stack([random.normal(0, 12, 10), random.normal(6, 24, 10)], axis=1)
        for centre in knot:
            cv2.circle(hila, (int(centre[0]), int(centre[1])), int(random.uniform(12, 26)), 255, -1)
    branches.sort(key=lambda branch: branch.diameter_mm)
    for branch in branches:
        points = np.array(branch.points, dtype=np.float64).reshape(-1, 1, 2)
        thickness = max(round(branch.diameter_mm / PITCH_MM), 1)
        value = int(min(30 + 38 * branch.diameter_mm, 220))
        cv2.polylines(canvas, [(points * 16).astype(np.int32)], False, value, thickness, cv2.LINE_AA, 4)
    drawn = blur(canvas.astype(np.float32) / np.float32(255), 0.5) * np.float32(0.34)
    drawn += blur(hila.astype(np.float32) / np.float32(255), 6.0) * np.float32(0.16)
    return drawn * (np.float32(0.12) + np.float32(0.88) * lung.both)


def _grow(start: tuple[float, float], angle: float, diameter_mm: float, random: np.random.Generator) -> list[Branch]:
    """Return one vessel and its branches, down to 0.7 mm."""
    branches = []
    stack = [(start, angle, diameter_mm)]
    while stack:
        (x, y), heading, diameter = stack.pop()
        draws = random.random(8).tolist()
        length = (diameter * (2.5 + 2.5 * draws[0]) + 5) / PITCH_MM
        points = [(x, y)]
        for wobble in draws[1:5]:
            heading += (draws[5] - 0.5) * 0.2 + (wobble - 0.5) * 0.24
            x, y = x + math.cos(heading) * length / 4, y + math.sin(heading) * length / 4
            points.append((x, y))
        branches.append(Branch(diameter, points))
        if diameter > 0.7:
            fork = (0.25 + 0.55 * draws[6]) * (1 if draws[7] < 0.5 else -1)
            first, second = random.random(2).tolist()
            stack.append(((x, y), heading + 0.35 * fork, diameter * (0.80 + 0.12 * first)))
            stack.append(((x, y), heading - fork, diameter * (0.45 + 0.25 * second)))
    return branches


def breasts(scene: Scene, random: np.random.Generator) -> Floats:
    """Return the shadow of both breasts: a lower edge below the hemidiaphragms' level."""
    total = np.zeros(scene.shape, np.float32)
    low, size = random.uniform(0.88, 1.05), random.uniform(0.85, 1.15)
    for side in (-1.0, 1.0):
        centre = (scene.midline + side * 0.36, low - 0.22 * size + 0.01 * random.normal())
        angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        oval = np.stack([centre[0] + 0.235 * size * np.cos(angle), centre[1] + 0.23 * size * np.sin(angle)], axis=1)
        filled = fill(scene.shape, scene.place(oval))
        distance = cv2.distanceTransform(filled, cv2.DIST_L2, 3) * PITCH_MM
        below = np.clip((distance / 45.0), 0, 1).astype(np.float32) ** np.float32(0.6)
        total += blur(below, 1.6)
    return total * np.float32(random.uniform(0.08, 0.2))


def stomach_gas(scene: Scene, lung: Lungs, random: np.random.Generator) -> Floats:
    """Return the gas bubble under the left hemidiaphragm: negative attenuation."""
    base = scene.chest.points[anatomy.LEFT_LUNG][anatomy.COSTOPHRENIC : anatomy.CARDIOPHRENIC + 1]
    top = float(base[:, 1].min())
    centre = (float(base[:, 0].mean()) - 0.04 * random.uniform(0, 1), top + random.uniform(0.09, 0.13))
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radius = 1 + 0.08 * random.normal(0, 1, 12)
    width, height = random.uniform(0.05, 0.10), random.uniform(0.02, 0.045)
    points = np.stack([centre[0] + width * radius * np.cos(angle), centre[1] + height * radius * np.sin(angle)], axis=1)
    outline = smooth(scene.place(points), closed=True)
    return soft_fill(scene, outline, blur_mm=2.2) * (1 - lung.left) * np.float32(-random.uniform(0.1, 0.4))


def texture(scene: Scene, lung: Lungs, random: np.random.Generator) -> Floats:
    """Return structure without a name: falling with frequency, coarser in soft tissue, finer in lung."""
    rows, columns = scene.shape
    coarse = np.zeros(scene.shape, np.float32)
    fine = np.zeros(scene.shape, np.float32)
    for cell_mm, weight in ((48.0, 0.034), (24.0, 0.020), (12.0, 0.012), (6.0, 0.0085), (3.0, 0.007), (1.4, 0.006)):
        factor = cell_mm / PITCH_MM
        small = random.standard_normal((int(rows / factor) + 3, int(columns / factor) + 3), dtype=np.float32)
        layer = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_CUBIC) * np.float32(weight)
        if cell_mm < 10:
            fine += layer
        else:
            coarse += layer
    return coarse + fine * (np.float32(0.45) + np.float32(1.9) * lung.both)
