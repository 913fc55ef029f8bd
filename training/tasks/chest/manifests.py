"""What the bundles for chest radiographs say about themselves; thresholds and calibration are handed in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.bundle.intended_use import FRONTAL_VIEWS
from models.bundle.manifest import (
    Calibration,
    DataSource,
    GateSettings,
    HysteresisThreshold,
    IntendedUse,
    Manifest,
    OperatingPoint,
)
from models.values import catalogue
from training.bundles import manifests
from training.bundles.manifests import adult_use, by_site, label
from training.data import collection, terms
from training.fit import origin
from training.tasks.chest import gatefit
from training.tasks.chest.recipe import ChestRecipe

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


def lungs_heart_sources(recipe: ChestRecipe, data: Path, run: Path) -> tuple[DataSource, ...]:
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


def lungs_heart(recipe: ChestRecipe, settings: GateSettings, sources: tuple[DataSource, ...]) -> Manifest:
    """Describe the segmentation bundle."""
    rule = "0.5, the middle of the sigmoid: the network was trained on covered parts of pixels; not tuned"
    labels = tuple(label(name, coloured=True) for name in catalogue.BUNDLES["lungs-heart"].labels)
    return manifests.manifest(
        recipe,
        task="segmentation",
        labels=labels,
        training_data=sources,
        intended_use=LUNGS_HEART_USE,
        operating_points=tuple(OperatingPoint(label=one.name, threshold=0.5, rule=rule) for one in labels),
        licence="research and education only (JSRT, atrium); see training_data for each set",
        non_commercial=True,
        gate=settings,
    )


def paediatric(
    recipe: ChestRecipe, calibration: Calibration, points: Sequence[OperatingPoint], sources: tuple[DataSource, ...]
) -> Manifest:
    """Describe the paediatric classification bundle."""
    return manifests.manifest(
        recipe,
        task="classification",
        labels=tuple(label(name) for name in catalogue.BUNDLES["paediatric-pneumonia"].labels),
        training_data=sources,
        intended_use=PAEDIATRIC_USE,
        operating_points=tuple(points),
        calibration=calibration,
    )


def finding(
    recipe: ChestRecipe,
    name: str,
    calibration: Calibration,
    points: Sequence[OperatingPoint],
    sources: tuple[DataSource, ...],
) -> Manifest:
    """Describe one bundle of the training on many findings."""
    row = catalogue.BUNDLES[name]
    return manifests.manifest(
        recipe,
        task="classification",
        labels=tuple(label(one) for one in row.labels),
        training_data=sources,
        intended_use=adult_use(row.tells),
        name=name,
        version=recipe.bundles[name].version,
        operating_points=tuple(points),
        calibration=calibration,
        only_by_name=recipe.bundles[name].only_by_name,
    )


def lesion(recipe: ChestRecipe, triplet: HysteresisThreshold, sources: tuple[DataSource, ...]) -> Manifest:
    """Describe a bundle that outlines a disease."""
    if recipe.lesions is None:
        raise ValueError(f"recipe {recipe.name} has no section `lesions`")
    rule = f"the bottom threshold of the triplet: {triplet.rule}"
    return manifests.manifest(
        recipe,
        task="lesion-segmentation",
        labels=tuple(label(one, coloured=True) for one in recipe.labels),
        training_data=sources,
        intended_use=adult_use(f"Outline of {' and '.join(recipe.labels)}"),
        operating_points=tuple(
            OperatingPoint(label=one, threshold=triplet.bottom_threshold, rule=rule) for one in recipe.labels
        ),
        postprocessing=triplet,
        gated_by=recipe.lesions.gated_by,
    )
