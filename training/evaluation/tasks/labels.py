"""Evaluate a classifier: every label against its truth, at every operating point, by subgroup, with heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.calibration import calibrated, sigmoid
from models.bundle.manifest import Figure, OperatingPoint
from models.bundle.store import Bundle
from models.inference.heatmap import heat_map
from training.evaluation import subgroups
from training.evaluation.report import plots
from training.evaluation.report.outcome import Canvas, EvaluationOutcome, Plot, Table, plain
from training.evaluation.report.pictures import Heat, heat_maps
from training.evaluation.serving import Served, Server
from training.evaluation.truths import Case, Truth
from training.measures import bootstrap, scores
from training.measures.places import points_into, same_side
from training.measures.scores import Float, Scores

# Predictive values are given at these parts of positives, too.
PREVALENCES = (0.01, 0.05, 0.2)
EXAMPLES = 8
POINTED = "heat map's maximum within the true place"
SAME_SIDE = "heat map's maximum on the true side of the chest"


@dataclass(frozen=True)
class Pointing:
    """Where the heat map of a true positive has its maximum: within the true place, on its side; None: no map."""

    inside: bool | None
    side: bool | None


@dataclass(frozen=True)
class AnsweredCase:
    """One case with its logits (labels,), the gate's verdict and, of true positives with a known place, pointing."""

    case: Case
    logits: NDArray[np.float32]
    accepted: bool | None
    pointing: Mapping[str, Pointing]


@dataclass(frozen=True)
class Comparison:
    """One label against one group of negatives: its scores, and the same before calibration."""

    label: str
    name: str
    measured_on: str
    answered: tuple[AnsweredCase, ...]
    scores: Scores
    raw: Scores


def evaluate(
    bundle: Bundle, truth: Truth, split: str, canvas: Canvas, dependencies: Path | None = None
) -> EvaluationOutcome:
    """Measure a classifier on the cases of a truth, as serving answers them."""
    server = Server(bundle, dependencies)
    asked = [case for case in truth.cases if not server.refused(case)]
    heats: dict[str, Heat] = {}
    answered = tuple(_answered(server, case, canvas, heats) for case in asked)
    outcome = EvaluationOutcome()
    outcome.report = _report(bundle, truth, answered)
    for label in (one.name for one in bundle.manifest.labels):
        comparisons = truth.comparisons or ("",)
        on = f"{truth.data_set}, {split} split"
        _label(bundle, [_view(bundle, label, answered, comparison, on) for comparison in comparisons], canvas, outcome)
    if heats:
        heat_maps(list(heats.values()), canvas.folder / "heat-maps.png")
        sentence = (
            "Of the first patients with a true positive whose place is known (blue outline): what moved the answer."
        )
        outcome.plots.append(Plot("heat-maps.png", "Heat maps", sentence))
    return outcome


def _answered(server: Server, case: Case, canvas: Canvas, heats: dict[str, Heat]) -> AnsweredCase:
    """Answer one case; keep some heat maps for the page."""
    served = server.serve(case.read(), case.patient_data)
    pointing: dict[str, Pointing] = {}
    manifest = server.bundle.manifest
    probabilities = calibrated(served.answer.logits, manifest.calibration)
    for index, label in enumerate(manifest.labels):
        called = probabilities[index] >= manifest.operating_point(label.name).threshold
        if case.truth.get(label.name) == 1 and called and case.place is not None:
            place = case.place()
            heat = served.model_input.to_canonical(
                heat_map(server.runner, served.model_input.image, served.answer, index, case.patient_data)
            )
            pointing[label.name] = Pointing(points_into(heat, place), same_side(heat, place, _middle(served)))
            # One image a patient: the images of one are alike.
            if len(heats) < EXAMPLES and case.patient not in heats:
                image = served.radiograph.pixels if canvas.pictures else None
                heats[case.patient] = Heat(f"{case.id}: {probabilities[index]:.2f}", heat, place, image)
    return AnsweredCase(case, served.answer.logits, served.accepted, pointing)


def _middle(served: Served) -> float:
    """Return the column between the two sides of the chest: the middle of both lungs, or of the picture."""
    box = served.lungs
    return served.radiograph.shape[1] / 2 if box is None else (box.x0 + box.x1) / 2


def _label(bundle: Bundle, views: Sequence[Comparison], canvas: Canvas, outcome: EvaluationOutcome) -> None:
    """Return figures, plots and tables of one label."""
    label = views[0].label
    alone = len(bundle.manifest.labels) == 1
    prefix, title = ("", "") if alone else (f"{label}-", f"{label}: ")
    points = [point for point in bundle.manifest.operating_points if point.label == label]
    threshold = bundle.manifest.operating_point(label).threshold
    for number, view in enumerate(views):
        outcome.add(*_figures(view, threshold, with_positives=number == 0, title=title))
        rows = subgroups.of_scores(view.scores, [one.case.groups for one in view.answered], threshold, view.measured_on)
        outcome.report[f"{prefix}{view.name or 'result'}"] = _numbers(view, points, rows)
        outcome.tables.append(_points_table(view, points, title))
        outcome.tables.append(_retitled(subgroups.table(rows), f"{title}Subgroups", view.name))
    outcome.add(*_pointing_figures(views[0], title))
    drawn = Drawing(canvas.folder, prefix, title)
    drawn.curves(views, threshold)
    drawn.counts(views, points, threshold)
    outcome.plots.extend(drawn.made)


def _view(bundle: Bundle, label: str, answered: tuple[AnsweredCase, ...], comparison: str, on: str) -> Comparison:
    """Take the cases of one comparison; unknown truth is left out."""
    index = [one.name for one in bundle.manifest.labels].index(label)
    taken = tuple(one for one in answered if _takes_part(one.case, label, comparison))
    if not taken:
        raise ValueError(f"{on}: no image has a known truth for {label}")
    logits = np.array([one.logits[index] for one in taken])
    values = np.array([one.case.truth[label] == 1 for one in taken])
    patients = [one.case.patient for one in taken]
    name = f"against {comparison}" if comparison else ""
    return Comparison(
        label=label,
        name=name,
        measured_on=", ".join(filter(None, (on, name))),
        answered=taken,
        scores=Scores(calibrated(logits, bundle.manifest.calibration), values, patients),
        raw=Scores(sigmoid(logits), values, patients),
    )


def _takes_part(case: Case, label: str, comparison: str) -> bool:
    """Return whether a case is a positive, or a negative of the comparison."""
    value = case.truth.get(label, float("nan"))
    return value == 1 or (value == 0 and (not comparison or not case.against or comparison in case.against))


def _figures(view: Comparison, threshold: float, *, with_positives: bool, title: str) -> list[Figure]:
    """Return the figures of the manifest; sensitivity does not depend on the negatives and is given once."""
    found = view.scores
    positives = int(found.truth.sum())
    listed: list[tuple[str, scores.Measure, int | None]] = [
        ("AUC", scores.auc, None),
        ("average precision", scores.average_precision, None),
        ("specificity", scores.specificity(threshold), len(found.truth) - positives),
        ("accuracy", scores.accuracy(threshold), None),
        ("Brier score", scores.brier, None),
        ("expected calibration error", scores.calibration_error, None),
    ]
    if with_positives:
        listed.insert(2, ("sensitivity", scores.sensitivity(threshold), positives))
    return [
        bootstrap.score_figure(title + name, measure, found, view.measured_on, count=count)
        for name, measure, count in listed
        if not np.isnan(scores.plain(measure, found))
    ]


def _pointing_figures(view: Comparison, title: str) -> list[Figure]:
    """Return how often the heat map points to the true place and side; a missing map counts as a miss."""
    known = [one for one in view.answered if view.label in one.pointing]
    on = f"{view.measured_on.split(', against')[0]}, true positives with a known place"
    patients = [one.case.patient for one in known]
    inside = [float(bool(one.pointing[view.label].inside)) for one in known]
    side = [float(bool(one.pointing[view.label].side)) for one in known]
    made = (
        bootstrap.mean_figure(title + POINTED, inside, patients, on),
        bootstrap.mean_figure(title + SAME_SIDE, side, patients, on),
    )
    return [one for one in made if one is not None]


def _numbers(
    view: Comparison, points: Sequence[OperatingPoint], rows: Sequence[subgroups.SubgroupRow]
) -> dict[str, Any]:
    """Return every number of a view for the report."""
    return {
        "measured_on": view.measured_on,
        "label": view.label,
        "images": len(view.answered),
        "patients": len(set(view.scores.patients)),
        "positives": int(view.scores.truth.sum()),
        "operating_points": [_at_point(view.scores, point) for point in points],
        "calibration_error": {
            "before": plain(scores.plain(scores.calibration_error, view.raw)),
            "after": plain(scores.plain(scores.calibration_error, view.scores)),
        },
        "reliability": {
            key: [[plain(one.probability), plain(one.observed), one.count] for one in scores.reliability(found)]
            for key, found in (("before", view.raw), ("after", view.scores))
        },
        "subgroups": subgroups.plain(rows),
    }


def _at_point(found: Scores, point: OperatingPoint) -> dict[str, Any]:
    """Return counts and rates at one operating point, with intervals."""
    drawn = bootstrap.weights(found.patients)

    def rate(measure: scores.Measure) -> dict[str, float | None]:
        low, high = bootstrap.interval(measure, found, drawn)
        return {"value": plain(scores.plain(measure, found)), "low": plain(low), "high": plain(high)}

    threshold = point.threshold
    at = {"as in the images": None, **{f"{part:.0%}": part for part in PREVALENCES}}
    return {
        "name": point.name,
        "threshold": threshold,
        "rule": point.rule,
        "doubt": point.doubt,
        "indeterminate": None if point.doubt is None else rate(scores.within(*point.doubt)),
        "confusion": {
            "rows": "truth negative, positive",
            "columns": "result negative, positive",
            "counts": scores.confusion(found, threshold).tolist(),
        },
        "sensitivity": rate(scores.sensitivity(threshold)),
        "specificity": rate(scores.specificity(threshold)),
        "accuracy": rate(scores.accuracy(threshold)),
        "positive_predictive_value": {
            key: rate(scores.positive_predictive_value(threshold, part)) for key, part in at.items()
        },
        "negative_predictive_value": {
            key: rate(scores.negative_predictive_value(threshold, part)) for key, part in at.items()
        },
    }


def _points_table(view: Comparison, points: Sequence[OperatingPoint], title: str) -> Table:
    """Return the operating points as a table, one column each."""
    columns: list[list[str]] = []
    for point in points:
        found, at = view.scores, point.threshold
        (tn, fp), (fn, tp) = scores.confusion(found, at).tolist()
        measures = [scores.sensitivity(at), scores.specificity(at), scores.accuracy(at)]
        measures += [scores.positive_predictive_value(at, part) for part in (None, *PREVALENCES)]
        measures += [scores.negative_predictive_value(at, part) for part in (None, *PREVALENCES)]
        values = (scores.plain(measure, found) for measure in measures)
        rates = [_short(value) for value in values]
        columns.append(
            [f"{at:.4g}", _doubt(point), str(tp), str(fn), str(tn), str(fp), _indeterminate(found, point), *rates]
        )
    here = f" at {view.scores.truth.mean():.1%} positives, as here"
    ats = (here, *(f" at {part:.0%} positives" for part in PREVALENCES))
    lines = ["threshold", "range of doubt", "true positive", "false negative", "true negative", "false positive"]
    lines += ["part within the range of doubt", "sensitivity", "specificity", "accuracy"]
    lines += [f"{kind} predictive value{at}" for kind in ("positive", "negative") for at in ats]
    rows = tuple(zip(lines, *columns, strict=True))
    sentence = (
        "Every operating point was chosen before, by its rule in the manifest. Predictive values depend on how common "
        "the finding is: they are given for the part of positives among these images and for stated ones."
    )
    names = ("", *(point.name for point in points))
    return _retitled(Table("", sentence, names, rows), f"{title}Operating points", view.name)


def _doubt(point: OperatingPoint) -> str:
    """Return the range of doubt; a dash where there is none."""
    return "-" if point.doubt is None else f"{point.doubt[0]:.4g} to {point.doubt[1]:.4g}"


def _indeterminate(found: Scores, point: OperatingPoint) -> str:
    """Return the part of the images within the range of doubt; a dash where there is none."""
    return "-" if point.doubt is None else _short(scores.plain(scores.within(*point.doubt), found))


def _short(value: float) -> str:
    """Return three decimals; a dash where it is not defined."""
    return "-" if np.isnan(value) else f"{value:.3f}"


def _retitled(table: Table, heading: str, name: str) -> Table:
    """Name a table after its comparison."""
    return Table(f"{heading}, {name}" if name else heading, table.sentence, table.columns, table.rows)


@dataclass
class Drawing:
    """The plots of one label: where they go, how they are named, and what was made."""

    folder: Path
    prefix: str
    title: str
    made: list[Plot] = field(default_factory=list)

    def curves(self, views: Sequence[Comparison], threshold: float) -> None:
        """Draw ROC and precision over recall, where there are both classes."""
        of = {f"{view.name}, " if view.name else "": view.scores for view in views}
        both_classes = {name: found for name, found in of.items() if 0 < found.truth.mean() < 1}
        if not both_classes:
            return
        sentence = "Sensitivity against false alarms over all thresholds; band: 95 %, bootstrap over patients."
        plots.roc(both_classes, threshold, self._add("roc", "ROC", sentence))
        sentence = "How many of those called are positive, over how many positives are called; dotted: calling all."
        plots.precision_recall(both_classes, self._add("precision-recall", "Precision and recall", sentence))

    def counts(self, views: Sequence[Comparison], points: Sequence[OperatingPoint], threshold: float) -> None:
        """Draw counts, scores and calibration; where there are several groups of negatives, of the first."""
        main = views[0]
        aside = f" Here {main.name}." if main.name else ""
        matrices = {point.name: scores.confusion(main.scores, point.threshold) for point in points}
        sentence = "Images by truth and result at each operating point, with the part of the row." + aside
        plots.confusions(matrices, self._add("confusion", "Confusion", sentence))
        sentence = "How the scores of positives and negatives lie about the threshold."
        groups = {"positive": main.scores.probability[main.scores.truth]}
        for view in views:
            groups[view.name.removeprefix("against ") or "negative"] = view.scores.probability[~view.scores.truth]
        plots.histogram(groups, threshold, self._add("scores", "Scores", sentence))
        sentence = "On the line, a probability of 0.3 means 3 of 10 positive; numbers are images." + aside
        plots.reliability(main.raw, main.scores, self._add("reliability", "Reliability", sentence))
        sentence = "What other thresholds would give; predictive values at the part of positives here." + aside
        plots.over_threshold(main.scores, threshold, self._add("thresholds", "Over the threshold", sentence))

    def _add(self, name: str, heading: str, sentence: str) -> Path:
        """Note a plot and return its path."""
        self.made.append(Plot(f"{self.prefix}{name}.png", f"{self.title}{heading}", sentence))
        return self.folder / self.made[-1].file


def _report(bundle: Bundle, truth: Truth, answered: tuple[AnsweredCase, ...]) -> dict[str, Any]:
    """Return what concerns all labels: who was left out, the gate, every image."""
    names = [one.name for one in bundle.manifest.labels]
    judged = [one.accepted for one in answered if one.accepted is not None]
    rows: list[dict[str, Any]] = []
    for one in answered:
        probabilities: Float = calibrated(one.logits, bundle.manifest.calibration)
        rows.append(
            {
                "id": one.case.id,
                "truth": {name: plain(one.case.truth.get(name, float("nan"))) for name in names},
                "probability": {name: plain(float(p)) for name, p in zip(names, probabilities, strict=True)},
                "accepted_by_gate": one.accepted,
                **({"negative_of": list(one.case.against)} if one.case.against else {}),
            }
        )
    return {
        "images": len(answered),
        "patients": len({one.case.patient for one in answered}),
        "outside_intended_use": len(truth.cases) - len(answered),
        "gate": {"accepted": sum(judged), "of": len(judged)},
        "by_image": rows,
    }


__all__ = ["POINTED", "SAME_SIDE", "evaluate"]
