"""Test figures of the paediatric-pneumonia bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle, Figure
from models.inputs import prepare
from models.runtime import Runner
from training import cache, calibrate, figures, metrics, splits
from training.metrics import Scores


def evaluate(bundle: Bundle, data: Path) -> tuple[tuple[Figure, ...], dict[str, Any]]:
    """Measure on the test split of kermany, through the preprocessing of serving, and draw the plots."""
    runner = Runner(bundle, device="cpu", dtype="float32")
    rows = {row["id"]: row for row in splits.read_table(data, "kermany")}
    ids = set(splits.read("kermany", "test"))
    names: list[str] = []
    logits: list[float] = []
    for sample in cache.READERS["kermany"](data):
        if sample.id in ids:
            names.append(sample.id)
            logits.append(float(runner.run(prepare(sample.radiograph, bundle.manifest.input).image).logits[0]))
    truth = np.array([rows[name]["pneumonia"] == "1" for name in names])
    patients = [rows[name]["patient"] for name in names]
    temperature = bundle.manifest.calibration.temperature
    scores = Scores(calibrate.sigmoid(np.array(logits) / temperature), truth, patients)
    raw = Scores(calibrate.sigmoid(np.array(logits)), truth, patients)
    threshold = bundle.manifest.operating_point("pneumonia").threshold
    counts = confusion_counts(scores, threshold)
    folder = bundle.path / "evaluation"
    figures.roc(scores, threshold, folder / "roc.png")
    figures.reliability(scores, folder / "reliability.png")
    figures.confusion(counts, folder / "confusion.png")
    figures.histogram(scores, threshold, folder / "scores.png")
    positive = scores.probability >= threshold
    subtypes = np.array([rows[name]["subtype"] for name in names])
    report = {
        "images": len(names),
        "patients": len(set(patients)),
        "threshold": threshold,
        "temperature": temperature,
        "confusion": {
            "rows": "truth negative, positive",
            "columns": "result negative, positive",
            "counts": counts.tolist(),
        },
        "called_positive_by_subtype": {
            one: {"positive": int(positive[subtypes == one].sum()), "of": int((subtypes == one).sum())}
            for one in sorted(set(subtypes.tolist()))
        },
        "calibration_error": {
            "before_temperature": round(metrics.calibration_error(raw), 4),
            "after_temperature": round(metrics.calibration_error(scores), 4),
        },
        "by_image": [
            {"id": name, "pneumonia": int(is_positive), "probability": round(float(probability), 5)}
            for name, is_positive, probability in zip(names, truth, scores.probability, strict=True)
        ],
    }
    return _figures(scores, threshold), report


def confusion_counts(scores: Scores, threshold: float) -> np.ndarray:
    """Count images: rows truth, columns result, negative first."""
    positive = scores.probability >= threshold
    return np.array([[int((positive[scores.truth == t] == r).sum()) for r in (False, True)] for t in (False, True)])


def _figures(scores: Scores, threshold: float) -> tuple[Figure, ...]:
    """Give the figures with intervals over patients."""
    on = "kermany, test split"
    positives = int(scores.truth.sum())
    return (
        metrics.score_figure("AUC", scores, metrics.auc, on),
        metrics.score_figure("sensitivity", scores, lambda s: metrics.sensitivity(s, threshold), on, count=positives),
        metrics.score_figure(
            "specificity", scores, lambda s: metrics.specificity(s, threshold), on, count=len(scores.truth) - positives
        ),
        metrics.score_figure("accuracy", scores, lambda s: metrics.accuracy(s, threshold), on),
        metrics.score_figure("Brier score", scores, metrics.brier, on),
        metrics.score_figure("expected calibration error", scores, metrics.calibration_error, on),
    )
