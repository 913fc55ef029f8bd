"""Recipe of the two atrium networks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from models.bundle.manifest import VolumeSpec
from models.image.inputs import InputSpec
from models.networks.volumes import VolumeArchitecture
from training.config import Data, RecipeSection, read_as
from training.data.splits import Split


class VolumeAugmentation(RecipeSection):
    """How patches are varied. Geometry is drawn in millimetres; all ranges uniformly.

    There is no mirroring along any axis: the atrium's side and its veins are what tells it from the other chambers.
    """

    unchanged: float = 0.1
    """Part of the patches that are only cut out."""
    rotation_degrees: float = 18.0
    """Largest turn about each of the three axes."""
    scale: tuple[float, float] = (0.8, 1.25)
    """Range of the zoom; each axis besides by up to a tenth."""
    shear: float = 0.1
    """Largest shear."""
    elastic_mm: float = 5.0
    """Standard deviation of the shifts at the knots of the elastic deformation."""
    elastic_knots: tuple[int, int, int] = (5, 5, 6)
    """Knots along each axis of a patch; between them cubic."""
    shift: float = 0.35
    """Largest distance of a patch's centre from where it was drawn, as a part of the window."""
    gamma: tuple[float, float] = (0.5, 2.0)
    """Range of the exponent on [0, 1] values, drawn in logarithm."""
    contrast: tuple[float, float] = (0.65, 1.4)
    """Range of the factor about the patch's mean."""
    brightness: float = 0.15
    """Largest shift of the grey value."""
    bias: float = 0.35
    """Largest standard deviation of the logarithm of a smooth gain over the patch (the coil's)."""
    noise: float = 0.08
    """Largest standard deviation of added normal noise."""
    blur_probability: float = 0.25
    """How often a patch is averaged over three voxels along a random set of axes."""


class VolumeOptimisation(RecipeSection):
    """The loop: AdamW over a fixed number of steps; the last weights are exported, none is chosen by a score."""

    epochs: int = 40
    """Epochs; the schedule is a half cosine over them."""
    patches: int = 120
    """Patches an epoch, from all volumes in turn."""
    batch_size: int = 2
    """Patches a step."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW."""
    warmup_fraction: float = 0.05
    """Part of all steps in which the rate rises from 0."""
    weight_decay: float = 1e-4
    """Decoupled weight decay."""
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"
    """Lightning's precision; on a CPU with the instructions, bf16 convolutions take a fifth of the time."""
    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are summed before a step: a larger batch than fits into memory."""
    averaging: float = Field(default=0.99, ge=0.0, lt=1.0)
    """Decay of the exponential moving average of the weights that is validated and exported; 0 is none."""
    validate_every: int = 5
    """Epochs from one validation on whole volumes to the next."""


class VolumeRecipe(RecipeSection):
    """One experiment from volumes to a bundle."""

    name: str
    """Name of the bundle that this recipe makes."""
    version: str
    """Version of that bundle."""
    task: Literal["volume-segmentation"]
    """OnProgress apart from the other recipes by this."""
    architecture: VolumeArchitecture
    """A name of models/networks/volumes.py."""
    labels: tuple[Literal["left-atrium"], ...] = ("left-atrium",)
    """Outputs in order."""
    seed: int = 20261121
    """Seeds the weights, the order and the augmentation."""
    data: Data
    """The volumes."""
    trained_on: tuple[Split, ...] = ("train",)
    """With "val" among them nothing may be chosen on it any more, and it is not scored."""
    volume: VolumeSpec
    """Model grid, window and context, the same in serving."""
    contrast_percentiles: tuple[float, float] = (0.5, 99.5)
    """Percentiles of a volume that become 0 and 1."""
    scale: float = 2.0
    """The network takes `scale * x + offset`."""
    offset: float = -1.0
    """See `scale`."""
    augmentation: VolumeAugmentation = VolumeAugmentation()
    """Variation of training patches."""
    optimisation: VolumeOptimisation = VolumeOptimisation()
    """The loop."""

    @property
    def input(self) -> InputSpec:
        """Return the normalisation as the manifest holds it; the size is the window's longest edge."""
        return InputSpec(
            size=max(32, *self.volume.window),
            contrast_percentiles=self.contrast_percentiles,
            scale=self.scale,
            offset=self.offset,
        )


def read(path: Path) -> VolumeRecipe:
    """Read a recipe; raises as `training.config.read_as`, and `ValueError` when the test split is to be trained on."""
    recipe = read_as(VolumeRecipe, path)
    if "test" in recipe.trained_on:
        raise ValueError("the test split is for evaluation alone")
    return recipe


def smoke(recipe: VolumeRecipe) -> VolumeRecipe:
    """Shrink a recipe to what runs in seconds: it shows that the way is open, nothing more."""
    loop = recipe.optimisation.model_copy(
        update={"epochs": 2, "patches": 4, "batch_size": 2, "precision": "32-true", "validate_every": 1}
    )
    deep = recipe.volume.context == 0
    volume = recipe.volume.model_copy(update={"window": (16, 16, 16) if deep else (1, 32, 32), "overlap": 0.25})
    architecture = "unet3d-tiny" if deep else recipe.architecture
    return recipe.model_copy(update={"optimisation": loop, "volume": volume, "architecture": architecture})
