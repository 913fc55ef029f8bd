"""Engineered features of a chest radiograph within its lung masks.

Every feature is a named number; NaN means that what it is measured on was not found. Lengths are parts of the lungs'
height or width, areas parts of the picture, grey values those of the image stretched as for the networks. Of both
lungs there is the value of each side and the difference; a collapse is small, dense, and pulls at its neighbours.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.chest.anatomy import Anatomy, bounding_box, measure
from models.values.findings import Box
from training.data.sources import Record
from training.tasks.classical import texture

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
# Raised when a feature is computed in another way; part of the cache's name.
REVISION = 1
PERCENTILES = (5, 25, 50, 75, 95)
BINS = 8
STRETCH = (0.5, 99.5)
# Pixels around a lung that are cut out with it.
ROOM = 10
NAN = float("nan")


def of_image(image: NDArray[np.uint8], anatomy: Anatomy) -> dict[str, float]:
    """Return all features of one image.

    Parameters
    ----------
    image
        (rows, columns), bright is dense, the patient's left on the right.
    anatomy
        Masks on the same grid.
    """
    grey = stretched(image)
    found: dict[str, float] = {}
    sides = {"right": anatomy.right_lung, "left": anatomy.left_lung}
    for side, mask in sides.items():
        for name, value in _lung(grey, mask, medial_is_right=side == "right").items():
            found[f"{side}.{name}"] = value
    names = sorted(name.removeprefix("right.") for name in found if name.startswith("right."))
    found |= {f"left-right.{name}": found[f"left.{name}"] - found[f"right.{name}"] for name in names}
    found |= {f"both.{name}": value for name, value in _both(grey, anatomy).items()}
    return found


def of_patient(record: Record) -> dict[str, float]:
    """Return age, sex and view of an image; the view says how ill the patient was, so it is no innocent one."""
    return {
        "person.age": NAN if record.age_years is None else record.age_years,
        "person.male": {"M": 1.0, "F": 0.0}.get(record.sex or "", NAN),
        "person.ap": {"AP": 1.0, "PA": 0.0}.get(record.view or "", NAN),
    }


def stretched(image: NDArray[np.uint8]) -> Float:
    """Stretch between two percentiles to [0, 1], at 256 pixels: finer detail is grain here."""
    small = cv2.resize(image.astype(np.float32), (256, 256), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(small, STRETCH)
    return np.asarray(np.clip((small - low) / max(float(high - low), 1e-6), 0, 1), np.float32)


def _lung(grey: Float, given: Mask | None, *, medial_is_right: bool) -> dict[str, float]:
    """Measure one lung; a lung that was not found is one white square, whose values are then all called unknown."""
    mask = np.zeros(grey.shape, np.bool_) if given is None else _on_grid(given, grey.shape)
    known = bool(mask.sum() > 50)
    if not known:
        mask[100:150, 100:150] = True
    values = {
        **_outline(mask),
        **_grey(grey, mask, "grey"),
        **_zones(grey, mask, medial_is_right=medial_is_right),
        **_texture(*_cut(grey, mask)),
        **_missing(grey, mask),
    }
    return values if known else dict.fromkeys(values, NAN)


def _outline(mask: Mask) -> dict[str, float]:
    """Measure shape: size, slenderness, how straight the base is."""
    box = _box(mask)
    high, wide = box.y1 - box.y0, box.x1 - box.x0
    columns = np.flatnonzero(mask.any(axis=0))
    base = mask.shape[0] - mask[::-1, columns].argmax(axis=0)
    thirds = np.array_split(base, 3)
    return {
        "area": float(mask.mean()),
        "height": high / mask.shape[0],
        "width": wide / mask.shape[1],
        "height-over-width": high / wide,
        "fill": float(mask.sum()) / (high * wide),
        "apex": box.y0 / mask.shape[0],
        "base": float(np.median(base)) / mask.shape[0],
        "base-roughness": float(base.std()) / high,
        "base-slope": float(thirds[-1].mean() - thirds[0].mean()) / high,
    }


def _grey(grey: Float, mask: Mask, name: str) -> dict[str, float]:
    """Describe the grey values of a region: moments, percentiles, histogram."""
    values = grey[mask].astype(np.float64)
    spread = float(values.std())
    counts = np.histogram(values, bins=BINS, range=(0, 1))[0] / len(values)
    return {
        f"{name}.mean": float(values.mean()),
        f"{name}.deviation": spread,
        f"{name}.skewness": float(stats.skew(values)) if spread > 1e-6 else 0.0,
        f"{name}.kurtosis": float(stats.kurtosis(values)) if spread > 1e-6 else 0.0,
        **{f"{name}.p{p:02d}": float(v) for p, v in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)},
        **{f"{name}.bin{i}": float(part) for i, part in enumerate(counts)},
    }


def _zones(grey: Float, mask: Mask, *, medial_is_right: bool) -> dict[str, float]:
    """Describe upper, middle and lower thirds, each with its medial and lateral half, and lower against upper."""
    box = _box(mask)
    edges = np.linspace(box.y0, box.y1, 4).round().astype(int)
    middle = (box.x0 + box.x1) // 2
    halves = {"lateral": slice(box.x0, middle), "medial": slice(middle, box.x1)}
    if not medial_is_right:
        halves = {"medial": halves["lateral"], "lateral": halves["medial"]}
    steep = texture.gradient(grey)
    lying, standing = texture.ridges(grey, sigma=2.0)
    found: dict[str, float] = {}
    for index, zone in enumerate(("upper", "middle", "lower")):
        rows = slice(edges[index], edges[index + 1])
        part = np.zeros_like(mask)
        part[rows] = mask[rows]
        found[f"{zone}.mean"], found[f"{zone}.deviation"] = _mean(grey, part), _deviation(grey, part)
        found[f"{zone}.gradient"] = _mean(steep, part)
        found[f"{zone}.lying"] = _mean(np.maximum(lying, 0), part)
        found[f"{zone}.standing"] = _mean(np.maximum(standing, 0), part)
        for half, columns in halves.items():
            found[f"{zone}.{half}"] = _mean(grey[rows, columns], mask[rows, columns])
    found["lower-upper"] = found["lower.mean"] - found["upper.mean"]
    found["lower-middle"] = found["lower.mean"] - found["middle.mean"]
    return found


def _texture(grey: Float, mask: Mask) -> dict[str, float]:
    """Describe texture, on grey values equalised within the lung, so that exposure matters less."""
    inside = grey[mask]
    low, high = np.percentile(inside, (2, 98))
    even = np.asarray(np.clip((grey - low) / max(float(high - low), 1e-6), 0, 1), np.float32)
    found: dict[str, float] = {}
    for distance in (1, 4):
        matrix = texture.cooccurrence(even, mask, distance=distance)
        found |= {f"cooccurrence{distance}.{name}": v for name, v in texture.haralick(matrix).items()}
    for radius in (1, 3):
        smooth = np.asarray(cv2.GaussianBlur(even, (0, 0), radius / 2), np.float32)
        bins = texture.binary_patterns(smooth, mask, radius=radius)
        found |= {f"patterns{radius}.{i}": float(part) for i, part in enumerate(bins)}
    found |= {f"orientation{i}": float(part) for i, part in enumerate(texture.orientations(even, mask))}
    for sigma in (1.5, 3.0):
        lying, standing = texture.ridges(even, sigma=sigma)
        found[f"ridges{sigma:g}.lying"] = float(np.percentile(lying[mask], 95))
        found[f"ridges{sigma:g}.standing"] = float(np.percentile(standing[mask], 95))
    return found


def _missing(grey: Float, mask: Mask) -> dict[str, float]:
    """Measure what the convex hull has and the mask has not: notches, blunted angles, opacities left out."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(contours)), 1)
    gap = (hull > 0) & ~mask
    return {"hull.missing": float(gap.sum() / mask.sum()), "hull.grey": _mean(grey, gap)}


def _both(grey: Float, anatomy: Anatomy) -> dict[str, float]:
    """Measure what needs both lungs: ratios, levels of the diaphragm, place and size of the heart and mediastinum."""
    size = measure(anatomy)
    right, left = (None if m is None else _on_grid(m, grey.shape) for m in (anatomy.right_lung, anatomy.left_lung))
    ratio = size.cardiothoracic_ratio
    found = {"cardiothoracic-ratio": NAN if ratio is None else ratio}
    if right is None or left is None or min(right.sum(), left.sum()) < 50:
        return found | dict.fromkeys(_BOTH, NAN)
    a, b, chest = _box(right), _box(left), _box(right | left)
    high, wide = chest.y1 - chest.y0, chest.x1 - chest.x0
    heart = None if anatomy.heart is None else _on_grid(anatomy.heart, grey.shape)
    beating = heart is not None and bool(heart.sum() > 50)
    between = _between(right, left)
    lungs = right | left
    centre = _box(heart) if heart is not None and beating else None
    values = (
        float(np.log(right.sum() / left.sum())),
        (b.y1 - a.y1) / high,
        (b.y0 - a.y0) / high,
        max(0, b.x0 - a.x1) / wide,
        (b.x1 - b.x0) / (a.x1 - a.x0),
        high / wide,
        float(lungs.mean()),
        NAN if centre is None else ((centre.x0 + centre.x1) / 2 - chest.x0) / wide,
        NAN if centre is None else (centre.y1 - chest.y0) / high,
        NAN if heart is None or centre is None else float(heart.sum() / lungs.sum()),
        _mean(grey, between) - _mean(grey, lungs),
        NAN if heart is None or centre is None else _mean(grey, heart) - _mean(grey, lungs),
        _mean(grey, lungs),
        _deviation(grey, lungs),
        _mean(grey, ~lungs),
    )
    return found | dict(zip(_BOTH, values, strict=True))


_BOTH = (
    "area-ratio",
    "base-difference",
    "apex-difference",
    "gap",
    "width-ratio",
    "height-over-width",
    "area",
    "heart-place",
    "heart-level",
    "heart-area",
    "mediastinum-against-lungs",
    "heart-against-lungs",
    "mean",
    "deviation",
    "outside-mean",
)


def _between(right: Mask, left: Mask) -> Mask:
    """Return what lies between the two lungs, row by row."""
    after = np.maximum.accumulate(right, axis=1) & ~right
    before = np.maximum.accumulate(left[:, ::-1], axis=1)[:, ::-1] & ~left
    return np.asarray(after & before, np.bool_)


def _on_grid(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Bring a mask to the grid of the features."""
    small = cv2.resize(mask.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small >= 0.5, np.bool_)


def _cut(grey: Float, mask: Mask) -> tuple[Float, Mask]:
    """Cut out the surroundings of a mask, with room for the filters."""
    box = _box(mask)
    part = slice(max(0, box.y0 - ROOM), box.y1 + ROOM), slice(max(0, box.x0 - ROOM), box.x1 + ROOM)
    return np.ascontiguousarray(grey[part]), np.ascontiguousarray(mask[part])


def _box(mask: Mask) -> Box:
    """Return the box around a mask that is not empty."""
    box = bounding_box(mask)
    if box is None:
        raise ValueError("an empty mask has no box")
    return box


def _mean(values: NDArray[np.floating], mask: Mask) -> float:
    """Average within a mask; NaN where it is empty."""
    return float(values[mask].mean()) if mask.any() else NAN


def _deviation(values: NDArray[np.floating], mask: Mask) -> float:
    """Return the standard deviation within a mask; NaN where it is empty."""
    return float(values[mask].std()) if mask.any() else NAN
