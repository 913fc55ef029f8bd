"""What a lungs-heart training of one hospital is worth in another: every image of the other site, on the model grid.

A part of the evaluation: it reads all splits of the other site, none of which the training has seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import Figure
from training.data import cache, collection, masks, splits
from training.data.collection import of_site
from training.measures import bootstrap, overlap
from training.tasks.chest import predict

OTHER = {"wingspan": "jsrt", "jsrt": "wingspan"}
REPORT = "cross-site.json"
# Half of a pixel in 8 bits.
HALF = 128


def evaluate(run: Path, data: Path, folder: Path) -> tuple[Figure, ...]:
    """Measure the best weights of a run of one site on all images of the other, and write the run's cross-site.json.

    Raises
    ------
    ValueError
        The run was trained on both sites.
    """
    recipe, module = predict.load(run)
    if recipe.mixture.site not in OTHER:
        raise ValueError(f"{run.name} was trained on {recipe.mixture.site} sites; mixture.site names one of {[*OTHER]}")
    other = OTHER[recipe.mixture.site]
    images = collection.read(data, recipe.data)
    ids = of_site(images, images.ids(*splits.SPLITS), other)
    source = cache.build(images, recipe.input, folder, targets=masks.anatomy)
    rows = source.rows(ids)
    if source.masks is None:
        raise ValueError("the cache of ctr holds no masks")
    found = predict.segment(module, source.images, rows)[0] >= 0.5
    figures = _figures(found, source.masks[rows] >= HALF, ids, f"{other}, trained on {recipe.mixture.site}, model grid")
    content: dict[str, Any] = {"figures": [one.model_dump() for one in figures]}
    (run / REPORT).write_text(json.dumps(content, indent=2) + "\n")
    return figures


def _figures(found: NDArray[np.bool_], truth: NDArray[np.bool_], ids: tuple[str, ...], on: str) -> tuple[Figure, ...]:
    """Return Dice of each structure and the error of the cardiothoracic ratio; masks are (images, 3, size, size)."""
    pairs = {
        "Dice lungs": (found[:, 0] | found[:, 1], truth[:, 0] | truth[:, 1]),
        "Dice heart": (found[:, 2], truth[:, 2]),
    }
    patients = list(ids)
    values = {name: [overlap.dice(a, b) for a, b in zip(*pair, strict=True)] for name, pair in pairs.items()}
    ratios = [_ratio(a) - _ratio(b) for a, b in zip(found, truth, strict=True)]
    values["cardiothoracic ratio, mean absolute error"] = np.abs(ratios).tolist()
    figures = (bootstrap.mean_figure(name, each, patients, on) for name, each in values.items())
    return tuple(one for one in figures if one is not None)


def _ratio(masks: NDArray[np.bool_]) -> float:
    """Return the width of the heart over that of both lungs, NaN where one is not there."""
    lungs, heart = (np.flatnonzero(mask.any(axis=0)) for mask in (masks[0] | masks[1], masks[2]))
    if not len(lungs) or not len(heart):
        return float("nan")
    return float((heart[-1] - heart[0] + 1) / (lungs[-1] - lungs[0] + 1))
