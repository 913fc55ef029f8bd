"""Recipe of the detector."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from models.image.inputs import InputSpec
from training.config import Augmentation, Data, Optimisation, RecipeSection, read_as


class DetectionRecipe(RecipeSection):
    """One experiment: a network that answers an image with any number of scored boxes."""

    name: str
    """Name of the bundle that this recipe makes."""
    version: str
    """Version of that bundle."""
    task: Literal["detection"]
    """OnProgress apart from the other recipes by this."""
    architecture: Literal["retinanet-mobilenet_v2"]
    """See models/networks/detectors.py."""
    labels: tuple[Literal["lung-opacity"], ...] = ("lung-opacity",)
    """What the boxes are around."""
    seed: int = 20261121
    """Seeds the weights, the order and the augmentation."""
    data: Data
    """The images."""
    input: InputSpec
    """Model grid and normalisation, the same in serving; the anchors fit a grid of 320."""
    images: int = 250
    """Images an epoch, drawn with return."""
    positive_part: float = Field(default=0.5, gt=0, lt=1)
    """Part of them that has a box."""
    augmentation: Augmentation = Augmentation()
    """Variation of training images."""
    optimisation: Optimisation = Optimisation()
    """The loop."""


def read(path: Path) -> DetectionRecipe:
    """Read a recipe; raises as `training.config.read_as`."""
    return read_as(DetectionRecipe, path)


def smoke(recipe: DetectionRecipe) -> DetectionRecipe:
    """Shrink a recipe to what runs in seconds: it shows that the way is open, nothing more."""
    loop = recipe.optimisation.model_copy(update={"epochs": 2, "batch_size": 4, "precision": "32-true"})
    size = recipe.input.model_copy(update={"size": 128})
    return recipe.model_copy(update={"optimisation": loop, "input": size, "images": 8})
