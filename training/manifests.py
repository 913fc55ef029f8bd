"""What each bundle says about itself: labels, intended use, data, terms; thresholds and calibration are handed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models import codes
from models.bundle import (
    Calibration,
    Coded,
    DataSource,
    GateSettings,
    IntendedUse,
    Label,
    Manifest,
    OperatingPoint,
    Triplet,
)
from models.intended_use import FRONTAL_VIEWS
from training import gatefit, splits, terms
from training.config import Recipe

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


def adult_use(what: str) -> IntendedUse:
    """Give the intended use of what was trained on NIH's adults."""
    return IntendedUse(
        statement=(
            f"Research use only, not for clinical use. {what} on upright frontal chest radiographs of adults, of the "
            "kind of the training set (one hospital, 8-bit images). Never for children."
        ),
        age_years_from=16,
        age_years_below=None,
        age_unknown_allowed=False,
        views=FRONTAL_VIEWS,
    )


# Of the bundles that are cut from the training on many findings: the coded label, and what it tells.
FINDINGS: dict[str, tuple[Label, str]] = {
    "pneumothorax": (
        Label(name="pneumothorax", code=Coded.of(codes.PNEUMOTHORAX)),
        "Probability of a pneumothorax",
    ),
    "atelectasis": (
        Label(name="atelectasis", code=Coded.of(codes.ATELECTASIS)),
        "Probability of atelectasis, as text-mined from radiology reports",
    ),
    "adult-pneumonia": (
        Label(name="pneumonia", code=Coded.of(codes.PNEUMONIA)),
        "Probability of a lung opacity that radiologists hold for a possible pneumonia",
    ),
}
LESION_LABELS = {
    "pneumothorax": Label(name="pneumothorax", code=Coded.of(codes.PNEUMOTHORAX), colour_rgb=(250, 205, 70)),
}
NIH_LICENCE = (
    "academic and non-commercial use only (annotations of SIIM-ACR and RSNA on images of the NIH Clinical Center); see "
    "training_data for each set"
)


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


def paediatric_manifest(recipe: Recipe, calibration: Calibration, points: Sequence[OperatingPoint]) -> Manifest:
    """Describe the paediatric classification bundle."""
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task="classification",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=(Label(name="pneumonia", code=Coded.of(codes.PNEUMONIA)),),
        operating_points=tuple(points),
        calibration=calibration,
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


def finding_manifest(
    recipe: Recipe,
    name: str,
    calibration: Calibration,
    points: Sequence[OperatingPoint],
    sources: tuple[DataSource, ...],
) -> Manifest:
    """Describe one bundle of the training on many findings."""
    label, what = FINDINGS[name]
    return Manifest(
        name=name,
        version=recipe.bundles[name].version,
        task="classification",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=(label,),
        operating_points=tuple(points),
        calibration=calibration,
        training_data=sources,
        licence=NIH_LICENCE,
        non_commercial=True,
        evaluation=(),
        intended_use=adult_use(what),
        only_by_name=recipe.bundles[name].only_by_name,
        files={},
    )


def lesion_manifest(recipe: Recipe, triplet: Triplet, sources: tuple[DataSource, ...]) -> Manifest:
    """Describe a bundle that outlines a disease."""
    if recipe.lesions is None:
        raise ValueError(f"recipe {recipe.name} has no section `lesions`")
    rule = f"the bottom threshold of the triplet: {triplet.rule}"
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task="lesion-segmentation",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=tuple(LESION_LABELS[one] for one in recipe.labels),
        operating_points=tuple(
            OperatingPoint(label=one, threshold=triplet.bottom_threshold, rule=rule) for one in recipe.labels
        ),
        calibration=Calibration(temperature=1.0, method="none"),
        training_data=sources,
        licence=NIH_LICENCE,
        non_commercial=True,
        evaluation=(),
        intended_use=adult_use(f"Outline of {' and '.join(recipe.labels)}"),
        postprocessing=triplet,
        gated_by=recipe.lesions.gated_by,
        files={},
    )


def nih_sources(data: Path, names: Sequence[str]) -> tuple[DataSource, ...]:
    """Count what a training on nih uses of each source of truth: "nih" all images, "siim" and "rsna" what they read."""
    trained = set(splits.read("nih", "train"))
    rows = [row for row in splits.read_table(data, "nih") if row["id"] in trained]
    column = {"siim": "siim_positive", "rsna": "rsna_class"}
    used = {one: [row["id"] for row in rows if one not in column or row[column[one]]] for one in names}
    return (
        *(terms.source(one, *terms.counted("nih", ids)) for one, ids in used.items()),
        terms.source("imagenet", 0, 0),
    )
