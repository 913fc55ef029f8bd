"""Gradient boosting over engineered features: settings by grouped cross-validation, threshold on validation.

It is the figure to beat, and no bundle: nothing is kept of it but its settings and figures. Fitting takes seconds, so
whoever wants the model fits it again, from the same seed to the same trees.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.bundle.manifest import Figure, OperatingPoint
from training.config import Run, write
from training.data import collection, splits
from training.measures import bootstrap, scores, thresholds
from training.measures.scores import Scores
from training.tasks.classical import data as table
from training.tasks.classical import recipe as recipes
from training.tasks.classical.data import FeatureTable
from training.tasks.classical.module import BoostingSettings, members, part, predict, search
from training.tasks.classical.recipe import ClassicalRecipe

SETTINGS, REPORT = "settings.json", "report.json"
# What the model may look at. The view tells how ill a patient was, so what it adds is not read off the lungs.
VARIANTS = ("image", "image and person", "person")


def train(recipe: ClassicalRecipe, run: Run) -> Path:
    """Choose the settings of each variant on train and the threshold on val, and return the path of what was found."""
    run.out.mkdir(parents=True, exist_ok=True)
    write(recipe, run.recipe)
    images = collection.read(run.data, recipe.data)
    training, validation = (table.build(images, split, recipe.label, run.cache) for split in splits.TUNED_ON)
    found: dict[str, Any] = {}
    for variant in VARIANTS:
        learnt, seen = part(training, variant), part(validation, variant)
        best = search(learnt, recipe)
        probability = predict(members(learnt, best, recipe), seen)
        point = thresholds.choose(recipe.rule, probability, seen.truth, label=recipe.label)
        figures = measured(
            Scores(probability, seen.truth, seen.patients), point, f"{images.name}, val split, {variant}"
        )
        found[variant] = {
            "settings": asdict(best),
            "operating_point": point.model_dump(),
            "figures": [one.model_dump() for one in figures],
        }
    path = run.out / SETTINGS
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path


def evaluate(run: Run) -> tuple[Figure, ...]:
    """Fit again what `train` chose, measure it on the test split, write `report.json`, and return the figures."""
    recipe = recipes.read(run.recipe)
    images = collection.read(run.data, recipe.data)
    training, test = (table.build(images, split, recipe.label, run.cache) for split in ("train", "test"))
    chosen = json.loads((run.out / SETTINGS).read_text())
    figures: list[Figure] = []
    report: dict[str, Any] = {}
    for variant in VARIANTS:
        learnt, seen = part(training, variant), part(test, variant)
        models = members(learnt, BoostingSettings(**chosen[variant]["settings"]), recipe)
        measurable = Scores(predict(models, seen), seen.truth, seen.patients)
        point = OperatingPoint(**chosen[variant]["operating_point"])
        figures.extend(measured(measurable, point, f"{images.name}, test split, {variant}"))
        report[variant] = {"by_view": by_view(measurable, test, point)}
    content = {"figures": [one.model_dump() for one in figures], **report}
    (run.out / REPORT).write_text(json.dumps(content, indent=1) + "\n")
    return tuple(figures)


def measured(given: Scores, point: OperatingPoint, on: str) -> tuple[Figure, ...]:
    """Return the figures with intervals by patient."""
    positives = int(given.truth.sum())
    return (
        bootstrap.score_figure("AUC", scores.auc, given, on),
        bootstrap.score_figure("average precision", scores.average_precision, given, on),
        bootstrap.score_figure("sensitivity", scores.sensitivity(point.threshold), given, on, count=positives),
        bootstrap.score_figure(
            "specificity", scores.specificity(point.threshold), given, on, count=len(given.truth) - positives
        ),
        bootstrap.score_figure("Brier score", scores.brier, given, on),
    )


def by_view(given: Scores, test: FeatureTable, point: OperatingPoint) -> list[dict[str, Any]]:
    """Return the figures of PA and of AP images apart: within one view, the view tells nothing."""
    view = test.values[:, test.names.index("person.ap")]
    groups = (("PA", view == 0), ("AP", view == 1))
    return [
        figure.model_dump()
        for name, chosen in groups
        for figure in measured(given.part(chosen), point, f"test, {name}")
    ]
