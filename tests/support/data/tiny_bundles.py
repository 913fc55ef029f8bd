"""Small bundles whose answer is known: random weights but for the last layer, which says the same of every image."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from models import networks
from models.bundle import store
from models.bundle.manifest import (
    Calibration,
    Coded,
    Figure,
    HysteresisThreshold,
    IntendedUse,
    Label,
    Manifest,
    OperatingPoint,
    Task,
)
from models.bundle.store import Bundle
from models.image.inputs import InputSpec
from models.inference.runner import NETWORK
from models.values import codes
from models.values.codes import Code

LUNGS = InputSpec(size=64, region="lungs", margin=0.05)
ADULTS = IntendedUse(
    statement="Research use only, not for clinical use. A test.",
    age_years_from=16,
    age_years_below=None,
    age_unknown_allowed=True,
    views=("PA", "AP"),
)
LAST = {
    "baseline-cnn": "classify",
    "locating-mobilenet_v2": "classify",
    "mobilenet_v2-patient": "classify",
    "unet-mobilenet_v2": "unet.segmentation_head.0",
}


def segmenter(root: Path) -> Path:
    """Copy the shipped bundle for lungs and heart."""
    found = next(one for one in store.find(store.shipped()) if one.manifest.task == "segmentation")
    return Path(shutil.copytree(found.path, root / found.path.name))


def classifier(
    root: Path,
    name: str,
    probabilities: dict[str, float],
    *,
    concepts: Sequence[Code] = (codes.PNEUMOTHORAX,),
    threshold: float = 0.4,
    architecture: str = "baseline-cnn",
    use: IntendedUse = ADULTS,
    spec: InputSpec = LUNGS,
    calibration: Calibration | None = None,
    only_by_name: bool = False,
    doubt: tuple[float, float] | None = None,
) -> Bundle:
    """Write a classifier that gives these probabilities (before calibration) for every image."""
    points = [OperatingPoint(label=label, threshold=threshold, rule="a rule", doubt=doubt) for label in probabilities]
    points += [
        OperatingPoint(label=label, threshold=0.9, rule="another rule", name="strict") for label in probabilities
    ]
    labels = tuple(Label(name=n, code=Coded.of(c)) for n, c in zip(probabilities, concepts, strict=True))
    manifest = _manifest(name, "classification", architecture, labels).model_copy(
        update={
            "operating_points": tuple(points),
            "intended_use": use,
            "only_by_name": only_by_name,
            "input": spec,
            "calibration": calibration or Calibration(temperature=1.0, method="none"),
        }
    )
    return _write(root, manifest, list(probabilities.values()))


def lesion_segmenter(
    root: Path,
    name: str,
    probability: float,
    *,
    gated_by: str | None,
    limits: HysteresisThreshold | None = None,
    use: IntendedUse = ADULTS,
) -> Bundle:
    """Write a bundle that outlines the whole of what it sees where the probability is above its limits."""
    given = HysteresisThreshold(top_threshold=0.6, minimum_area=0.01, bottom_threshold=0.4, rule="a rule")
    label = Label(name="pneumothorax", code=Coded.of(codes.PNEUMOTHORAX), colour_rgb=(235, 80, 225))
    manifest = _manifest(name, "lesion-segmentation", "unet-mobilenet_v2", (label,)).model_copy(
        update={"postprocessing": limits or given, "gated_by": gated_by, "intended_use": use}
    )
    return _write(root, manifest, [probability])


def other(root: Path, name: str, task: Task) -> Bundle:
    """Write a bundle that is not for chest radiographs; its weights fit nothing."""
    label = Label(name="heart", code=Coded.of(codes.HEART))
    manifest = _manifest(name, task, "baseline-cnn", (label,)).model_copy(
        update={"operating_points": (OperatingPoint(label="heart", threshold=0.5, rule="a rule"),)}
    )
    return _write(root, manifest, [0.5])


def _manifest(name: str, task: Task, architecture: str, labels: tuple[Label, ...]) -> Manifest:
    return Manifest(
        name=name,
        version="0.1.0",
        task=task,
        architecture=architecture,
        input=LUNGS,
        labels=labels,
        operating_points=(),
        calibration=Calibration(temperature=1.0, method="none"),
        training_data=(),
        licence="terms of a test",
        non_commercial=True,
        evaluation=(Figure(name="AUC", value=0.9, low=0.85, high=0.95, count=12, measured_on="a test split"),),
        intended_use=ADULTS,
        files={},
    )


def _write(root: Path, manifest: Manifest, probabilities: list[float]) -> Bundle:
    folder = root / f"{manifest.name}-{manifest.version}"
    folder.mkdir()
    torch.manual_seed(0)
    state = networks.build(manifest.architecture, len(manifest.labels)).state_dict()
    state[f"{LAST[manifest.architecture]}.weight"].zero_()
    state[f"{LAST[manifest.architecture]}.bias"].copy_(torch.tensor([math.log(p / (1 - p)) for p in probabilities]))
    if "share" in state:
        # The logit is that of the last layer alone; the map of every label is bright everywhere.
        state["share"].zero_()
        state["locate.weight"].zero_()
        state["locate.bias"].fill_(2.0)
    save_file({NETWORK + key: value.contiguous() for key, value in state.items()}, folder / store.WEIGHTS)
    (folder / store.CARD).write_text(f"# {manifest.name}\n\nNot for clinical use.\n")
    store.write_manifest(folder, manifest)
    return store.load(folder)
