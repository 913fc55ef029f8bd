"""Run a checkpoint over cached images on the model grid, in fp32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.config import RECIPE
from training.fit import loop
from training.tasks.chest import recipe as recipes
from training.tasks.chest.module import ChestModule, module_of
from training.tasks.chest.recipe import ChestRecipe

Float = NDArray[np.float32]


def load(run: Path) -> tuple[ChestRecipe, ChestModule]:
    """Load the best checkpoint of a run; only tensors and plain values are read from it."""
    recipe = recipes.read(run / RECIPE)
    module = module_of(recipe)
    module.load_state_dict(loop.checkpoint(run, loop.BEST)["state_dict"])
    return recipe, module.eval().requires_grad_(False)


def segment(module: ChestModule, images: NDArray[np.uint8], rows: list[int], batch: int = 16) -> tuple[Float, Float]:
    """Return probabilities (images, labels, size, size) as float16-exact float32, and features (images, features)."""
    probabilities: list[Float] = []
    features: list[Float] = []
    for part in _batches(images, rows, batch):
        logits, pooled, _ = module(part)
        probabilities.append(logits.float().sigmoid().half().numpy())
        features.append(pooled.float().numpy())
    return np.concatenate(probabilities), np.concatenate(features)


def classify(
    module: ChestModule, images: NDArray[np.uint8], rows: list[int], patient_features: Float, batch: int = 32
) -> Float:
    """Return logits (images, labels); `patient_features` (rows, 2) are age and sex, see models/values/patient.py."""
    told = torch.split(torch.from_numpy(patient_features), batch)
    parts = zip(_batches(images, rows, batch), told, strict=True)
    return np.concatenate([module(part, known).logits.float().numpy() for part, known in parts])


def _batches(images: NDArray[np.uint8], rows: list[int], batch: int) -> Iterator[torch.Tensor]:
    """Yield (batch, 1, size, size) in [0, 1]."""
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            stored = np.stack([images[row] for row in rows[start : start + batch]])
            yield torch.from_numpy(stored / np.float32(255))[:, None]
