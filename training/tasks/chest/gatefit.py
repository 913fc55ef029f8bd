"""Fit the gate: feature statistics on training images, limits on validation images, rates on both kinds.

Positives: ctr, kermany and nih. Negatives to measure with: validation images turned, flipped, cut and mixed, noise,
ramps, and MR slices. The DICOM samples of other body parts are test objects and are not read here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle.manifest import GateSettings
from models.chest.gate import GateObservation, judge, observe
from models.values.features import FeatureStatistics
from training.data import cache, collection, masks, negatives, splits
from training.data.cache import Cache, as_image
from training.data.collection import Collection
from training.data.masks import Masks
from training.data.splits import Split
from training.tasks.chest import predict
from training.tasks.chest.module import ChestModule
from training.tasks.chest.recipe import ChestRecipe

Float = NDArray[np.float32]
# The adults of the recipe, and chests of other kinds, each with the masks that their cache holds for training.
SETS: Mapping[str, Masks] = {"ctr": masks.anatomy, "kermany": masks.lung_fields, "nih": masks.lesions}
KEPT = 64
# The statistics need no more than this many images of one set; equal numbers, so no set stands for "chest" alone.
MOST_FITTED = 500
# Limits stand this far outside what validation showed, and at most this part of validation may fall to the distance.
SLACK = 0.8
DISTANCE_QUANTILE = 0.998
RULE = (
    "anatomical rules: 0.8 times the 0.1 % quantile (1.25 times the 99.9 % quantile for upper limits) of validation "
    "images of ctr, kermany and nih; feature distance: 99.8 % quantile of the same images"
)


@dataclass(frozen=True)
class Opened:
    """A collection and its arrays."""

    images: Collection
    source: Cache

    def rows(self, split: Split) -> tuple[NDArray[np.uint8], list[int]]:
        """Return the images, and the rows of a split in them."""
        return self.source.images, self.source.rows(self.images.ids(split))


def looked_at(recipe: ChestRecipe, data: Path) -> dict[str, Collection]:
    """Return the collections that the gate is fitted to."""
    others = {name: collection.read(data, collection.SHIPPED[name]) for name in SETS if name != "ctr"}
    return {"ctr": collection.read(data, recipe.data), **others}


@dataclass(frozen=True)
class FittedGate:
    """Statistics and limits, with the rates that they give (name, accepted, of)."""

    statistics: FeatureStatistics
    settings: GateSettings
    rates: tuple[tuple[str, int, int], ...]


def fit(module: ChestModule, recipe: ChestRecipe, data: Path, folder: Path) -> FittedGate:
    """Fit the gate to a trained segmenter; the test split is not read."""
    sets = {
        name: Opened(images, cache.build(images, recipe.input, folder, targets=SETS[name]))
        for name, images in looked_at(recipe, data).items()
    }
    statistics = statistics_of(_training_features(module, sets))
    seen: dict[str, list[GateObservation]] = {}
    for name in SETS:
        images, rows = sets[name].rows("val")
        seen[name] = observations(module, images, rows, statistics)
    settings = limits([one for group in seen.values() for one in group])
    rates = [(f"{name} val", accepted(group, settings), len(group)) for name, group in seen.items()]
    for name, pictures in negative_pictures(sets, negatives.mr_slices(data), recipe, folder).items():
        group = observations(module, pictures, list(range(len(pictures))), statistics)
        rates.append((name, accepted(group, settings), len(group)))
    return FittedGate(statistics, settings, tuple(rates))


def statistics_of(features: Float) -> FeatureStatistics:
    """Fit mean, principal directions and scales to features (images, features)."""
    mean = features.mean(axis=0)
    centred = (features - mean).astype(np.float64)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    components = directions[:KEPT]
    scale = singular[:KEPT] / np.sqrt(len(features) - 1)
    rest = centred - (centred @ components.T) @ components
    residual = float(np.sqrt((rest**2).sum(axis=1).mean()))
    return FeatureStatistics(mean.astype(np.float32), components.astype(np.float32), scale.astype(np.float32), residual)


def observations(
    module: ChestModule, images: NDArray[np.uint8], rows: list[int], statistics: FeatureStatistics
) -> list[GateObservation]:
    """Look at images as the gate does; the content is found again from the picture's black margins."""
    found: list[GateObservation] = []
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        probabilities, features = predict.segment(module, images, part)
        for row, probability, feature in zip(part, probabilities, features, strict=True):
            found.append(observe(probability.astype(np.float32), content_of(images[row]), feature, statistics))
    return found


def content_of(image: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Return the rectangle that a letterboxed picture fills: centred, with black margins on two sides at most."""
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    size = image.shape[0]
    if not len(rows):
        return slice(0, size), slice(0, size)
    top, left = min(rows[0], size - 1 - rows[-1]), min(columns[0], size - 1 - columns[-1])
    return slice(int(top), int(size - top)), slice(int(left), int(size - left))


def limits(observations: list[GateObservation]) -> GateSettings:
    """Choose the limits by `RULE`."""
    table = {
        name: np.array([one.values[name] for one in observations if one.values]) for name in _first_values(observations)
    }
    low = {name: SLACK * float(np.quantile(values, 0.001)) for name, values in table.items()}
    high = {name: float(np.quantile(values, 0.999)) / SLACK for name, values in table.items()}
    distances = np.array([one.feature_distance for one in observations])
    return GateSettings(
        lung_area_part=(low["smallest_lung"], high["largest_lung"]),
        lungs_area_part=(low["lungs"], high["lungs"]),
        smaller_to_larger_area=low["smaller_to_larger_area"],
        horizontal_separation=low["horizontal_separation"],
        vertical_overlap=low["vertical_overlap"],
        solidity=low["solidity"],
        largest_piece=low["largest_piece"],
        confidence=low["confidence"],
        feature_distance=float(np.quantile(distances, DISTANCE_QUANTILE)),
        rule=RULE,
    )


def accepted(observations: list[GateObservation], settings: GateSettings) -> int:
    """Count what the gate lets through."""
    return sum(judge(one, settings).passed for one in observations)


def negative_pictures(
    sets: Mapping[str, Opened], slices: Collection, recipe: ChestRecipe, folder: Path
) -> dict[str, NDArray[np.uint8]]:
    """Make pictures that are to be refused from validation images, with a generator of their own; MR slices as well."""
    chests = [images[row] for images, rows in (sets[name].rows("val") for name in SETS) for row in rows[:60]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(splits.SEED)
        made = {
            maker.__name__: np.stack([_stored(maker(as_image(image))) for image in chests])
            for maker in dict.fromkeys(negatives.MAKERS)
        }
    source = cache.build(slices, recipe.input, folder)
    made["MR slices"] = np.asarray(source.images[source.rows(slices.ids("val"))])
    return made


def _stored(image: torch.Tensor) -> NDArray[np.uint8]:
    """Quantise as the cache does."""
    stored: NDArray[np.uint8] = (image[0] * 255).round().to(torch.uint8).numpy()
    return stored


def fitted_ids(images: Collection) -> tuple[str, ...]:
    """Return the training images of a set that the feature statistics are fitted on: an evenly spaced part."""
    ids = images.ids("train")
    return ids[:: max(1, len(ids) // MOST_FITTED)][:MOST_FITTED]


def _training_features(module: ChestModule, sets: Mapping[str, Opened]) -> Float:
    """Return the features of an evenly spaced part of each training split."""
    parts: list[Float] = []
    for name in SETS:
        source = sets[name].source
        chosen = source.rows(fitted_ids(sets[name].images))
        for start in range(0, len(chosen), 64):
            parts.append(predict.segment(module, source.images, chosen[start : start + 64])[1])
    return np.concatenate(parts)


def _first_values(observations: list[GateObservation]) -> tuple[str, ...]:
    """Return the names of the measured values."""
    return next(tuple(one.values) for one in observations if one.values)


def write_rates(fitted: FittedGate, path: Path) -> None:
    """Write how many images of each kind the gate accepts."""
    rates = [{"images": name, "accepted": count, "of": total} for name, count, total in fitted.rates]
    path.write_text(json.dumps({"rule": fitted.settings.rule, "rates": rates}, indent=2) + "\n")
