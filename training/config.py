"""Sections that recipes of several tasks have, read from YAML; an unknown key is refused.

The recipe of each task is training/tasks/NAME/recipe.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.bundle.manifest import CHOSEN

RECIPE = "recipe.yaml"


class RecipeSection(BaseModel):
    """A part of a recipe: fixed once read, and closed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(RecipeSection):
    """Which images a recipe reads."""

    sources: tuple[str, ...] = Field(min_length=1)
    """Modules of training/data/sources, joined by the images' ids: where two know a label or place, one counts."""
    split: str
    """Committed split (training/splits/NAME.csv), or a csv of your own (`training split`). "all" makes every image a
    test image: a bundle is measured on it, nothing is trained."""
    folds: int | None = Field(default=None, ge=2)
    """Train and val are dealt anew into so many folds of patients, for `train --fold`."""
    fold: int | None = Field(default=None, ge=0)
    """The fold that takes the place of val; None: val as it is in the split."""


class ThresholdRule(RecipeSection):
    """How the threshold of a label is chosen."""

    kind: Literal["target-sensitivity", "target-specificity", "youden", "cost", "fixed"]
    """"target-sensitivity": of the thresholds that reach it, the highest. "target-specificity": of those that reach
    it, the lowest. "youden": the largest sum of sensitivity and specificity. "cost": the least cost of the errors.
    "fixed": the value itself."""
    value: float | None = Field(default=None, ge=0, le=1)
    """The target, or the fixed threshold."""
    sensitivity_at_least: float | None = Field(default=None, ge=0, le=1)
    """Only for "youden": among the thresholds that keep this sensitivity."""
    cost_ratio: float = Field(default=1.0, gt=0)
    """Only for "cost": what a missed positive costs, in false alarms."""
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    """Only for "cost": at which part of positives; None: that of validation."""
    name: str = CHOSEN
    """The operating point's name; "chosen" decides."""

    @model_validator(mode="after")
    def _complete(self) -> ThresholdRule:
        """Refuse a target without a value."""
        if self.kind in ("target-sensitivity", "target-specificity", "fixed") and self.value is None:
            raise ValueError(f"the rule {self.kind} needs a value")
        return self


class Tuning(RecipeSection):
    """Two-phase fine-tuning: the head alone over a frozen backbone, then the backbone's last stages too."""

    frozen_epochs: int = 3
    """Epochs of the first phase."""
    upper_stages: int = 3
    """How many of the backbone's last stages learn in the second (training/fit/freezing.py)."""
    upper_rate: float = 1e-5
    """Their rate from its beginning on; the head's is `optimisation.learning_rate`."""
    upper_least_rate: float = 3e-6
    """On a plateau their rate falls no lower."""


class Augmentation(RecipeSection):
    """How training images are varied; all ranges are drawn uniformly."""

    rotation_degrees: float = 10.0
    """Largest rotation to either side. Quarter turns are negatives, never augmentation."""
    translation: float = 0.08
    """Largest shift as a part of the image edge."""
    scale: tuple[float, float] = (0.8, 1.15)
    """Range of the zoom."""
    stretch: tuple[float, float] = (1.0, 1.0)
    """Range of the factor on width over height, where the shape of a picture must not be learnt."""
    shear_degrees: float = 4.0
    """Largest shear along either axis."""
    gamma: tuple[float, float] = (0.6, 1.6)
    """Range of the exponent on [0, 1] values."""
    contrast: tuple[float, float] = (0.75, 1.25)
    """Range of the factor about the middle grey."""
    brightness: float = 0.12
    """Largest shift of the grey value."""
    noise: float = 0.03
    """Largest standard deviation of added normal noise."""
    blur_probability: float = 0.2
    """How often an image is blurred (sigma 0.3 to 1.2 pixels)."""
    opacity_probability: float = 0.0
    """How often one to three soft bright patches are laid over the image: devices, effusions and opacities, which
    the adult sets with masks do not show. The masks stay."""
    horizontal_flip: bool = False
    """Mirroring. Never for lungs-heart: the side of the heart and of each lung is what it learns."""


class Optimisation(RecipeSection):
    """The training loop."""

    epochs: int = 60
    """Most epochs."""
    patience: int = 15
    """Epochs without a better validation score before stopping."""
    batch_size: int = 16
    """Images a step."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW."""
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    """Warm-up and half a cosine over all epochs; lower when the validation score stands still; or no change."""
    warmup_fraction: float = 0.05
    """Cosine: part of all steps in which the rate rises from 0."""
    plateau_patience: int = 2
    """Plateau: epochs without a better score before the rate is lowered."""
    plateau_factor: float = 0.3
    """Plateau: what the rate is multiplied by."""
    least_rate: float = 0.0
    """Plateau: the rate falls no lower."""
    weight_decay: float = 1e-4
    """Decoupled weight decay; without it AdamW is Adam."""
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"
    """Lightning's precision; bf16 autocast halves the time of the U-Net on a CPU that has the instructions."""
    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are summed before a step: a larger batch than fits into memory."""
    averaging: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay of the exponential moving average of the weights that is validated and exported; 0 is none."""


@dataclass(frozen=True)
class Run:
    """One training: where it reads and writes, and where it begins."""

    out: Path
    """Its folder: resolved recipe, metrics, checkpoints; the bundles are written into it."""
    data: Path
    """Folder of the data sets (DATA.md)."""
    cache: Path = Path("runs/cache")
    """Folder of decoded arrays."""
    weights: str | None = None
    """Initial weights of the encoder (training/fit/initial.py); None starts at random."""
    earlier: Path | None = None
    """Another run, whose best weights this one starts from, with a schedule of its own."""
    resume: bool = False
    """Go on after the last whole epoch of a run in `out` that was stopped, to the same result."""

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.out / RECIPE


Experiment = TypeVar("Experiment", bound=RecipeSection)


def read_as(kind: type[Experiment], path: Path) -> Experiment:
    """Read a recipe of any kind.

    Raises
    ------
    pydantic.ValidationError
        A key is unknown, missing, or has a value of another type.
    """
    return kind.model_validate(yaml.safe_load(path.read_text()))


def write(recipe: RecipeSection, path: Path) -> None:
    """Save a resolved recipe of any kind, defaults included."""
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
