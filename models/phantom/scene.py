"""The sampled chest laid out on a drawing grid: where its organs, its midline and its edges are.

The grid has a fixed pitch in adult millimetres, whatever the size of the image asked for, so that one seed gives
the same anatomy at every size. A child is an adult's grid with a smaller pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.phantom import anatomy
from models.phantom.warp import Doubles, Floats, displacement

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

PITCH_MM = 0.36  # a vessel of 1 mm is drawn; 400 mm take 1,111 pixels
_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates


@dataclass(frozen=True)
class Scene:
    """A chest on the drawing grid.

    Attributes
    ----------
    chest
        The sample, in lung-box coordinates.
    shape
        Rows and columns of the drawing grid.
    to_grid
        (2, 3) array. Lung-box coordinates (x, y, 1) to grid coordinates (x, y).
    """

    chest: anatomy.Chest
    shape: tuple[int, int]
    to_grid: Doubles

    def place(self, points: Doubles | Sequence[tuple[float, float]]) -> Doubles:
        """Return lung-box points (n, 2) on the grid."""
        array = np.asarray(points, dtype=np.float64)
        return np.asarray(array @ self.to_grid[:, :2].T + self.to_grid[:, 2])

    @property
    def box_mm(self) -> tuple[float, float]:
        """Width and height of the box around the lungs, in adult millimetres."""
        width, height = np.hypot(self.to_grid[0, :2], self.to_grid[1, :2])
        return float(width) * PITCH_MM, float(height) * PITCH_MM

    @property
    def midline(self) -> float:
        """The x of the spine in lung-box coordinates: midway between the lungs above the heart."""
        points = self.chest.points
        medial = slice(anatomy.CARDIOPHRENIC, anatomy.LUNG_POINTS)
        right, left = points[anatomy.RIGHT_LUNG][medial], points[anatomy.LEFT_LUNG][medial]
        return float((right[right[:, 1] < 0.4, 0].mean() + left[left[:, 1] < 0.4, 0].mean()) / 2)

    def cage_half_width(self, y: float) -> float:
        """Return half the width of the rib cage at a height, in lung boxes."""
        widths = []
        for lung, sign in ((anatomy.RIGHT_LUNG, -1.0), (anatomy.LEFT_LUNG, 1.0)):
            lateral = self.chest.points[lung][: anatomy.COSTOPHRENIC + 1]
            widths.append(sign * (np.interp(y, lateral[:, 1], lateral[:, 0]) - self.midline))
        return max(float(np.mean(widths)), 0.12)


def lay_out(
    chest: anatomy.Chest, *, columns_over_rows: float, fill: float, rotation_deg: float, offset: tuple[float, float]
) -> Scene:
    """Place a chest on a grid of the wanted proportions.

    Parameters
    ----------
    columns_over_rows
        Proportions of the image.
    fill
        Share of the image's width that the lungs take, unless the height limits them to 0.72 of it.
    rotation_deg
        Tilt of the patient in the image plane, clockwise.
    offset
        Displacement of the patient, in lung boxes.
    """
    height_mm = 272.0
    width_mm = height_mm * chest.aspect
    field_width = max(width_mm / fill, height_mm / 0.72 * columns_over_rows)
    columns = round(field_width / PITCH_MM)
    rows = round(field_width / columns_over_rows / PITCH_MM)
    angle = np.deg2rad(rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([width_mm / PITCH_MM, height_mm / PITCH_MM])
    # The lungs' centre lies above the centre of the field: the abdomen takes the rest.
    centre = np.array([columns * 0.5, rows * 0.475])
    shift = centre - linear @ (np.array([0.5, 0.5]) - np.array(offset))
    return Scene(chest, (rows, columns), np.hstack([linear, shift[:, None]]))


def smooth(points: Doubles, *, closed: bool, per_segment: int = 8) -> Doubles:
    """Return a Catmull-Rom curve through points (n, 2)."""
    if closed:
        extended = np.concatenate([points[-1:], points, points[:2]])
    else:
        extended = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, per_segment, endpoint=False)[None, :, None]
    before, start, end, after = (extended[k : len(extended) - 3 + k, None, :] for k in range(4))
    curve = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, points[-1:]])


def outlines(points: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Return smooth outlines of right lung, left lung and heart; the angles of the lungs stay sharp."""
    lungs = []
    for lung in (anatomy.RIGHT_LUNG, anatomy.LEFT_LUNG):
        own = np.concatenate([points[lung], points[lung][:1]])
        corners = (anatomy.COSTOPHRENIC, anatomy.CARDIOPHRENIC)
        around = np.concatenate([own[corners[1] : -1], own[: corners[0] + 1]])
        base = own[corners[0] : corners[1] + 1]
        lungs.append(np.concatenate([smooth(around, closed=False), smooth(base, closed=False)[1:-1]]))
    return lungs[0], lungs[1], smooth(points[anatomy.HEART], closed=True)


def fill(shape: tuple[int, int], polygon: Doubles, *, value: int = 255, antialiased: bool = True) -> Bytes:
    """Return a filled polygon (n, 2; x, y) on a grid of `shape`."""
    canvas = np.zeros(shape, np.uint8)
    fixed = np.round(polygon * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], value, cv2.LINE_AA if antialiased else cv2.LINE_8, _SHIFT)
    return canvas


def soft_fill(scene: Scene, polygon: Doubles, *, blur_mm: float) -> Floats:
    """Return a filled polygon given on the grid, 0 to 1, with a blurred edge."""
    filled = fill(scene.shape, polygon).astype(np.float32) / np.float32(255)
    return blur(filled, blur_mm)


def blur(image: Floats, sigma_mm: float) -> Floats:
    """Blur an image of the drawing grid; wide blurs work on a reduced copy."""
    sigma = sigma_mm / PITCH_MM
    if sigma < 6:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.float32)
    factor = int(sigma // 3)
    rows, columns = image.shape
    small = cv2.resize(image, (max(columns // factor, 1), max(rows // factor, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def warped_appearance(scene: Scene, model: anatomy.ChestModel) -> Floats:
    """Return the sampled appearance on the drawing grid: it follows the sampled contours."""
    rows, columns = scene.shape
    step = 14
    grid_x, grid_y = np.meshgrid(np.arange(0, columns + step, step), np.arange(0, rows + step, step))
    inverse = np.linalg.inv(scene.to_grid[:, :2])
    placed = np.stack([grid_x, grid_y], axis=-1) - scene.to_grid[:, 2]
    box = placed @ inverse.T
    # The spline is evaluated on an upright lattice in lung boxes, the rotation is left to the look-up.
    xs, ys = np.linspace(-0.6, 1.6, 90), np.linspace(-0.8, 1.8, 100)
    map_x, map_y = displacement(anatomy.warp_points(scene.chest.points), anatomy.warp_points(model.shape_mean), xs, ys)
    at_x = ((box[..., 0] - xs[0]) / (xs[1] - xs[0])).astype(np.float32)
    at_y = ((box[..., 1] - ys[0]) / (ys[1] - ys[0])).astype(np.float32)
    frame_rows, frame_columns = anatomy.GRID
    low_x, low_y = anatomy.FRAME_X[0], anatomy.FRAME_Y[0]
    per_x = (frame_columns - 1) / (anatomy.FRAME_X[1] - low_x)
    per_y = (frame_rows - 1) / (anatomy.FRAME_Y[1] - low_y)
    look_x = (cv2.remap(map_x, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) - low_x) * per_x
    look_y = (cv2.remap(map_y, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) - low_y) * per_y
    size = (look_x.shape[1] * step, look_x.shape[0] * step)
    # cv2.resize aligns pixel centres, the lattice began at pixel 0: shift by half a step.
    full_x = cv2.resize(look_x.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    full_y = cv2.resize(look_y.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    start = step // 2
    window = (slice(start, start + rows), slice(start, start + columns))
    return np.asarray(
        cv2.remap(
            scene.chest.appearance,
            full_x[window],
            full_y[window],
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        dtype=np.float32,
    )
