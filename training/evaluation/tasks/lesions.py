"""Evaluate masks of a disease, behind the classifier that gates them: Dice, distance, the SIIM challenge's metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.calibration import calibrated
from models.bundle.store import Bundle
from models.chest import segmenter as outline_serving
from models.image.pixels import Radiograph
from training.evaluation import subgroups
from training.evaluation.report import plots
from training.evaluation.report.outcome import Canvas, EvaluationOutcome, Plot, plain
from training.evaluation.report.pictures import Outline, outlines
from training.evaluation.serving import Served, Server
from training.evaluation.truths import Case, Truth
from training.measures import bootstrap, overlap
from training.measures.overlap import SIIM_PREVALENCE
from training.measures.scores import Float, Measure, Scores

Mask = NDArray[np.bool_]
DICE_TRUE_POSITIVES = "Dice, mean over true positives"
DICE_POSITIVES = "Dice, mean over all positives (missed: 0)"
DISTANCE = "Hausdorff distance 95 %, pixels, mean over true positives"
SENSITIVITY, SPECIFICITY = "sensitivity of a mask", "specificity of a mask"
CHALLENGE = f"challenge metric at {SIIM_PREVALENCE:.0%} prevalence (empty against empty counts 1)"
UNGATED = "without the classifier's gate"
WORST, WORST_FALSE = 8, 4
SIZES = 4
"""Positives are shown in so many groups of equal number by the size of the true mask."""


@dataclass(frozen=True)
class LesionResult:
    """One image.

    Attributes
    ----------
    positive
        Whether there is a true lesion.
    found, ungated
        Whether a mask is given, behind the classifier and without it.
    dice, union, distance
        Of the mask without the gate; NaN where not defined.
    area
        Of the true mask, as a part of the image; `found_area` of the other.
    """

    case: Case
    positive: bool
    found: bool
    ungated: bool
    dice: float
    union: float
    distance: float
    area: float
    found_area: float
    accepted: bool | None
    outline: Outline


def evaluate(
    bundle: Bundle, truth: Truth, split: str, canvas: Canvas, dependencies: Path | None = None
) -> EvaluationOutcome:
    """Measure masks of one label, as serving answers them."""
    if len(bundle.manifest.labels) != 1:
        raise ValueError(f"{bundle.manifest.name} has {len(bundle.manifest.labels)} labels, one was expected")
    server = Server(bundle, dependencies)
    label = bundle.manifest.labels[0].name
    asked = [case for case in truth.cases if not server.refused(case)]
    known = [case for case in asked if case.place is not None and not np.isnan(case.truth.get(label, float("nan")))]
    results = [_result(server, case, label, canvas) for case in known]
    outcome = EvaluationOutcome()
    rows = _figures(results, truth, split, outcome)
    outcome.tables.append(subgroups.table(rows, with_classes=False))
    outcome.plots.extend(_draw(results, canvas.folder))
    outcome.report = _report(truth, results, asked, rows)
    return outcome


def _result(server: Server, case: Case, label: str, canvas: Canvas) -> LesionResult:
    """Answer one image and compare on its own grid."""
    if case.place is None:
        raise ValueError(f"{case.id} has no mask")
    truth = case.place()
    served, found = outlined(server, case.read())
    given = bool(found.any())
    title = f"{case.id}: {overlap.dice(found, truth):.2f}" if truth.any() else f"{case.id}: none there"
    return LesionResult(
        case=case,
        positive=case.truth[label] == 1,
        found=given and passes(server, case),
        ungated=given,
        dice=overlap.dice(found, truth),
        union=overlap.intersection_over_union(found, truth),
        distance=overlap.hausdorff95(found, truth, served.radiograph.spacing_mm),
        area=float(truth.mean()),
        found_area=float(found.mean()),
        accepted=served.accepted,
        outline=Outline(title, found[None], truth[None], served.radiograph.pixels if canvas.pictures else None),
    )


def outlined(server: Server, radiograph: Radiograph) -> tuple[Served, Mask]:
    """Answer one image with the mask (rows, columns) on its own grid, whatever the classifier before it says."""
    served, manifest = server.serve(radiograph), server.bundle.manifest
    probability = calibrated(served.answer.logits[0], manifest.calibration).astype(np.float32)
    square = outline_serving.region(probability, manifest, manifest.labels[0])
    return served, served.model_input.to_canonical(square.astype(np.float32)) >= 0.5


def passes(server: Server, case: Case) -> bool:
    """Return whether the classifier finds the disease; true where none stands before the masks."""
    keeper = server.gatekeeper
    if keeper is None:
        return True
    manifest = keeper.bundle.manifest
    probabilities = calibrated(keeper.serve(case.read(), case.patient_data).answer.logits, manifest.calibration)
    thresholds = [manifest.operating_point(one.name).threshold for one in manifest.labels]
    return bool((probabilities >= np.array(thresholds)).any())


def challenge(positive: Mask, prevalence: float = SIIM_PREVALENCE) -> Measure:
    """Return the challenge's metric as a measure of its values of each image (`overlap.challenge_values`)."""

    def measure(scores: Scores, weights: Float) -> Float:
        with np.errstate(invalid="ignore"):
            means = [(w @ scores.probability) / w.sum(axis=1) for w in (weights * positive, weights * ~positive)]
        return np.asarray(prevalence * means[0] + (1 - prevalence) * means[1], np.float64)

    return measure


def _figures(
    results: Sequence[LesionResult], truth: Truth, split: str, outcome: EvaluationOutcome
) -> list[subgroups.SubgroupRow]:
    """Add the figures: of the positives once, of the negatives and the challenge's for each comparison."""
    on = f"{truth.data_set}, {split} split"
    positives = [one for one in results if one.positive]
    hits = [one for one in positives if one.found]
    patients = [one.case.patient for one in hits]
    outcome.add(
        bootstrap.mean_figure(DICE_TRUE_POSITIVES, [one.dice for one in hits], patients, on),
        bootstrap.mean_figure(
            DICE_POSITIVES,
            [one.dice if one.found else 0.0 for one in positives],
            [one.case.patient for one in positives],
            on,
        ),
        bootstrap.mean_figure(
            "intersection over union, mean over true positives", [one.union for one in hits], patients, on
        ),
        bootstrap.mean_figure(DISTANCE, [one.distance for one in hits], patients, on),
        bootstrap.mean_figure(
            SENSITIVITY,
            [float(one.found) for one in positives],
            [one.case.patient for one in positives],
            on,
        ),
    )
    for comparison in truth.comparisons or ("",):
        taken = [one for one in results if one.positive or not comparison or comparison in one.case.against]
        name = f"{on}, against {comparison}" if comparison else on
        _against(taken, name, outcome)
    negatives = [one for one in results if not one.positive]
    parts: tuple[tuple[str, Sequence[LesionResult], Callable[[LesionResult], float]], ...] = (
        (DICE_TRUE_POSITIVES, hits, lambda one: one.dice),
        (DICE_POSITIVES, positives, lambda one: one.dice if one.found else 0.0),
        (DISTANCE, hits, lambda one: one.distance),
        (SENSITIVITY, positives, lambda one: float(one.found)),
        (SPECIFICITY, negatives, lambda one: float(not one.found)),
    )
    return [
        row
        for name, group, value in parts
        for row in subgroups.of_values(
            name,
            [value(one) for one in group],
            [one.case.patient for one in group],
            [one.case.groups for one in group],
            on,
        )
    ]


def _against(taken: Sequence[LesionResult], on: str, outcome: EvaluationOutcome) -> None:
    """Add what depends on the negatives."""
    negatives = [one for one in taken if not one.positive]
    if not negatives or len(negatives) == len(taken):
        return
    patients = [one.case.patient for one in negatives]
    outcome.add(bootstrap.mean_figure(SPECIFICITY, [float(not one.found) for one in negatives], patients, on))
    positive = np.array([one.positive for one in taken])
    dice = np.array([one.dice for one in taken])
    everyone = [one.case.patient for one in taken]
    for called, where in (([one.found for one in taken], on), ([one.ungated for one in taken], f"{on}, {UNGATED}")):
        values = overlap.challenge_values(dice, positive, np.array(called))
        outcome.add(bootstrap.score_figure(CHALLENGE, challenge(positive), Scores(values, positive, everyone), where))


def _draw(results: Sequence[LesionResult], folder: Path) -> list[Plot]:
    """Draw distributions over the size of the true mask, and the worst cases."""
    hits = sorted((one for one in results if one.positive and one.found), key=lambda one: one.area)
    parts = [part for part in np.array_split(np.arange(len(hits)), SIZES) if len(part)]
    named = {f"{hits[part[0]].area:.2%} to {hits[part[-1]].area:.2%}": [hits[i] for i in part] for part in parts}
    plots.distributions(
        {name: [one.dice for one in group] for name, group in named.items()}, "Dice", folder / "dice.png"
    )
    plots.distributions(
        {name: [one.distance for one in group] for name, group in named.items()}, "pixels", folder / "hausdorff.png"
    )
    worst = sorted(hits, key=lambda one: one.dice)[:WORST]
    false = sorted((one for one in results if one.found and not one.positive), key=lambda one: -one.found_area)
    outlines([one.outline for one in (*worst, *false[:WORST_FALSE])], folder / "worst-cases.png")
    return [
        Plot(
            "dice.png", "Dice of true positives", "By the size of the true mask as a part of the image, smallest left."
        ),
        Plot(
            "hausdorff.png",
            "Hausdorff distance, 95 %, of true positives",
            "How far the outline is from the reference at its 95 % worst places, in pixels of the image file.",
        ),
        Plot(
            "worst-cases.png",
            "Worst cases",
            "True positives with the least Dice, then the largest masks where there is nothing. Pale: truth; blue: "
            "found.",
        ),
    ]


def _report(
    truth: Truth, results: Sequence[LesionResult], asked: Sequence[Case], rows: Sequence[subgroups.SubgroupRow]
) -> dict[str, Any]:
    """Return every number."""
    negatives = [one for one in results if not one.positive]
    return {
        "images": len(results),
        "patients": len({one.case.patient for one in results}),
        "positives": len(results) - len(negatives),
        "outside_intended_use": len(truth.cases) - len(asked),
        "truth_unknown": len(asked) - len(results),
        "undefined": {"empty against empty, in no mean of Dice": sum(not one.found for one in negatives)},
        "gate": {
            "accepted": sum(bool(one.accepted) for one in results),
            "of": sum(one.accepted is not None for one in results),
        },
        "subgroups": subgroups.plain(rows),
        "by_image": [
            {
                "id": one.case.id,
                "positive": one.positive,
                "found": one.found,
                "found_without_gate": one.ungated,
                "dice": plain(one.dice),
                "hausdorff95": plain(one.distance),
                "area": plain(one.area),
                "found_area": plain(one.found_area),
                **({"negative_of": list(one.case.against)} if one.case.against else {}),
            }
            for one in results
        ],
    }
