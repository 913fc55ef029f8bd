"""Evaluate masks of MR volumes: Dice, Hausdorff distance in mm, error of the volume; one value a patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle.store import Bundle
from models.volume.atrium import VolumeAnalyser
from training.data import volumes
from training.data.collection import Collection
from training.data.splits import Split
from training.evaluation.report import plots
from training.evaluation.report.outcome import Canvas, EvaluationOutcome, Plot, plain
from training.evaluation.report.pictures import Outline, outlines
from training.measures import bootstrap, overlap

Mask = NDArray[np.bool_]
DICE = "Dice left atrium"
SLICES = 4
"""Slices of each of the worst volumes that are drawn."""
WORST = 3


@dataclass(frozen=True)
class VolumeResult:
    """One volume: agreement of the masks, volumes in ml, and both masks for the pictures."""

    id: str
    patient: str
    dice: float
    distance: float
    found_ml: float
    true_ml: float
    outlines: tuple[Outline, ...]


def evaluate(bundle: Bundle, images: Collection, split: Split, canvas: Canvas) -> EvaluationOutcome:
    """Measure on the volumes of a split, each as a whole, as serving does."""
    analyser = VolumeAnalyser(bundle)
    results = []
    for case in volumes.read(images, images.ids(split), analyser.spec):
        found = analyser.segment(case.image.astype(np.float32), case.spacing_mm)
        results.append(measured(case, found, pictures=canvas.pictures))
    on, patients = f"{images.name}, {split} split, source grid", [one.patient for one in results]
    errors = [one.found_ml - one.true_ml for one in results]
    outcome = EvaluationOutcome()
    outcome.add(
        bootstrap.mean_figure(DICE, [one.dice for one in results], patients, on),
        bootstrap.mean_figure("Hausdorff distance 95 %, mm", [one.distance for one in results], patients, on),
        bootstrap.mean_figure("volume, mean absolute error, ml", [abs(error) for error in errors], patients, on),
        bootstrap.mean_figure("volume, mean difference, ml", errors, patients, on),
    )
    outcome.plots.extend(_draw(results, canvas.folder))
    outcome.report = {
        "images": len(results),
        "patients": len(set(patients)),
        "undefined": {"empty against empty": sum(math.isnan(one.dice) for one in results)},
        "by_image": [
            {
                "id": one.id,
                "dice": plain(one.dice),
                "hausdorff95_mm": plain(one.distance),
                "found_ml": plain(one.found_ml),
                "true_ml": plain(one.true_ml),
            }
            for one in results
        ],
    }
    return outcome


def measured(case: volumes.OutlinedVolume, found: Mask, *, pictures: bool = False) -> VolumeResult:
    """Compare one volume's mask (slices, rows, columns) with the truth."""
    ml = math.prod(case.spacing_mm) / 1000
    dice = overlap.dice(found, case.mask)
    return VolumeResult(
        id=case.id,
        patient=case.patient,
        dice=dice,
        distance=overlap.hausdorff95(found, case.mask, case.spacing_mm),
        found_ml=float(found.sum()) * ml,
        true_ml=float(case.mask.sum()) * ml,
        outlines=tuple(_slices(case, found, dice, pictures=pictures)),
    )


def _slices(case: volumes.OutlinedVolume, found: Mask, dice: float, *, pictures: bool) -> list[Outline]:
    """Return outlines on slices that are evenly spread over what is found or true."""
    there = np.flatnonzero((found | case.mask).any(axis=(1, 2)))
    chosen = there[np.linspace(0, len(there) - 1, SLICES + 2).round().astype(int)[1:-1]] if len(there) else []
    made: list[Outline] = []
    for z in chosen:
        image = case.image[z].astype(np.float32) / max(float(case.image.max()), 1.0) if pictures else None
        made.append(Outline(f"{case.id}: {dice:.3f}, slice {z}", found[z][None], case.mask[z][None], image))
    return made


def _draw(results: Sequence[VolumeResult], folder: Path) -> list[Plot]:
    """Draw Dice, distance, agreement of the volumes, and slices of the worst."""
    plots.distributions({"volumes": [one.dice for one in results]}, "Dice", folder / "dice.png")
    plots.distributions({"volumes": [one.distance for one in results]}, "mm", folder / "hausdorff.png")
    plots.agreement(
        [one.true_ml for one in results], [one.found_ml for one in results], folder / "volume.png", decimals=1
    )
    worst = sorted(results, key=lambda one: one.dice)[:WORST]
    outlines([outline for one in worst for outline in one.outlines], folder / "worst-cases.png")
    return [
        Plot("dice.png", "Dice", "Overlap of each volume with the reference. One point a patient."),
        Plot("hausdorff.png", "Hausdorff distance, 95 %", "How far the surfaces are apart at their 95 % worst places."),
        Plot("volume.png", "Volume in ml, Bland and Altman", "Found minus reference over their mean."),
        Plot("worst-cases.png", "Worst cases", "Slices of the volumes with the least Dice. Pale: truth; blue: found."),
    ]
