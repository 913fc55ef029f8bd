"""A new version of a bundle that answers as an earlier one does: the evaluation is taken over, not measured again.

For what an export adds beside the network, such as the ranges of doubt, the test split need not be read once more. This
module reads no data set.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from models.bundle.manifest import Calibration, Manifest, OperatingPoint
from models.bundle.store import CARD, WEIGHTS, Bundle, load, write_manifest
from training.evaluation import cards
from training.evaluation.run import FOLDER, REPORT

# Of temperature and thresholds: the same network on another machine differs in the last digits of its logits.
TOLERANCE = 1e-6
# What may differ, for it is taken from one of the two or compared apart. The training data are those of the weights,
# which are the same to the last bit, however they are worded.
APART = ("version", "calibration", "operating_points", "training_data", "evaluation", "files")


def inherit(folder: Path, earlier_folder: Path) -> Bundle:
    """Complete the exported bundle in `folder` with the evaluation of an earlier version of it.

    Calibration and thresholds become those of the earlier version, to the last digit; the ranges of doubt are those of
    the export. The files of the evaluation stay as they are, and the card says with which version it was measured.

    Returns
    -------
    The completed bundle, verified again.

    Raises
    ------
    ValueError
        The two do not answer alike, or the earlier version is not earlier.
    """
    exported, earlier = load(folder), load(earlier_folder)
    _compare(exported.manifest, earlier.manifest)
    if exported.manifest.files[WEIGHTS] != earlier.manifest.files[WEIGHTS]:
        raise ValueError(f"{folder} has other weights than {earlier_folder}; evaluate it")
    points = _points(exported.manifest, earlier.manifest)
    manifest = earlier.manifest.model_copy(update={"version": exported.manifest.version, "operating_points": points})
    if (folder / FOLDER).exists():
        shutil.rmtree(folder / FOLDER)
    shutil.copytree(earlier_folder / FOLDER, folder / FOLDER)
    measured_with = json.loads((folder / FOLDER / REPORT).read_text(encoding="utf-8"))["bundle"]["version"]
    card = (earlier_folder / CARD).read_text(encoding="utf-8")
    renewed = cards.renewed(card, manifest, measured_with)
    (folder / CARD).write_text(renewed, encoding="utf-8", newline="\n")
    write_manifest(folder, manifest)
    return load(folder)


def _compare(exported: Manifest, earlier: Manifest) -> None:
    """Refuse two manifests of which one is not a later version of the other that answers alike."""
    if exported.version_numbers <= earlier.version_numbers:
        raise ValueError(f"version {exported.version} is not later than {earlier.version}")
    other = [
        name
        for name in Manifest.model_fields
        if name not in APART and getattr(exported, name) != getattr(earlier, name)
    ]
    if other or not _same_calibration(exported.calibration, earlier.calibration):
        raise ValueError(f"{exported.name} differs from {earlier.version} in {', '.join(other) or 'calibration'}")


def _same_calibration(one: Calibration, other: Calibration) -> bool:
    """Return whether two calibrations give the same probabilities."""
    near = abs(one.temperature - other.temperature) <= TOLERANCE
    return near and (one.method, one.isotonic) == (other.method, other.isotonic)


def _points(exported: Manifest, earlier: Manifest) -> tuple[OperatingPoint, ...]:
    """Return the earlier points with the ranges of the export, which hold the earlier thresholds."""
    new, old = exported.operating_points, earlier.operating_points
    if [(one.label, one.name, one.rule) for one in new] != [(one.label, one.name, one.rule) for one in old]:
        raise ValueError(f"the operating points of {exported.name} are not those of {earlier.version}, or reach others")
    far = [one for one, was in zip(new, old, strict=True) if abs(one.threshold - was.threshold) > TOLERANCE]
    if far:
        raise ValueError(f"the threshold {far[0].name} of {far[0].label} differs from that of {earlier.version}")
    return tuple(_with_doubt(was, one) for one, was in zip(new, old, strict=True))


def _with_doubt(point: OperatingPoint, other: OperatingPoint) -> OperatingPoint:
    """Return a point the range of doubt of another."""
    if other.doubt is None:
        return point
    ends = min(other.doubt[0], point.threshold), max(other.doubt[1], point.threshold)
    return point.model_copy(update={"doubt": ends, "doubt_rule": other.doubt_rule})
