"""Run a checkpoint over cached images on the model grid, in fp32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training import config
from training.config import Recipe
from training.tasks.chest.fit import task_of
from training.tasks.chest.module import Task

Float = NDArray[np.float32]


def load_task(run: Path) -> tuple[Recipe, Task]:
    """Load the best checkpoint of a run; only tensors and plain values are read from it."""
    recipe = config.read(run / "recipe.yaml")
    task = task_of(recipe)
    state = torch.load(run / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    task.load_state_dict(state["state_dict"])
    return recipe, task.eval().requires_grad_(False)


def segment(task: Task, images: NDArray[np.uint8], rows: list[int], batch: int = 16) -> tuple[Float, Float]:
    """Give probabilities (images, labels, size, size) as float16-exact float32, and features (images, features)."""
    probabilities: list[Float] = []
    features: list[Float] = []
    for part in _batches(images, rows, batch):
        logits, pooled, _ = task(part)
        probabilities.append(logits.float().sigmoid().half().numpy())
        features.append(pooled.float().numpy())
    return np.concatenate(probabilities), np.concatenate(features)


def classify(task: Task, images: NDArray[np.uint8], rows: list[int], people: Float, batch: int = 32) -> Float:
    """Give logits (images, labels); `people` are age and sex of each patient (rows, 2), see `models.values.patient`."""
    told = torch.split(torch.from_numpy(people), batch)
    parts = zip(_batches(images, rows, batch), told, strict=True)
    return np.concatenate([task(part, known).logits.float().numpy() for part, known in parts])


def _batches(images: NDArray[np.uint8], rows: list[int], batch: int) -> Iterator[torch.Tensor]:
    """Yield (batch, 1, size, size) in [0, 1]."""
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            stored = np.stack([images[row] for row in rows[start : start + batch]])
            yield torch.from_numpy(stored / np.float32(255))[:, None]
