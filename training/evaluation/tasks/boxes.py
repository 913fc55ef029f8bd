"""Evaluate the regressed box of the heart beside the box of its mask: overlap, and error of the ratio of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle.store import Bundle
from models.chest import anatomy
from models.chest.analyser import ChestAnalyser
from models.chest.anatomy import Size
from models.image.inputs import ModelInput
from models.values.findings import Box
from training.evaluation.report import plots
from training.evaluation.report.outcome import Canvas, EvaluationOutcome, Plot, plain
from training.evaluation.report.pictures import Outline, outlines
from training.evaluation.serving import Server
from training.evaluation.tasks.anatomy import reference_box
from training.evaluation.truths import Case, Truth
from training.measures import bootstrap
from training.measures.places import box_overlap, filled

REGRESSION, MASK = "regression", "mask"
BOTH = "both sites"
OVERLAP = "heart box by {}, intersection over union"
WORST = 8


@dataclass(frozen=True)
class BoxResult:
    """One image: overlap with the reference box, and cardiothoracic ratio, by way (NaN: not found)."""

    case: Case
    overlap: dict[str, float]
    ratio: dict[str, float]
    true_ratio: float
    outline: Outline


def evaluate(
    bundle: Bundle, truth: Truth, split: str, canvas: Canvas, dependencies: Path | None = None
) -> EvaluationOutcome:
    """Measure on the cases of a truth; the thoracic width is that of the lung masks, for both ways."""
    server = Server(bundle, dependencies, with_gate=False)
    analyser = ChestAnalyser.load([server.segmenter])
    results = [_result(server, analyser, case, canvas) for case in truth.cases]
    outcome = EvaluationOutcome()
    for site in (*sorted({one.case.site for one in results}, reverse=True), BOTH):
        group = [one for one in results if site in (one.case.site, BOTH)]
        _figures(group, f"{site}, {split} split, source grid", outcome)
    outcome.plots.extend(_draw(results, canvas.folder))
    outcome.report = {
        "images": len(results),
        "patients": len({one.case.patient for one in results}),
        "by_image": [
            {
                "id": one.case.id,
                "site": one.case.site,
                **{f"overlap_by_{way}": plain(value) for way, value in one.overlap.items()},
                **{f"ratio_by_{way}": plain(value) for way, value in one.ratio.items()},
                "ratio_from_masks": plain(one.true_ratio),
            }
            for one in results
        ],
    }
    return outcome


def box_of(edges: NDArray[np.floating], model_input: ModelInput) -> Box:
    """Bring xmin, ymin, xmax, ymax, as parts of the model grid's edge, to whole pixels of the canonical grid."""
    size = model_input.letterbox.size
    x0, y0, x1, y1 = (float(edge) * size for edge in edges)
    rows, columns = model_input.shape
    (top, left), (bottom, right) = (model_input.letterbox.point_to_image(*point) for point in ((y0, x0), (y1, x1)))
    xs = [min(max(round(x) + model_input.region.x0, 0), columns) for x in (left, right)]
    ys = [min(max(round(y) + model_input.region.y0, 0), rows) for y in (top, bottom)]
    return Box(min(xs), min(ys), max(xs), max(ys))


def _result(server: Server, analyser: ChestAnalyser, case: Case, canvas: Canvas) -> BoxResult:
    """Find both boxes of one image."""
    radiograph = case.read()
    served = server.serve(radiograph)
    found = box_of(served.answer.logits.reshape(-1, 4)[0], served.model_input)
    size = anatomy.measure(analyser.anatomy_of(analyser.segment(radiograph), radiograph))
    reference = reference_box(case)
    overlap = {
        REGRESSION: box_overlap(found, reference),
        MASK: 0.0 if size.heart_box is None else box_overlap(size.heart_box, reference),
    }
    shape = radiograph.shape
    return BoxResult(
        case=case,
        overlap=overlap,
        ratio={REGRESSION: _ratio(found, size), MASK: _ratio(size.heart_box, size)},
        true_ratio=case.reference["ratio"],
        outline=Outline(
            f"{case.id}: {overlap[REGRESSION]:.3f}",
            filled([found], shape)[None],
            filled([reference], shape)[None],
            radiograph.pixels if canvas.pictures else None,
        ),
    )


def _ratio(box: Box | None, size: Size) -> float:
    """Return the cardiothoracic ratio with the width of a box."""
    return float("nan") if box is None or not size.thoracic_width else (box.x1 - box.x0) / size.thoracic_width


def _figures(group: Sequence[BoxResult], on: str, outcome: EvaluationOutcome) -> None:
    """Average both ways, and what one gains on the other."""
    patients = [one.case.patient for one in group]
    for way in (REGRESSION, MASK):
        errors = [abs(one.ratio[way] - one.true_ratio) for one in group]
        name = f"cardiothoracic ratio, width by {way}, mean absolute error against masks"
        outcome.add(
            bootstrap.mean_figure(OVERLAP.format(way), [one.overlap[way] for one in group], patients, on),
            bootstrap.mean_figure(name, errors, patients, on),
        )
    gain = [one.overlap[REGRESSION] - one.overlap[MASK] for one in group]
    outcome.add(bootstrap.mean_figure("heart box, overlap by regression less overlap by mask", gain, patients, on))


def _draw(results: Sequence[BoxResult], folder: Path) -> list[Plot]:
    """Draw overlap by way and site, agreement of the ratio, and the worst boxes."""
    sites = sorted({one.case.site for one in results}, reverse=True)
    groups = {
        f"{way}, {site}": [one.overlap[way] for one in results if one.case.site == site]
        for way in (REGRESSION, MASK)
        for site in sites
    }
    plots.distributions(groups, "intersection over union", folder / "overlap.png")
    known = [one for one in results if not np.isnan(one.ratio[REGRESSION])]
    plots.agreement(
        [one.true_ratio for one in known],
        [one.ratio[REGRESSION] for one in known],
        folder / "cardiothoracic-ratio.png",
    )
    worst = sorted(results, key=lambda one: one.overlap[REGRESSION])[:WORST]
    outlines([one.outline for one in worst], folder / "worst-cases.png")
    return [
        Plot("overlap.png", "Overlap of the boxes", "Intersection over union with the reference. One point an image."),
        Plot(
            "cardiothoracic-ratio.png",
            "Cardiothoracic ratio by the box, Bland and Altman",
            "Found minus reference over their mean; bias and limits of agreement.",
        ),
        Plot("worst-cases.png", "Worst cases", "Boxes with the least overlap. Pale: reference; blue: found."),
    ]
