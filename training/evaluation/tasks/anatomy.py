"""Evaluate the lungs-heart bundle: overlap and distance by site, cardiothoracic ratio, heart box, the gate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import Figure
from models.bundle.store import Bundle
from models.chest import anatomy
from models.chest.analyser import ChestAnalyser
from models.chest.anatomy import Size
from models.values.findings import Box
from training.data import collection, terms
from training.data.sources import SourceRefused
from training.data.splits import Split
from training.evaluation.report import plots
from training.evaluation.report.outcome import Canvas, EvaluationOutcome, Plot, Table, plain
from training.evaluation.report.pictures import Outline, outlines
from training.evaluation.truths import Case, Truth
from training.measures import bootstrap, overlap
from training.measures.places import box_overlap

Mask = NDArray[np.bool_]
STRUCTURES = ("right lung", "left lung", "lungs", "heart", "lungs outside the heart")
BOTH = "both sites"
NOT_TRAINED_ON = "site not trained on"
"""Stands in `measured_on` of figures of a site that the weights have not seen."""
ELSEWHERE = "trained on"
"""Stands in that, and in what training/evaluation/cross_site.py says ("jsrt, trained on wingspan")."""
RATIO_ERROR = "cardiothoracic ratio, mean absolute error against masks"
WORST = 12
# Read through the serving path, so not all of the larger sets: every n-th image of the split.
GATE_STEP = {"ctr": 1, "kermany": 2, "nih": 2}
GATE_FILE = "gate.json"
"""Rates on validation, written by the export."""


@dataclass(frozen=True)
class AnatomyResult:
    """One image: overlap and distance by structure, and measurements found and true (NaN: not found)."""

    case: Case
    dice: dict[str, float]
    union: dict[str, float]
    distance: dict[str, float]
    ratio: float
    box: float
    area_error: float
    outline: Outline

    @property
    def site(self) -> str:
        """The hospital."""
        return self.case.site

    def reference(self, name: str) -> float:
        """Return a measured value of the data set."""
        return self.case.reference.get(name, float("nan"))


def evaluate(bundle: Bundle, truth: Truth, split: Split, canvas: Canvas, data: Path) -> EvaluationOutcome:
    """Measure on the cases of a truth, and count what the gate accepts among chests of all sets."""
    analyser = ChestAnalyser.load([bundle])
    results = [_result(analyser, case, canvas) for case in truth.cases]
    outcome = EvaluationOutcome()
    outcome.add(*_figures(results, unseen_sites(bundle, results), split))
    outcome.plots.extend(_draw(results, canvas.folder))
    stored = bundle.path / "evaluation" / GATE_FILE
    validation = json.loads(stored.read_text())["rates"] if stored.exists() else []
    gate = gate_rates(analyser, data, split)
    outcome.tables.append(_gate_table([*gate, *validation]))
    outcome.report = {
        "images": len(results),
        "patients": len({one.case.patient for one in results}),
        "undefined": _undefined(results),
        "gate": {split: gate, "validation": validation},
        "by_image": [_plain(one) for one in results],
    }
    return outcome


def unseen_sites(bundle: Bundle, results: list[AnatomyResult]) -> set[str]:
    """Return the sites that the manifest's training data do not name."""
    trained = {one.name for one in bundle.manifest.training_data}
    return {one.site for one in results if terms.NAMES.get(one.site) not in trained}


def gate_rates(analyser: ChestAnalyser, data: Path, split: Split) -> list[dict[str, Any]]:
    """Count what the gate accepts among frontal chests of a split; sets that are not there are left out."""
    rates: list[dict[str, Any]] = []
    for name, step in GATE_STEP.items():
        try:
            images = collection.read(data, collection.SHIPPED[name])
        except SourceRefused:
            continue
        verdicts = [analyser.judge(images.records[one].image()) for one in images.ids(split)[::step]]
        refused = sorted(v.detail for v in verdicts if not v.passed)
        accepted = len(verdicts) - len(refused)
        rates.append({"images": f"{name} {split}", "accepted": accepted, "of": len(verdicts), "refused": refused})
    return rates


def _result(analyser: ChestAnalyser, case: Case, canvas: Canvas) -> AnatomyResult:
    """Segment one image as a worker does and compare on its own grid."""
    if case.place is None:
        raise ValueError(f"{case.id} has no masks")
    truth = case.place()
    radiograph = case.read()
    shape = analyser.anatomy_of(analyser.segment(radiograph), radiograph)
    empty = np.zeros(truth.shape[1:], np.bool_)
    found = np.stack([empty if m is None else m for m in (shape.right_lung, shape.left_lung, shape.heart)])
    pairs = _pairs(found, truth)
    dice = {name: overlap.dice(*pair) for name, pair in pairs.items()}
    size = anatomy.measure(shape)
    areas = truth[:2].sum(axis=(1, 2)), found[:2].sum(axis=(1, 2))
    title = f"{case.id}: heart {dice['heart']:.3f}, lungs {dice['lungs']:.3f}"
    return AnatomyResult(
        case=case,
        dice=dice,
        union={name: overlap.intersection_over_union(*pair) for name, pair in pairs.items()},
        distance={name: overlap.hausdorff95(*pair, radiograph.spacing_mm) for name, pair in pairs.items()},
        ratio=float("nan") if size.cardiothoracic_ratio is None else size.cardiothoracic_ratio,
        box=_box_overlap(size, case),
        area_error=float(np.abs(areas[1] - areas[0]).sum() / areas[0].sum()),
        outline=Outline(title, found, truth, radiograph.pixels if canvas.pictures else None),
    )


def _pairs(found: Mask, truth: Mask) -> dict[str, tuple[Mask, Mask]]:
    """Return found and true mask of each structure."""
    outside = ~truth[2]
    lungs, true_lungs = found[0] | found[1], truth[0] | truth[1]
    pairs = (
        (found[0], truth[0]),
        (found[1], truth[1]),
        (lungs, true_lungs),
        (found[2], truth[2]),
        (lungs & outside, true_lungs & outside),
    )
    return dict(zip(STRUCTURES, pairs, strict=True))


def _box_overlap(size: Size, case: Case) -> float:
    """Return the overlap of the box of the heart's mask with the reference; 0 where no heart was found."""
    return 0.0 if size.heart_box is None else box_overlap(size.heart_box, reference_box(case))


def reference_box(case: Case) -> Box:
    """Return the reference box of the heart."""
    if "heart_x0" not in case.reference:
        raise ValueError(f"{case.id} has no heart box")
    edges = (round(case.reference[f"heart_{edge}"]) for edge in ("x0", "y0", "x1", "y1"))
    return Box(*edges)


def _figures(results: list[AnatomyResult], unseen: set[str], split: str) -> list[Figure]:
    """Average by site and over both."""
    made: list[Figure | None] = []
    for site in (*sorted({one.site for one in results}, reverse=True), BOTH):
        group = [one for one in results if site in (one.site, BOTH)]
        named = f"{site}, {NOT_TRAINED_ON}" if site in unseen or (site == BOTH and unseen) else site
        figure = partial(_mean, group, f"{named}, {split} split, source grid")
        made.extend(figure(f"Dice {name}", [one.dice[name] for one in group]) for name in STRUCTURES)
        errors = [one.ratio - one.reference("ratio") for one in group]
        made.append(figure(RATIO_ERROR, [abs(error) for error in errors]))
        made.append(figure("cardiothoracic ratio, mean difference from masks", errors))
        made.append(figure("heart box, intersection over union", [one.box for one in group]))
        made.append(figure("lung areas, relative absolute error", [one.area_error for one in group]))
        for name in ("lungs", "heart"):
            union, distance = [one.union[name] for one in group], [one.distance[name] for one in group]
            made.append(figure(f"intersection over union {name}", union))
            made.append(figure(f"Hausdorff distance 95 % {name}, pixels", distance))
    read = [one for one in results if not np.isnan(one.reference("ratio by readers"))]
    errors = [abs(one.ratio - one.reference("ratio by readers")) for one in read]
    sites = " and ".join(sorted({one.site for one in read}))
    name = "cardiothoracic ratio, mean absolute error against readers"
    made.append(_mean(read, f"{sites}, {split} split", name, errors))
    return [one for one in made if one is not None]


def _mean(group: list[AnatomyResult], on: str, name: str, values: list[float]) -> Figure | None:
    """Average a value of a group with its interval."""
    return bootstrap.mean_figure(name, values, [one.case.patient for one in group], on)


def _draw(results: list[AnatomyResult], folder: Path) -> list[Plot]:
    """Draw overlap, distance, agreement of the ratio, and the outlines of the worst."""
    sites = sorted({one.site for one in results}, reverse=True)
    for measure, file, label in (("dice", "dice.png", "Dice"), ("distance", "hausdorff.png", "pixels")):
        groups = {
            f"{name}, {site}": [getattr(one, measure)[name] for one in results if one.site == site]
            for name in STRUCTURES
            for site in sites
        }
        plots.distributions(groups, label, folder / file)
    both = [(one.reference("ratio"), one.ratio) for one in results if not np.isnan(one.ratio)]
    plots.agreement([t for t, _ in both], [f for _, f in both], folder / "cardiothoracic-ratio.png")
    worst = sorted(results, key=lambda one: min(one.dice["heart"], one.dice["lungs"]))[:WORST]
    outlines([one.outline for one in worst], folder / "worst-cases.png")
    return [
        Plot("dice.png", "Dice", "Overlap with the reference: 1 is the same mask. One point an image."),
        Plot(
            "hausdorff.png",
            "Hausdorff distance, 95 %",
            "How far the outline is from the reference at its 95 % worst places, in pixels of the image file.",
        ),
        Plot(
            "cardiothoracic-ratio.png",
            "Cardiothoracic ratio, Bland and Altman",
            "Found minus reference over their mean; bias and limits of agreement.",
        ),
        Plot(
            "worst-cases.png",
            "Worst cases",
            "Images with the least Dice of heart or lungs. Pale: reference; blue: right lung, green: left lung, red: "
            "heart.",
        ),
    ]


def _undefined(results: list[AnatomyResult]) -> dict[str, int]:
    """Count, by structure, images where truth and answer are both empty: they have no Dice and are in no mean."""
    return {name: sum(bool(np.isnan(one.dice[name])) for one in results) for name in STRUCTURES}


def _gate_table(rates: list[dict[str, Any]]) -> Table:
    """Return the gate's rates as a table."""
    rows = tuple(
        (one["images"], str(one["accepted"]), str(one["of"]), f"{one['accepted'] / one['of']:.2%}") for one in rates
    )
    sentence = (
        "What the gate accepts. Pictures to be refused were made from validation images (quarter turns, upside down, "
        "enlarged cut-outs, exchanged quarters, black and white exchanged), drawn (noise, ramps, ellipses), or are MR "
        "slices of held-back volumes."
    )
    return Table("Acceptance by the gate", sentence, ("images", "accepted", "of", "part"), rows)


def _plain(one: AnatomyResult) -> dict[str, Any]:
    """Return the numbers of one image for the report."""
    return {
        "id": one.case.id,
        "site": one.site,
        **{f"dice_{name.replace(' ', '_')}": plain(value) for name, value in one.dice.items()},
        **{f"hausdorff95_{name.replace(' ', '_')}": plain(value) for name, value in one.distance.items()},
        "ctr_found": plain(one.ratio),
        "ctr_from_masks": plain(one.reference("ratio")),
        "heart_box_overlap": plain(one.box),
    }
