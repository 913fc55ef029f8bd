"""Evaluate an exported bundle on the test split, through the code that serves, and complete its folder.

The only reader of the test split. It writes `evaluation/` (report and plots), the figures in the manifest, and the
card; the bundle's digest changes with them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.bundle import CARD, Bundle, Figure, load, write_manifest
from training import cards, evaluate_labels, evaluate_masks


def evaluate(folder: Path, data: Path) -> Bundle:
    """Evaluate the bundle in `folder` and write what was found into it.

    Returns
    -------
    The completed bundle, verified again.
    """
    bundle = load(folder)
    if bundle.manifest.task == "segmentation":
        figures, report = evaluate_masks.evaluate(bundle, data)
    else:
        figures, report = evaluate_labels.evaluate(bundle, data)
    write_report(folder, figures, report)
    manifest = bundle.manifest.model_copy(update={"evaluation": figures})
    (folder / CARD).write_text(cards.card(manifest, report), encoding="utf-8")
    write_manifest(folder, manifest)
    return load(folder)


def write_report(folder: Path, figures: tuple[Figure, ...], report: dict[str, Any]) -> None:
    """Write every number of the evaluation as JSON."""
    content = {"figures": [one.model_dump() for one in figures], **report}
    (folder / "evaluation" / "report.json").write_text(json.dumps(content, indent=2) + "\n")
