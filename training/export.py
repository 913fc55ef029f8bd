"""Turn a run into a bundle: fp16 weights, threshold, temperature and gate from validation; the test split is not read.

What comes out is complete but for its evaluation, which `training.evaluate` adds.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from models import codes
from models.bundle import (
    CARD,
    WEIGHTS,
    Calibration,
    Coded,
    DataSource,
    GateSettings,
    IntendedUse,
    Label,
    Manifest,
    OperatingPoint,
    write_manifest,
)
from models.gate import FeatureStatistics
from models.intended_use import FRONTAL_VIEWS
from models.runtime import GATE, NETWORK
from training import cache, calibrate, gatefit, predict, splits, terms
from training.config import Recipe
from training.datasets import pneumonia_labels
from training.tasks import Task

LUNGS_HEART_USE = IntendedUse(
    statement=(
        "Research use only, not for clinical use. Masks of both lungs and the heart, cardiothoracic ratio, heart box "
        "and lung areas on upright frontal chest radiographs of adults. The gate before all findings looks through "
        "this network at any age."
    ),
    age_years_from=16,
    age_years_below=None,
    age_unknown_allowed=True,
    views=FRONTAL_VIEWS,
)
PAEDIATRIC_USE = IntendedUse(
    statement=(
        "Research use only, not for clinical use. Probability of pneumonia on frontal chest radiographs of children of "
        "1 to 5 completed years, of the kind of the training set (one hospital, AP). Never for adults or newborns."
    ),
    age_years_from=1,
    age_years_below=6,
    age_unknown_allowed=False,
    views=FRONTAL_VIEWS,
)
SEGMENT_LABELS = (
    Label(name="right-lung", code=Coded.of(codes.LUNG), laterality=Coded.of(codes.RIGHT), colour_rgb=(90, 160, 235)),
    Label(name="left-lung", code=Coded.of(codes.LUNG), laterality=Coded.of(codes.LEFT), colour_rgb=(95, 205, 150)),
    Label(name="heart", code=Coded.of(codes.HEART), colour_rgb=(235, 95, 85)),
)


def export(run: Path, data: Path, folder: Path) -> Path:
    """Write the bundle of a run to its folder `bundle` and give that folder.

    Parameters
    ----------
    run : what `train` wrote.
    data, folder : data sets and decoded arrays.
    """
    recipe, task = predict.load_task(run)
    round_to_fp16(task)
    out = run / "bundle"
    out.mkdir(exist_ok=True)
    tensors = {NETWORK + key: stored(value) for key, value in task.net.state_dict().items()}
    if recipe.task == "segmentation":
        fitted = gatefit.fit(task, recipe, data, folder)
        tensors |= {GATE + key: value for key, value in gate_tensors(fitted.statistics).items()}
        (out / "evaluation").mkdir(exist_ok=True)
        gatefit.write_rates(fitted, out / "evaluation" / "gate.json")
        manifest = lungs_heart_manifest(recipe, fitted.settings, lungs_heart_sources(data))
    else:
        manifest = paediatric_manifest(recipe, task, data, folder)
    _write_atomically(out / WEIGHTS, save(tensors))
    (out / CARD).write_text(
        f"# {recipe.name} {recipe.version}\n\nNot evaluated yet. Research use only, not for clinical use.\n"
    )
    write_manifest(out, manifest)
    return out


def stored(tensor: Tensor) -> Tensor:
    """Give a tensor as it is stored: matrices in fp16; norms, biases and counters as they are (small, wide range)."""
    return (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor).contiguous()


def round_to_fp16(task: Task) -> None:
    """Round the weights to what will be stored, so that everything measured is of the bundle."""
    with torch.no_grad():
        for tensor in task.net.state_dict().values():
            tensor.copy_(stored(tensor).to(tensor.dtype))


def gate_tensors(statistics: FeatureStatistics) -> dict[str, Tensor]:
    """Give the gate's statistics as tensors."""
    return {
        "mean": torch.from_numpy(statistics.mean),
        "components": torch.from_numpy(statistics.components).contiguous(),
        "scale": torch.from_numpy(statistics.scale),
        "residual_scale": torch.tensor(statistics.residual_scale),
    }


def lungs_heart_sources(data: Path) -> tuple[DataSource, ...]:
    """Count what the segmentation training and the gate really use of each set."""
    with_masks = {row["id"] for row in splits.read_table(data, "kermany") if row["lung_mask"] == "1"}
    outlined = with_masks.intersection(splits.read("kermany", "train"))
    return (
        terms.source("wingspan", *terms.trained_on("ctr", prefix="w")),
        terms.source("jsrt", *terms.trained_on("ctr", prefix="j")),
        terms.source("kermany", *terms.counted("kermany", outlined.union(gatefit.fitted_ids("kermany")))),
        terms.source("kermany-lungs", *terms.counted("kermany", outlined)),
        terms.source("nih", *terms.counted("nih", gatefit.fitted_ids("nih"))),
        terms.source("atrium", *terms.trained_on("atrium")),
        terms.source("imagenet", 0, 0),
    )


def lungs_heart_manifest(recipe: Recipe, settings: GateSettings, sources: tuple[DataSource, ...]) -> Manifest:
    """Describe the segmentation bundle."""
    rule = "0.5, the middle of the sigmoid: the network was trained on covered parts of pixels; not tuned"
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task="segmentation",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=SEGMENT_LABELS,
        operating_points=tuple(OperatingPoint(label=one.name, threshold=0.5, rule=rule) for one in SEGMENT_LABELS),
        calibration=Calibration(temperature=1.0, method="none"),
        training_data=sources,
        licence="research and education only (JSRT, atrium); see training_data for each set",
        non_commercial=True,
        evaluation=(),
        intended_use=LUNGS_HEART_USE,
        gate=settings,
        files={},
    )


def paediatric_manifest(recipe: Recipe, task: Task, data: Path, folder: Path) -> Manifest:
    """Describe the classification bundle, with temperature and threshold from validation."""
    ids = splits.read("kermany", "val")
    source = cache.build(data, "kermany", recipe.input, folder)
    logits = predict.classify(task, source.images, source.rows(ids))[:, 0]
    truth = pneumonia_labels(data, ids)[:, 0].numpy() > 0.5
    temperature = calibrate.temperature(logits, truth)
    point = calibrate.threshold(calibrate.sigmoid(logits / temperature), truth, floor=recipe.sensitivity_floor)
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task="classification",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=(Label(name="pneumonia", code=Coded.of(codes.PNEUMONIA)),),
        operating_points=(OperatingPoint(label="pneumonia", threshold=point.threshold, rule=point.rule),),
        calibration=Calibration(
            temperature=temperature, method=f"temperature scaling by likelihood on {len(ids)} validation images"
        ),
        training_data=(
            terms.source("kermany", *terms.trained_on("kermany")),
            terms.source("imagenet", 0, 0),
        ),
        licence="CC BY 4.0, with the attribution given under training_data",
        non_commercial=False,
        evaluation=(),
        intended_use=PAEDIATRIC_USE,
        files={},
    )


def _write_atomically(path: Path, content: bytes) -> None:
    """Write beside the path, then rename."""
    aside = path.with_suffix(".part")
    aside.write_bytes(content)
    aside.replace(path)
