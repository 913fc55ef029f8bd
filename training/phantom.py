"""Fit the statistical chest of `models.phantom` to radiographs with lung and heart masks.

Reads `images/<id>.jpg` and `masks/<id>.png` (bit 0 right lung, bit 1 left lung, bit 2 heart) listed in `table.csv`
(columns `id`, `site`), and writes one file of means and modes: contours by principal components in lung-box
coordinates, appearance by principal components of images that were warped to the mean contour, blurred and reduced
to a pixel of about 3.5 mm. Nothing per patient is written. `measure` says how little of a patient is left.

    python -m training.phantom DATA models/phantom/model.npz --report report.json
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.phantom import anatomy
from models.phantom.warp import Doubles, Floats, displacement

SHAPE_MODES = 10
APPEARANCE_MODES = 6
BLUR_GRID = 0.8  # sigma in grid pixels of about 3.5 mm: no vessel, no rib edge and no nodule under 8 mm is left
LIMITS = (-0.5, 1.6)  # appearance outside it is windowing, a marker or an object
MINIMUM_CONTRAST = 20.0  # grey levels between lung and heart
TRUE_ASPECT_SITE = "jsrt"  # the other site's images were squashed to a square

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OutlinedChest:
    """One radiograph: image and mask (rows, columns), contour points (points, 2) in its pixels, site."""

    image: Bytes
    mask: Bytes
    points: Doubles
    site: str

    def box(self) -> tuple[Doubles, Doubles]:
        """Return the lower corner and the size of the box around the lungs, in pixels."""
        lungs = self.points[: anatomy.HEART.start]
        return lungs.min(axis=0), np.ptp(lungs, axis=0)


@dataclass(frozen=True)
class Modes:
    """Mean (p,), modes (k, p) scaled to one standard deviation, and the share of variance of each."""

    mean: Doubles
    modes: Doubles
    explained: Doubles


def contour(mask: Bytes) -> Doubles:
    """Return the outline (n, 2) of the largest region of a mask."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(outlines, key=cv2.contourArea)[:, 0, :], dtype=np.float64)


def resample(outline: Doubles, corners: list[int], counts: tuple[int, ...]) -> Doubles:
    """Return points equally spaced along each arc of a closed outline between consecutive corners."""
    arcs = []
    for start, end, count in zip(corners, corners[1:] + corners[:1], counts, strict=True):
        length = (end - start) % len(outline) or len(outline)
        arc = outline[(start + np.arange(length + 1)) % len(outline)]
        steps = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(arc, axis=0).T))])
        at = np.linspace(0, steps[-1], count, endpoint=False)
        arcs.append(np.stack([np.interp(at, steps, arc[:, axis]) for axis in (0, 1)], axis=1))
    return np.concatenate(arcs)


def lung_points(mask: Bytes, *, lateral_sign: int) -> Doubles:
    """Return the points of one lung; `lateral_sign` is −1 where the lateral side has small x."""
    outline = contour(mask)
    if lateral_sign > 0:
        outline = outline[::-1]  # both lungs are walked apex, lateral, base, medial
    low, size = outline.min(axis=0), np.ptp(outline, axis=0)
    unit = (outline - low) / size
    lateral = unit[:, 0] if lateral_sign > 0 else 1 - unit[:, 0]
    apex = int(np.argmin(unit[:, 1]))
    costophrenic = int(np.argmax(unit[:, 1] + 0.5 * lateral))
    cardiophrenic = int(np.argmax(np.where(lateral < 0.8, unit[:, 1] - 0.5 * lateral, -1)))
    return resample(outline, [apex, costophrenic, cardiophrenic], anatomy.LUNG_ARCS)


def heart_points(mask: Bytes) -> Doubles:
    """Return the points of the heart."""
    outline = contour(mask)
    x, y = outline.T
    corners = [int(np.argmin(y)), int(np.argmin(x)), int(np.argmax(y)), int(np.argmax(x))]
    return resample(outline, corners, anatomy.HEART_ARCS)


def _read_grey(path: Path) -> Bytes:
    """Read one grey image of 8 bits."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FileNotFoundError(path)
    return np.asarray(image, dtype=np.uint8)


def read_case(folder: Path, row: dict[str, str]) -> OutlinedChest:
    """Read one row of the table."""
    image = _read_grey(folder / "images" / f"{row['id']}.jpg")
    mask = _read_grey(folder / "masks" / f"{row['id']}.png")
    right, left, heart = ((mask >> bit & 1).astype(np.uint8) for bit in range(3))
    points = [lung_points(right, lateral_sign=-1), lung_points(left, lateral_sign=1), heart_points(heart)]
    return OutlinedChest(image, mask, np.concatenate(points), row["site"])


def read_cases(folder: Path) -> list[OutlinedChest]:
    """Read every case of the table."""
    with (folder / "table.csv").open(newline="") as stream:
        return [read_case(folder, row) for row in csv.DictReader(stream)]


def normalised_points(case: OutlinedChest) -> Doubles:
    """Return the contour points in lung-box coordinates."""
    low, size = case.box()
    return np.asarray((case.points - low) / size)


def principal(data: Doubles, count: int) -> Modes:
    """Return mean and principal modes of the rows of `data`."""
    mean = data.mean(axis=0)
    _, singular, axes = np.linalg.svd(data - mean, full_matrices=False)
    variance = singular**2 / (len(data) - 1)
    return Modes(mean, axes[:count] * np.sqrt(variance[:count, None]), variance[:count] / variance.sum())


def usual_shapes(shapes: Doubles) -> Bools:
    """Say which shapes are no outliers: collapsed lungs would bend the modes."""
    middle = np.median(shapes, axis=0)
    distance = np.sqrt(((shapes - middle) ** 2).mean(axis=(1, 2)))
    return np.asarray(distance < np.median(distance) * 2.2)


def body(levels: Floats, lungs: Bools) -> Bools:
    """Say which pixels lie in the body: denser than lung, or lung, in one piece; not air, shutters or letters."""
    dense = (lungs | (levels > 0.3)).astype(np.uint8)
    opened = cv2.morphologyEx(dense, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    _, labels = cv2.connectedComponents(np.maximum(opened, lungs.astype(np.uint8)))
    inside = np.bincount(labels[lungs], minlength=2)
    inside[0] = 0
    outlines, _ = cv2.findContours(
        (labels == inside.argmax()).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = cv2.drawContours(
        np.zeros(lungs.shape, np.uint8), outlines, -1, 1, cv2.FILLED
    )  # gas in the stomach is body
    return cv2.erode(filled, np.ones((9, 9), np.uint8)) > 0


def appearance(case: OutlinedChest, mean_points: Doubles) -> tuple[Floats, Bools]:
    """Return the appearance over the frame, and where it is known.

    Lung (median) is 0 and heart (median) is 1: exposure and window are removed.
    """
    lungs = (case.mask & 3) > 0
    heart = ((case.mask & 4) > 0) & ~lungs
    lung_level, heart_level = np.median(case.image[lungs]), np.median(case.image[heart])
    if heart_level - lung_level < MINIMUM_CONTRAST:
        raise ValueError(f"contrast of {heart_level - lung_level:.0f} grey levels, expected {MINIMUM_CONTRAST:.0f}")
    levels = ((case.image - lung_level) / (heart_level - lung_level)).astype(np.float32)
    known = body(levels, lungs) & (case.image < 254)
    low, size = case.box()
    xs, ys = anatomy.frame_axes()
    map_x, map_y = displacement(anatomy.warp_points(mean_points), anatomy.warp_points(normalised_points(case)), xs, ys)
    map_x, map_y = map_x * np.float32(size[0]) + np.float32(low[0]), map_y * np.float32(size[1]) + np.float32(low[1])
    # Blurred before sampling, at the pitch of the frame's grid in this image's pixels.
    pitch = 1.6 * size[0] / anatomy.GRID[1]
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), BLUR_GRID * pitch)
    blurred = cv2.GaussianBlur(np.clip(levels, *LIMITS) * known, (0, 0), BLUR_GRID * pitch) / np.maximum(weight, 1e-3)
    values = cv2.remap(blurred, map_x, map_y, cv2.INTER_LINEAR)
    sampled = cv2.remap(weight * known, map_x, map_y, cv2.INTER_LINEAR, borderValue=0)
    return values.astype(np.float32), np.asarray(sampled > 0.6)


def principal_with_gaps(data: Floats, known: Bools, count: int, *, rounds: int = 12) -> Modes:
    """Return mean and modes where some values are unknown: they are replaced by the model's own, and refitted."""
    weight = known.sum(axis=0)
    mean = (data * known).sum(axis=0) / np.maximum(weight, 1)
    # Frame corners that few images show continue the nearest that is known.
    seen = weight.reshape(anatomy.GRID) >= 20
    mean = _spread(mean.reshape(anatomy.GRID), seen).ravel()
    filled = np.where(known, data, mean)
    for _ in range(rounds):
        fit = principal(filled, count)
        scores = project(fit, filled)
        filled = np.where(known, data, fit.mean + scores @ fit.modes).astype(np.float32)
    return Modes(mean, fit.modes * seen.ravel(), fit.explained)


def _spread(values: Doubles, seen: Bools) -> Doubles:
    """Continue the known values into the unknown ones, smoothly."""
    total, weight = values * seen, seen.astype(np.float64)
    result = np.where(seen, values, 0.0)
    for sigma in (2.0, 4.0, 8.0, 16.0, 32.0):
        near = cv2.GaussianBlur(weight, (0, 0), sigma)
        result = np.where(weight + (result != 0) > 0, result, cv2.GaussianBlur(total, (0, 0), sigma) / (near + 1e-9))
        result = np.where((near < 0.02) & ~seen, 0.0, result)
    return np.asarray(result)


def project(fit: Modes, data: Doubles | Floats) -> Doubles:
    """Return the scores (n, k) of rows of `data`, in standard deviations."""
    squared = (fit.modes**2).sum(axis=1)
    return np.asarray((data - fit.mean) @ fit.modes.T / squared)


def taper(known: Bools) -> Floats:
    """Return the weight (rows, columns) of the modes: 0 where fewer than a third of the images know anything."""
    share = known.mean(axis=0).reshape(anatomy.GRID).astype(np.float32)
    return cv2.GaussianBlur(np.clip((share - 0.3) / 0.4, 0, 1), (0, 0), 3.0).astype(np.float32)


@dataclass(frozen=True)
class Fit:
    """A fitted chest: shape modes over (points × 2), appearance modes over the frame, aspect mean and deviation."""

    shape: Modes
    looks: Modes
    aspect: tuple[float, float]


@dataclass(frozen=True)
class Material:
    """What a fit is made of: shapes (n, points × 2); appearance and where it is known (n, grid); aspects (m,)."""

    shapes: Doubles
    looks: Floats
    known: Bools
    aspects: Doubles


def prepare(cases: list[OutlinedChest]) -> Material:
    """Normalise all cases; leave out collapsed lungs and images without contrast."""
    shapes = np.stack([normalised_points(case) for case in cases])
    usual = usual_shapes(shapes)
    mean_points = shapes[usual].mean(axis=0)
    looks = []
    for case in (case for case, good in zip(cases, usual, strict=True) if good):
        try:
            looks.append(appearance(case, mean_points))
        except ValueError:
            continue
    sizes = np.stack([case.box()[1] for case in cases if case.site == TRUE_ASPECT_SITE])
    return Material(
        shapes=shapes[usual].reshape(int(usual.sum()), -1),
        looks=np.stack([values.ravel() for values, _ in looks]),
        known=np.stack([known.ravel() for _, known in looks]),
        aspects=sizes[:, 0] / sizes[:, 1],
    )


def fit(material: Material) -> Fit:
    """Fit means and modes."""
    return Fit(
        shape=principal(material.shapes, SHAPE_MODES),
        looks=principal_with_gaps(material.looks, material.known, APPEARANCE_MODES),
        aspect=(float(material.aspects.mean()), float(material.aspects.std())),
    )


def save(fitted: Fit, known: Bools, path: Path) -> None:
    """Write the model: float16 contours and mean, 8-bit modes."""
    modes = fitted.looks.modes.reshape(-1, *anatomy.GRID) * taper(known)
    scale = np.abs(modes).max(axis=(1, 2)) / 127
    np.savez_compressed(
        path,
        shape_mean=fitted.shape.mean.reshape(-1, 2).astype(np.float16),
        shape_modes=fitted.shape.modes.reshape(SHAPE_MODES, -1, 2).astype(np.float16),
        appearance_mean=np.round(fitted.looks.mean.reshape(anatomy.GRID), 2).astype(np.float16),
        appearance_modes=np.round(modes / scale[:, None, None]).astype(np.int8),
        appearance_scale=scale.astype(np.float32),
        aspect=np.array(fitted.aspect, dtype=np.float32),
    )


def residual(modes: Modes, data: Doubles | Floats, known: Bools) -> Doubles:
    """Return the root mean square (n,) of what the modes leave of each row, over its known values."""
    filled = np.where(known, data, modes.mean)
    left = (filled - modes.mean - project(modes, filled) @ modes.modes) * known
    return np.asarray(np.sqrt((left**2).sum(axis=1) / known.sum(axis=1)))


def highest_correlation(samples: Doubles, data: Floats, mean: Doubles, known: Bools) -> Doubles:
    """Return, for each row of `data`, its highest correlation with any sample, both less the mean (n,)."""
    everywhere = known.mean(axis=0) > 0.9
    left = (np.where(known, data, mean) - mean)[:, everywhere]
    right = (samples - mean)[:, everywhere]
    left = left / np.linalg.norm(left, axis=1, keepdims=True)
    right = right / np.linalg.norm(right, axis=1, keepdims=True)
    return np.asarray((left @ right.T).max(axis=1))


def membership(inside: Doubles, outside: Doubles) -> float:
    """Return the area under the curve of "a smaller value means a member": 0.5 tells nothing."""
    return float((inside[:, None] < outside[None, :]).mean() + 0.5 * (inside[:, None] == outside[None, :]).mean())


def measure(material: Material, *, folds: int = 5, samples: int = 300, seed: int = 0) -> dict[str, float]:
    """Measure what the model knows of the patients it was fitted to, against patients it never saw.

    In each fold four fifths are fitted and one fifth is held out. Returned are the residuals (root mean square,
    lung = 0 and heart = 1) inside and outside, the area under the curve of telling members by their residual, and
    the highest correlation of any of `samples` drawn appearances with a patient's, inside and outside.
    """
    random = np.random.default_rng(seed)
    fold = random.permutation(len(material.looks)) % folds
    parts: dict[str, list[Doubles]] = {"residual_in": [], "residual_out": [], "nearest_in": [], "nearest_out": []}
    for number in range(folds):
        for_fit, held = fold != number, fold == number
        modes = principal_with_gaps(material.looks[for_fit], material.known[for_fit], APPEARANCE_MODES, rounds=4)
        drawn = modes.mean + random.normal(0, 1, (samples, APPEARANCE_MODES)) @ modes.modes
        for suffix, chosen in (("in", for_fit), ("out", held)):
            data, known = material.looks[chosen], material.known[chosen]
            parts[f"residual_{suffix}"].append(residual(modes, data, known))
            parts[f"nearest_{suffix}"].append(highest_correlation(drawn, data, modes.mean, known))
    pairs = zip(parts["residual_in"], parts["residual_out"], strict=True)
    near = zip(parts["nearest_in"], parts["nearest_out"], strict=True)
    return {
        **{name: round(float(np.concatenate(values).mean()), 4) for name, values in parts.items()},
        "membership_auc_by_residual": round(float(np.mean([membership(*pair) for pair in pairs])), 3),
        "membership_auc_by_nearest": round(float(np.mean([1 - membership(*pair) for pair in near])), 3),
    }


def main() -> None:
    """Fit, save, and report."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    cases = read_cases(options.data)
    material = prepare(cases)
    fitted = fit(material)
    save(fitted, material.known, options.model)
    report = {
        "images": len(cases),
        "shapes_fitted": len(material.shapes),
        "appearances_fitted": len(material.looks),
        "shape_variance_explained": round(float(fitted.shape.explained.sum()), 3),
        "appearance_variance_explained": round(float(fitted.looks.explained.sum()), 3),
        "aspect": [round(value, 3) for value in fitted.aspect],
        "bytes": options.model.stat().st_size,
        **measure(material),
    }
    text = json.dumps(report, indent=2)
    if options.report:
        options.report.write_text(text + "\n")
    print(text)  # noqa: T201 - the report is this command's output


if __name__ == "__main__":
    main()
