"""Bones, drawn as what they add to the attenuation: ribs, clavicles, scapulae, humeral heads, spine.

Units: 0 is lung, 1 is heart. Lengths are adult millimetres.
"""

from __future__ import annotations

import cv2
import numpy as np

from models.phantom.scene import PITCH_MM, Scene, blur, fill, smooth, soft_fill
from models.phantom.warp import Doubles, Floats

# For each rib: height of its head, fall to its front end (lung-box heights), last angle drawn (radians, 0 at the
# spine, π at the breastbone), width of its loop relative to the cage.
_RIBS = (
    (-0.020, 0.13, 2.45, 0.90),
    (0.015, 0.22, 2.60, 0.98),
    (0.070, 0.31, 2.60, 1.00),
    (0.135, 0.38, 2.55, 1.01),
    (0.205, 0.42, 2.50, 1.01),
    (0.285, 0.45, 2.42, 1.01),
    (0.365, 0.48, 2.30, 1.01),
    (0.445, 0.50, 2.15, 1.01),
    (0.530, 0.50, 1.95, 1.01),
    (0.615, 0.48, 1.75, 1.00),
    (0.705, 0.40, 1.20, 0.98),
    (0.800, 0.30, 0.75, 0.95),
)
_VERTEBRAE = np.arange(-3, 14)  # T1 is 0


def _band(centre: Doubles, half_width: Doubles) -> Doubles:
    """Return the outline of a band around a centre line (n, 2) of half widths (n,)."""
    along = np.gradient(centre, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * half_width[:, None]
    return np.concatenate([centre + across, (centre - across)[::-1]])


def _strip(scene: Scene, centre: Doubles, half_width: Doubles, strength: Doubles) -> Floats:
    """Paint a band whose strength (0 to 1) varies along it; where it folds over itself it is not doubled."""
    canvas = np.zeros(scene.shape, np.uint8)
    for start in range(0, len(centre) - 1, 2):
        part = slice(start, min(start + 4, len(centre)))
        outline = np.round(_band(centre[part], half_width[part]) * 16).astype(np.int32)
        cv2.fillPoly(canvas, [outline], int(255 * strength[start]), cv2.LINE_8, 4)
    return canvas.astype(np.float32) / np.float32(255)


def _bone(scene: Scene, centre: Doubles, half_width: Doubles, strength: Doubles, *, cortex_mm: float) -> Floats:
    """Return a long bone: marrow, and a denser cortex where the rays graze its wall."""
    # The ends fade out: a bone passes behind others, it is not cut off.
    strength = strength * np.clip(np.minimum(along := np.arange(len(centre)), along[::-1]) / 4, 0.12, 1)
    whole = _strip(scene, centre, half_width, strength)
    inner = _strip(scene, centre, np.maximum(half_width - cortex_mm / PITCH_MM, 0.5), strength)
    return blur(whole * np.float32(0.68) + (whole - inner) * np.float32(0.36), 0.5)


def _rib_line(scene: Scene, rib: tuple[float, float, float, float], side: float, jitter: Doubles) -> Doubles:
    """Return the centre line of one rib in lung boxes: a loop in a plane that falls forward."""
    head, fall, last, relative = rib
    theta = np.linspace(0.1, last, 60)
    y_lateral = head + 0.5 * fall
    half = scene.cage_half_width(max(y_lateral, 0.02)) * relative + 0.012
    rise = 0.030 * np.sin(2 * np.clip(theta, 0, np.pi / 2))
    x = scene.midline + side * half * np.sin(theta) ** 0.9
    y = head + jitter[0] * 0.008 + (fall + 0.02 * jitter[1]) * (1 - np.cos(theta)) / 2 - rise
    return np.stack([x, y], axis=1)


def ribs(scene: Scene, random: np.random.Generator, *, slope: float = 1.0) -> Floats:
    """Return twelve pairs of ribs; `slope` below 1 makes them lie flatter, as in a child."""
    total = np.zeros(scene.shape, np.float32)
    slant = slope * (1 + 0.08 * random.normal())
    stretch = 1 + 0.03 * random.normal()
    for number, (head, fall, last, relative) in enumerate(_RIBS):
        jitter = random.normal(0, 0.5, 2)
        for side in (-1.0, 1.0):
            line = _rib_line(scene, (head * stretch, fall * slant, last, relative), side, jitter)
            centre = scene.place(line)
            along = np.linspace(0, 1, len(centre))
            height_mm = 5.2 + 1.6 * along if number else 7.0 + 0 * along
            fade = np.clip((1 - along) * 12, 0, 1) if last > 2 else 1.0
            strength = (0.95 - 0.50 * along) * fade
            total += _bone(scene, centre, height_mm / PITCH_MM, strength, cortex_mm=1.5)
    return total


def clavicles(scene: Scene, random: np.random.Generator) -> Floats:
    """Return both collar bones: an S from the manubrium outwards."""
    total = np.zeros(scene.shape, np.float32)
    lift = 0.025 * random.normal()
    for side in (-1.0, 1.0):
        line = np.array(
            [(0.055, 0.110), (0.14, 0.075), (0.25, 0.045), (0.38, 0.000 - lift), (0.52, -0.060 - lift), (0.62, -0.075)]
        )
        line = line * [side, 1] + [scene.midline, 0.01 * random.normal()]
        centre = smooth(scene.place(line), closed=False, per_segment=10)
        along = np.linspace(0, 1, len(centre))
        half = (5.2 + 3.6 * np.exp(-along * 9) + 1.2 * along) / PITCH_MM
        total += _bone(scene, centre, half, np.full(len(centre), 0.95), cortex_mm=1.9)
    return total


def shoulders(scene: Scene, random: np.random.Generator) -> Floats:
    """Return shoulder blades and humeral heads; most of them lie at the edge of the field."""
    total = np.zeros(scene.shape, np.float32)
    outward = 0.02 * random.normal()
    for side in (-1.0, 1.0):
        middle = scene.midline
        blade = np.array(
            [
                (0.40, 0.02),
                (0.47, 0.16),
                (0.515, 0.40),
                (0.545, 0.41),
                (0.575, 0.26),
                (0.625, 0.12),
                (0.60, 0.02),
                (0.5, -0.02),
            ]
        )
        blade = blade * [side, 1] + [middle + side * outward, 0]
        outline = smooth(scene.place(blade), closed=True)
        body = soft_fill(scene, outline, blur_mm=0.9)
        inner = soft_fill(scene, outline + (outline.mean(axis=0) - outline) * 0.05, blur_mm=0.9)
        total += body * np.float32(0.22) + (body - inner) * np.float32(0.45)
        spine = scene.place([(middle + side * x, y) for x, y in ((0.45, 0.09), (0.56, 0.01), (0.66, -0.05))])
        line = smooth(spine, closed=False)
        total += np.float32(0.5) * _bone(
            scene, line, np.full(len(line), 5 / PITCH_MM), np.full(len(line), 0.8), cortex_mm=1.6
        )
        arm = scene.place(
            [(middle + side * x, y) for x, y in ((0.665, 0.055), (0.71, 0.11), (0.77, 0.28), (0.83, 0.5))]
        )
        line = smooth(arm, closed=False)
        half = np.interp(np.linspace(0, 1, len(line)), [0, 0.1, 0.3, 0.5, 1], [14, 23, 20, 12.5, 12]) / PITCH_MM
        total += np.float32(1.1) * _bone(scene, line, half, np.full(len(line), 0.9), cortex_mm=3.0)
    return total


def spine(scene: Scene, random: np.random.Generator) -> Floats:
    """Return the spine: vertebral bodies with end plates, pedicles and spinous processes."""
    total = np.zeros(scene.shape, np.float32)
    curve = 0.012 * random.normal()
    box_width, box_height = scene.box_mm
    for index in _VERTEBRAE:
        y = -0.045 + 0.088 * index
        x = scene.midline + curve * np.sin(index * 0.5)
        half_x, half_y = (14.5 + 0.55 * index) / box_width, 9.8 / box_height
        corners = [(x - half_x, y - half_y), (x, y - 0.93 * half_y), (x + half_x, y - half_y), (x + 0.88 * half_x, y)]
        corners += [(x + half_x, y + half_y), (x, y + 0.93 * half_y), (x - half_x, y + half_y), (x - 0.88 * half_x, y)]
        outline = scene.place(corners)
        body = soft_fill(scene, outline, blur_mm=0.8)
        inner = soft_fill(scene, outline + (outline.mean(axis=0) - outline) * 0.14, blur_mm=0.8)
        total += body * np.float32(0.35) + (body - inner) * np.float32(0.35)
        total += _ovals(scene, x, y, half_x)
    return total


def _ovals(scene: Scene, x: float, y: float, half_x: float) -> Floats:
    """Return the two pedicles and the spinous process of a vertebra."""
    canvas = np.zeros(scene.shape, np.uint8)
    for dx, dy, width_mm, height_mm in ((-0.62, -0.01, 3.4, 5.0), (0.62, -0.01, 3.4, 5.0), (0.0, 0.03, 2.6, 7.0)):
        centre = scene.place([(x + dx * half_x, y + dy)])[0]
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        oval = centre + np.stack([np.cos(angle) * width_mm, np.sin(angle) * height_mm], axis=1) / PITCH_MM
        canvas = np.maximum(canvas, fill(scene.shape, oval))
    return blur(canvas.astype(np.float32) / np.float32(255), 0.9) * np.float32(0.3)
