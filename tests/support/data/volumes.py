"""Synthetic volumes in the layout of the data set, and a bundle that finds bright voxels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.bundle import store
from models.bundle.manifest import VolumeSpec
from models.bundle.store import Bundle
from models.inference.runner import NETWORK
from models.networks.volumes import build_volume
from tests.support.paths import RECIPES
from training.data import splits
from training.tasks.atrium import export
from training.tasks.atrium import recipe as config
from training.tasks.atrium.recipe import VolumeRecipe

NAME = "atrium"
SPACING = (1.25, 1.25, 1.25)


def data_set(folder: Path) -> Path:
    """Write one small volume for every id of the committed split, a bright body on a dark ground."""
    (folder / NAME).mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for name in splits.parts(splits.file_of(NAME)):
        shape = (40, 36, 20)
        z = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
        label = (((z - rng.uniform(-0.2, 0.2, (3, 1, 1, 1))) / 0.45) ** 2).sum(axis=0) < 1
        image = np.clip(60 + 120 * label + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)
        np.savez(folder / NAME / f"{name}.npz", image=image, label=label.astype(np.uint8))
        rows.append({"id": name, "rows": shape[0], "columns": shape[1], "slices": shape[2]})
    with (folder / NAME / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "rows", "columns", "slices"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def recipe(name: str = "atrium-3d") -> VolumeRecipe:
    """Shrink a committed recipe."""
    path = RECIPES / f"{name}.yaml"
    return config.smoke(config.read(path))


def bright_bundle(folder: Path, *, field_mm: tuple[float, float, float] = (60.0, 60.0, 60.0)) -> Bundle:
    """Write a bundle whose network answers yes where the normalised value is above one half."""
    made = recipe()
    window = VolumeSpec.model_validate(
        {
            **made.volume.model_dump(),
            "spacing_mm": SPACING,
            "field_mm": field_mm,
            "window": (32, 32, 32),
            "overlap": 0.0,
        }
    )
    network = build_volume(made.architecture, 1)
    state = {key: torch.zeros_like(value) for key, value in network.state_dict().items()}
    # The finest level hands its input on through the middle of its kernels. Its norms compare with the mean of the
    # window, where a window of one grey is 0: the bias says no to that.
    state["down.0.0.weight"][:, 0, 1, 1, 1] = 1
    state["down.0.1.weight"][:] = 1
    half = state["up.0.0.weight"].shape[1] // 2
    for channel in range(half):
        state["up.0.0.weight"][channel, half + channel, 1, 1, 1] = 1
    state["up.0.1.weight"][:] = 1
    state["head.weight"][:] = 1
    state["head.bias"][:] = -0.05
    folder.mkdir(parents=True)
    save_file({NETWORK + key: value.contiguous() for key, value in state.items()}, folder / store.WEIGHTS)
    (folder / store.CARD).write_text("card")
    manifest = export.manifest(made, ())
    store.write_manifest(folder, manifest.model_copy(update={"volume": window}))
    return store.load(folder)


def body(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    """Return a ball, in voxels."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")).astype(float)
    at = np.array(centre).reshape(3, 1, 1, 1)
    return np.asarray(((grid - at) ** 2).sum(axis=0) < radius**2)
