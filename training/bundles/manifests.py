"""What each bundle says about itself: labels, intended use, data, terms; thresholds and calibration are handed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.bundle.intended_use import FRONTAL_VIEWS
from models.bundle.manifest import (
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
from models.values import codes
from training.bundles import gatefit
from training.config import Recipe
from training.data import collection, terms
from training.data.collection import Collection
from training.fit import origin

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
        Label(name="lung-opacity", code=Coded.of(codes.LUNG_OPACITY)),
        "Probability of a lung opacity that radiologists hold for a possible pneumonia",
    ),
}
LESION_LABELS = {
    "pneumothorax": Label(name="pneumothorax", code=Coded.of(codes.PNEUMOTHORAX), colour_rgb=(250, 205, 70)),
}


def lungs_heart_sources(recipe: Recipe, data: Path, run: Path) -> tuple[DataSource, ...]:
    """Count what the segmentation training and the gate really use of each set."""
    seen = gatefit.looked_at(recipe, data)
    children, others = seen["kermany"], seen["nih"]
    outlined = [one for one in children.ids("train") if children.records[one].mask is not None]
    fitted = [*outlined, *(one for one in gatefit.fitted_ids(children) if one not in set(outlined))]
    volumes = collection.read(data, collection.SHIPPED["atrium"])
    return (
        *by_site(seen["ctr"], seen["ctr"].ids("train")),
        terms.source("kermany", *children.counted(fitted)),
        terms.source("kermany-lungs", *children.counted(outlined)),
        terms.source("nih", *others.counted(gatefit.fitted_ids(others))),
        terms.source("atrium", *volumes.counted(volumes.ids("train"))),
        *origin.noted(run),
    )


def by_site(given: Collection, ids: Sequence[str]) -> tuple[DataSource, ...]:
    """Count images of hospitals that have terms of their own apart; else by data set."""
    sites = {site: [one for one in ids if given.records[one].site == site] for site in ("wingspan", "jsrt")}
    if sum(len(part) for part in sites.values()) < len(ids):
        return given.counts(ids)
    return tuple(terms.source(site, *given.counted(part)) for site, part in sites.items() if part)


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


def paediatric_manifest(
    recipe: Recipe, calibration: Calibration, points: Sequence[OperatingPoint], learnt: tuple[DataSource, ...]
) -> Manifest:
    """Describe the paediatric classification bundle."""
    licence, non_commercial = terms.together(recipe.data.sources)
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        task="classification",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=(Label(name="pneumonia", code=Coded.of(codes.PNEUMONIA)),),
        operating_points=tuple(points),
        calibration=calibration,
        training_data=learnt,
        licence=licence,
        non_commercial=non_commercial,
        evaluation=(),
        intended_use=PAEDIATRIC_USE,
        files={},
    )


def finding_manifest(
    recipe: Recipe,
    name: str,
    calibration: Calibration,
    points: Sequence[OperatingPoint],
    learnt: tuple[DataSource, ...],
) -> Manifest:
    """Describe one bundle of the training on many findings."""
    label, what = FINDINGS[name]
    licence, non_commercial = terms.together(recipe.data.sources)
    return Manifest(
        name=name,
        version=recipe.bundles[name].version,
        task="classification",
        architecture=recipe.architecture,
        input=recipe.input,
        labels=(label,),
        operating_points=tuple(points),
        calibration=calibration,
        training_data=learnt,
        licence=licence,
        non_commercial=non_commercial,
        evaluation=(),
        intended_use=adult_use(what),
        only_by_name=recipe.bundles[name].only_by_name,
        files={},
    )


def lesion_manifest(recipe: Recipe, triplet: Triplet, learnt: tuple[DataSource, ...]) -> Manifest:
    """Describe a bundle that outlines a disease."""
    if recipe.lesions is None:
        raise ValueError(f"recipe {recipe.name} has no section `lesions`")
    rule = f"the bottom threshold of the triplet: {triplet.rule}"
    licence, non_commercial = terms.together(recipe.data.sources)
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
        training_data=learnt,
        licence=licence,
        non_commercial=non_commercial,
        evaluation=(),
        intended_use=adult_use(f"Outline of {' and '.join(recipe.labels)}"),
        postprocessing=triplet,
        gated_by=recipe.lesions.gated_by,
        files={},
    )


def learnt_from(given: Collection, ids: Sequence[str], run: Path) -> tuple[DataSource, ...]:
    """Count the training images that each data set told something of; then where the run's weights began."""
    return (*given.counts(ids), *origin.noted(run))
