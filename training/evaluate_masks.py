"""Test figures of the lungs-heart bundle: Dice by site, cardiothoracic ratio, heart box, acceptance by the gate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import anatomy
from models.bundle import Bundle, Figure
from models.chest import ChestAnalyser
from models.findings import Box
from training import cache, figures, metrics, splits
from training.cache import Sample

SITES = ("wingspan", "jsrt")
STRUCTURES = ("right lung", "left lung", "lungs", "heart", "lungs outside the heart")
WORST = 12
# Read through the serving path, so not all of the larger sets: every n-th image of the test split.
GATE_STEP = {"ctr": 1, "kermany": 2, "nih": 2}


@dataclass(frozen=True)
class Result:
    """One test image: Dice by structure, and measurements found and true (NaN: not found)."""

    id: str
    site: str
    dice: dict[str, float]
    ratio_found: float
    ratio_true: float
    ratio_readers: float
    box_overlap: float
    area_error: float
    case: figures.Case


def evaluate(bundle: Bundle, data: Path) -> tuple[tuple[Figure, ...], dict[str, Any]]:
    """Measure on the test split of ctr, draw the plots, and count what the gate accepts among test images."""
    analyser = ChestAnalyser.load([bundle])
    rows = {row["id"]: row for row in splits.read_table(data, "ctr")}
    results = [_result(analyser, sample, rows[sample.id]) for sample in _samples(data, "ctr")]
    folder = bundle.path / "evaluation"
    _draw(results, folder)
    gate = gate_rates(analyser, data)
    validation = json.loads((folder / "gate.json").read_text())["rates"]
    report = {
        "images": len(results),
        "by_image": [_plain(one) for one in results],
        "gate": {"test": gate, "validation": validation},
    }
    return tuple(_figures(results)), report


def gate_rates(analyser: ChestAnalyser, data: Path) -> list[dict[str, Any]]:
    """Count what the gate accepts among frontal chests of the test splits."""
    rates: list[dict[str, Any]] = []
    for name, step in GATE_STEP.items():
        ids = set(splits.read(name, "test")[::step])
        verdicts = [analyser.judge(one.radiograph) for one in cache.READERS[name](data) if one.id in ids]
        refused = sorted(v.detail for v in verdicts if not v.passed)
        accepted = len(verdicts) - len(refused)
        rates.append({"images": f"{name} test", "accepted": accepted, "of": len(verdicts), "refused": refused})
    return rates


def _samples(data: Path, name: str) -> list[Sample]:
    """Read the test split of a set."""
    ids = set(splits.read(name, "test"))
    return [sample for sample in cache.READERS[name](data) if sample.id in ids]


def _result(analyser: ChestAnalyser, sample: Sample, row: dict[str, str]) -> Result:
    """Segment one image as a worker does and compare on its own grid."""
    if sample.masks is None:
        raise ValueError(f"{sample.id} has no masks")
    truth = sample.masks > 0
    shape = analyser.anatomy_of(analyser.segment(sample.radiograph), sample.radiograph)
    empty = np.zeros(truth.shape[1:], np.bool_)
    found = np.stack([empty if m is None else m for m in (shape.right_lung, shape.left_lung, shape.heart)])
    outside = ~truth[2]
    lungs, true_lungs = found[0] | found[1], truth[0] | truth[1]
    pairs = (
        (found[0], truth[0]),
        (found[1], truth[1]),
        (lungs, true_lungs),
        (found[2], truth[2]),
        (lungs & outside, true_lungs & outside),
    )
    dice = {name: metrics.dice(*pair) for name, pair in zip(STRUCTURES, pairs, strict=True)}
    size = anatomy.measure(shape)
    reference = Box(*(int(row[f"heart_{edge}"]) for edge in ("x0", "y0", "x1", "y1")))
    ratio = size.cardiothoracic_ratio
    areas = truth[:2].sum(axis=(1, 2)), found[:2].sum(axis=(1, 2))
    return Result(
        id=sample.id,
        site=row["site"],
        dice=dice,
        ratio_found=float("nan") if ratio is None else ratio,
        ratio_true=float(row["ctr_from_masks"]),
        ratio_readers=float(row["ctr_given"]) if row["ctr_given"] else float("nan"),
        box_overlap=0.0 if size.heart_box is None else box_overlap(size.heart_box, reference),
        area_error=float(np.abs(areas[1] - areas[0]).sum() / areas[0].sum()),
        case=figures.Case(f"{sample.id}: heart {dice['heart']:.3f}, lungs {dice['lungs']:.3f}", found, truth),
    )


def box_overlap(one: Box, other: Box) -> float:
    """Give intersection over union of two boxes."""
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    common = max(0, wide) * max(0, high)
    areas = sum((box.x1 - box.x0) * (box.y1 - box.y0) for box in (one, other))
    return common / (areas - common)


def _figures(results: list[Result]) -> list[Figure]:
    """Average by site and over both."""
    made: list[Figure] = []
    for site in (*SITES, "both sites"):
        group = [one for one in results if site in (one.site, "both sites")]
        on = f"{site}, test split, source grid"
        for structure in STRUCTURES:
            made.append(metrics.figure(f"Dice {structure}", [one.dice[structure] for one in group], on))
        errors = [abs(one.ratio_found - one.ratio_true) for one in group]
        made.append(metrics.figure("cardiothoracic ratio, mean absolute error against masks", errors, on))
        bias = [one.ratio_found - one.ratio_true for one in group]
        made.append(metrics.figure("cardiothoracic ratio, mean difference from masks", bias, on))
        made.append(metrics.figure("heart box, intersection over union", [one.box_overlap for one in group], on))
        made.append(metrics.figure("lung areas, relative absolute error", [one.area_error for one in group], on))
    read = [abs(one.ratio_found - one.ratio_readers) for one in results if not np.isnan(one.ratio_readers)]
    made.append(
        metrics.figure("cardiothoracic ratio, mean absolute error against readers", read, "wingspan, test split")
    )
    return made


def _draw(results: list[Result], folder: Path) -> None:
    """Draw Dice, agreement of the ratio, and the contours of the worst."""
    groups = {f"{s}, {site}": [o.dice[s] for o in results if o.site == site] for s in STRUCTURES for site in SITES}
    figures.distributions(groups, folder / "dice.png")
    both = [(one.ratio_true, one.ratio_found) for one in results if not np.isnan(one.ratio_found)]
    figures.agreement([t for t, _ in both], [f for _, f in both], folder / "cardiothoracic-ratio.png")
    worst = sorted(results, key=lambda one: min(one.dice["heart"], one.dice["lungs"]))[:WORST]
    figures.contours([one.case for one in worst], folder / "worst-cases.png")


def _plain(one: Result) -> dict[str, Any]:
    """Give the numbers of one image for the report."""
    return {
        "id": one.id,
        "site": one.site,
        **{f"dice_{name.replace(' ', '_')}": _rounded(value) for name, value in one.dice.items()},
        "ctr_found": _rounded(one.ratio_found),
        "ctr_from_masks": _rounded(one.ratio_true),
        "heart_box_overlap": _rounded(one.box_overlap),
    }


def _rounded(value: float | NDArray[np.floating]) -> float | None:
    """Round for the report; None for NaN, which JSON does not know."""
    return None if np.isnan(value) else round(float(value), 4)
