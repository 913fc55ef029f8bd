"""Evaluate a detector of boxes: the RSNA challenge's mean average precision, and whether it calls the right images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle.store import Bundle
from models.image.inputs import ModelInput
from models.values.findings import Box
from training.evaluation import subgroups
from training.evaluation.report import plots
from training.evaluation.report.outcome import Canvas, EvaluationOutcome, Plot, plain
from training.evaluation.report.pictures import Outline, outlines
from training.evaluation.serving import Server
from training.evaluation.tasks.boxes import box_of
from training.evaluation.truths import Case, Truth
from training.measures import bootstrap, scores
from training.measures.places import ScoredBox, box_overlap, filled, image_precision
from training.measures.scores import Scores

PRECISION = "mean average precision of the RSNA challenge (IoU 0.4 to 0.75)"
WORST = 12


@dataclass(frozen=True)
class DetectionResult:
    """One image: boxes found at or above the threshold, the best score of any, the true boxes."""

    case: Case
    found: tuple[ScoredBox, ...]
    best: float
    truth: tuple[Box, ...]
    outline: Outline

    @property
    def precision(self) -> float:
        """The challenge's value; NaN where there is nothing and nothing was found."""
        return image_precision(self.found, self.truth)


def evaluate(
    bundle: Bundle, truth: Truth, split: str, canvas: Canvas, dependencies: Path | None = None
) -> EvaluationOutcome:
    """Measure on the cases whose boxes are known."""
    server = Server(bundle, dependencies)
    asked = [case for case in truth.cases if not server.refused(case)]
    results = [_result(server, case, canvas) for case in asked if case.boxes is not None]
    on = f"{truth.data_set}, {split} split"
    outcome = EvaluationOutcome()
    precision, patients = [one.precision for one in results], [one.case.patient for one in results]
    threshold = bundle.manifest.operating_point(bundle.manifest.labels[0].name).threshold
    positive = np.array([bool(one.truth) for one in results])
    called = Scores(np.array([one.best for one in results]), positive, patients)
    outcome.add(
        bootstrap.mean_figure(PRECISION, precision, patients, on),
        bootstrap.mean_figure("overlap of the best box, images with boxes", _overlaps(results), patients, on),
        bootstrap.score_figure("AUC of the best box's score", scores.auc, called, on),
        bootstrap.score_figure(
            "sensitivity of any box", scores.sensitivity(threshold), called, on, count=int(positive.sum())
        ),
        bootstrap.score_figure(
            "specificity of any box", scores.specificity(threshold), called, on, count=int((~positive).sum())
        ),
    )
    groups = [one.case.groups for one in results]
    rows = subgroups.of_values(PRECISION, precision, patients, groups, on)
    outcome.tables.append(subgroups.table(rows, with_classes=False))
    outcome.plots.extend(_draw(results, threshold, called, canvas.folder))
    outcome.report = {
        "images": len(results),
        "patients": len(set(patients)),
        "outside_intended_use": len(truth.cases) - len(asked),
        "undefined": {
            "no box and none found, in no mean of the challenge": int(np.isnan(np.array(precision, float)).sum())
        },
        "subgroups": subgroups.plain(rows),
        "by_image": [
            {
                "id": one.case.id,
                "true_boxes": len(one.truth),
                "found_boxes": len(one.found),
                "best_score": plain(one.best),
                "precision": plain(one.precision),
            }
            for one in results
        ],
    }
    return outcome


def detections(rows: NDArray[np.floating], model_input: ModelInput, threshold: float) -> tuple[ScoredBox, ...]:
    """Bring a detector's rows (n, 6: x0, y0, x1, y1 in model pixels, score, label) to the canonical grid."""
    size = model_input.letterbox.size
    kept = [row for row in rows if row[4] > 0 and row[4] >= threshold]
    return tuple(ScoredBox(box_of(row[:4] / size, model_input), float(row[4])) for row in kept)


def _result(server: Server, case: Case, canvas: Canvas) -> DetectionResult:
    """Answer one image."""
    served = server.serve(case.read())
    manifest = server.bundle.manifest
    threshold = manifest.operating_point(manifest.labels[0].name).threshold
    found = detections(served.answer.logits, served.model_input, threshold)
    truth = case.boxes or ()
    shape = served.radiograph.shape
    outline = Outline(
        f"{case.id}: {len(found)} found, {len(truth)} true",
        filled([one.box for one in found], shape)[None],
        filled(truth, shape)[None],
        served.radiograph.pixels if canvas.pictures else None,
    )
    return DetectionResult(case, found, float(served.answer.logits[:, 4].max(initial=0.0)), truth, outline)


def _overlaps(results: Sequence[DetectionResult]) -> list[float]:
    """Return the overlap of the surest box with its nearest true one; NaN where there is no true box."""
    values: list[float] = []
    for one in results:
        surest = max(one.found, key=lambda scored: scored.score, default=None)
        best = 0.0 if surest is None else max((box_overlap(surest.box, box) for box in one.truth), default=0.0)
        values.append(best if one.truth else float("nan"))
    return values


def _draw(results: Sequence[DetectionResult], threshold: float, called: Scores, folder: Path) -> list[Plot]:
    """Draw the values of images with boxes, the scores, and the worst cases."""
    known = [one for one in results if one.truth]
    plots.distributions({"images with boxes": [one.precision for one in known]}, "precision", folder / "precision.png")
    groups = {"with boxes": called.probability[called.truth], "without": called.probability[~called.truth]}
    plots.histogram(groups, threshold, folder / "scores.png", label="best box's score")
    false = sorted((one for one in results if one.found and not one.truth), key=lambda one: -one.best)
    worst = [*sorted(known, key=lambda one: one.precision)[: WORST - 4], *false[:4]]
    outlines([one.outline for one in worst], folder / "worst-cases.png")
    return [
        Plot("precision.png", "Precision of the challenge", "TP / (TP + FP + FN) over its thresholds, by image."),
        Plot("scores.png", "Scores", "The best box's score of images with and without true boxes."),
        Plot(
            "worst-cases.png",
            "Worst cases",
            "Images with the least value, then the surest boxes where there is nothing. Pale: truth; blue: found.",
        ),
    ]
