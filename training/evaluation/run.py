"""Evaluate an exported bundle through the code that serves, and complete its folder.

The only reader of the test split. It writes `evaluation/` (report, plots, page), the figures in the manifest, and the
card; the bundle's digest changes with them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.bundle.manifest import Figure
from models.bundle.store import CARD, Bundle, load, write_manifest
from training.config import Data
from training.data import collection
from training.data.collection import Collection
from training.data.splits import Split
from training.evaluation import cards, targets, truths
from training.evaluation.report import page
from training.evaluation.report.outcome import Canvas, EvaluationOutcome, Table, figure_table
from training.evaluation.tasks import anatomy, boxes, detections, labels, lesions, volumes
from training.evaluation.truths import Truth

FOLDER = "evaluation"
REPORT = "report.json"


def complete(
    folder: Path,
    data: Path,
    *,
    dependencies: Path | None = None,
    also: Sequence[Path] = (),
    truth: str | None = None,
    own: Data | None = None,
) -> Bundle:
    """Evaluate the bundle in `folder` on the test split and write what was found into it.

    Parameters
    ----------
    data
        Folder of the data sets.
    dependencies
        Folder of the bundles that this one needs in serving (gate, lungs, classifier); None: the shipped.
    also
        Reports of the same recipe trained at one site (training/evaluation/cross_site.py); see `also_measured`.
    truth
        A name of training/evaluation/truths.py; None: that of the bundle.
    own
        Data sets and split to measure on; None: the public ones.

    Returns
    -------
    The completed bundle, verified again.
    """
    bundle = load(folder)
    images = _collection(bundle, data, own)
    table = truths.truth_of(bundle.manifest, images, "test", truth)
    target = folder / FOLDER
    _clear(target)
    outcome = _measured(bundle, table, "test", Canvas(target), data=data, images=images, dependencies=dependencies)
    outcome.add(*also_measured(also))
    _write(target, bundle, table, "test", outcome)
    manifest = bundle.manifest.model_copy(update={"evaluation": tuple(outcome.figures)})
    (folder / CARD).write_text(cards.card(manifest, table, outcome), encoding="utf-8", newline="\n")
    write_manifest(folder, manifest)
    return load(folder)


def evaluate_into(
    folder: Path,
    data: Path,
    out: Path,
    *,
    split: Split = "test",
    dependencies: Path | None = None,
    pictures: bool = False,
    truth: str | None = None,
    own: Data | None = None,
) -> EvaluationOutcome:
    """Evaluate the bundle in `folder` and write report, plots and page to `out`; the bundle stays as it is.

    Parameters
    ----------
    split
        "val" leaves the test split unread.
    pictures
        Draw the images beneath outlines and heat maps. Not for handing on.
    """
    bundle = load(folder)
    images = _collection(bundle, data, own)
    table = truths.truth_of(bundle.manifest, images, split, truth)
    out.mkdir(parents=True, exist_ok=True)
    canvas = Canvas(out, pictures)
    outcome = _measured(bundle, table, split, canvas, data=data, images=images, dependencies=dependencies)
    _write(out, bundle, table, split, outcome, pictures=pictures)
    return outcome


def also_measured(reports: Sequence[Path]) -> list[Figure]:
    """Take over, from other reports, the figures on sites that their weights have not seen."""
    found: list[Figure] = []
    for path in reports:
        given = [Figure.model_validate(one) for one in json.loads(path.read_text())["figures"]]
        elsewhere = (one for one in given if anatomy.ELSEWHERE in one.measured_on)
        found.extend(one for one in elsewhere if anatomy.BOTH not in one.measured_on)
    return found


def _collection(bundle: Bundle, data: Path, own: Data | None) -> Collection:
    """Read what was asked for, or the public sets of this kind of bundle."""
    return collection.read(data, own or collection.SHIPPED[truths.public_set(bundle.manifest)])


def _measured(
    bundle: Bundle,
    truth: Truth,
    split: Split,
    canvas: Canvas,
    *,
    data: Path,
    images: Collection,
    dependencies: Path | None,
) -> EvaluationOutcome:
    """Measure by the task of the bundle."""
    match bundle.manifest.task:
        case "classification":
            return labels.evaluate(bundle, truth, split, canvas, dependencies)
        case "segmentation":
            return anatomy.evaluate(bundle, truth, split, canvas, data)
        case "lesion-segmentation":
            return lesions.evaluate(bundle, truth, split, canvas, dependencies)
        case "box":
            return boxes.evaluate(bundle, truth, split, canvas, dependencies)
        case "detection":
            return detections.evaluate(bundle, truth, split, canvas, dependencies)
        case "volume-segmentation":
            return volumes.evaluate(bundle, images, split, canvas)


def _clear(folder: Path) -> None:
    """Remove what an earlier evaluation wrote; the gate's rates on validation stay."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.suffix == ".png" or path.name in (REPORT, page.PAGE):
            path.unlink()


def _write(
    folder: Path, bundle: Bundle, truth: Truth, split: str, outcome: EvaluationOutcome, *, pictures: bool = False
) -> None:
    """Write the report and the page."""
    manifest = bundle.manifest
    content: dict[str, Any] = {
        "bundle": {"name": manifest.name, "version": manifest.version},
        "data_set": truth.data_set,
        "split": split,
        "truth": truth.definition,
        "figures": [one.model_dump() for one in outcome.figures],
        "targets": _verdicts(manifest.name, outcome) if _has_targets(truth, split) else [],
        **outcome.report,
    }
    (folder / REPORT).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")
    intro = [
        f"{split} split of {truth.data_set}. Truth: {truth.definition}.",
        "Intervals: 95 %, bootstrap over patients, who are in one split only. Every image went through the code that "
        "serves, in fp32 on the CPU.",
    ]
    if not pictures:
        intro.append(
            "Outlines and heat maps are drawn without the patients' images; `training evaluate --out FOLDER "
            "--pictures` draws them on the images."
        )
    outside = outcome.report.get("outside_intended_use", 0)
    if outside:
        intro.append(f"{outside} images lie outside the intended use (age, view) and are left out, as in serving.")
    table = targets.table(manifest.name, outcome.figures) if _has_targets(truth, split) else None
    tables: list[Table] = [] if table is None else [table]
    tables.append(figure_table("Figures", "What the manifest carries.", outcome.figures))
    if truth.cases:
        tables.append(truths.population(truth))
    apart = outcome.report.get("undefined") or {}
    if apart:
        rows = tuple((what, str(count)) for what, count in apart.items())
        tables.append(Table("Counted apart", "Cases in which a figure is not defined.", ("case", "images"), rows))
    page.write(folder, manifest, outcome, intro, tables)


def _has_targets(truth: Truth, split: str) -> bool:
    """Return whether targets were set: they are of the public sets' test split."""
    return split == "test" and truth.data_set in collection.SHIPPED


def _verdicts(name: str, outcome: EvaluationOutcome) -> list[dict[str, Any]]:
    """Return the targets for the report."""
    return [
        {
            "figure": target.figure,
            "bound": targets.bound_text(target),
            "verdict": verdict,
            "values": [one.value for one in fitting],
        }
        for target, fitting, verdict in targets.judged(name, outcome.figures)
    ]
