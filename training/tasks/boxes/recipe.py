"""Recipe of the box regression."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from models.image.inputs import InputSpec
from training.config import Augmentation, Data, Optimisation, RecipeSection, read_as


class BoxRecipe(RecipeSection):
    """One experiment: a network that answers an image with one box for each label."""

    name: str
    """Name of the bundle that this recipe makes."""
    version: str
    """Version of that bundle."""
    task: Literal["box"]
    """OnProgress apart from the other recipes by this."""
    architecture: Literal["box-mobilenet_v2"]
    """See models/networks/boxes.py."""
    labels: tuple[Literal["heart"], ...] = ("heart",)
    """What the box is around."""
    seed: int = 20261121
    """Seeds the weights, the order and the augmentation."""
    data: Data
    """The images."""
    input: InputSpec
    """Model grid and normalisation, the same in serving."""
    augmentation: Augmentation = Augmentation()
    """Variation of training images; never mirrored, since the side of the heart is part of the answer."""
    optimisation: Optimisation = Optimisation()
    """The loop."""


def read(path: Path) -> BoxRecipe:
    """Read a recipe; raises as `training.config.read_as`."""
    return read_as(BoxRecipe, path)


def smoke(recipe: BoxRecipe) -> BoxRecipe:
    """Shrink a recipe to what runs in seconds: it shows that the way is open, nothing more."""
    loop = recipe.optimisation.model_copy(update={"epochs": 2, "batch_size": 4, "precision": "32-true"})
    size = recipe.input.model_copy(update={"size": 64})
    return recipe.model_copy(update={"optimisation": loop, "input": size})
