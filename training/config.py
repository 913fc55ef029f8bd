"""Recipes: every number of an experiment, read from YAML; an unknown key is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field

from models.image.inputs import InputSpec
from models.networks import Architecture
from training.evaluation.measures.thresholds import Rule

Task = Literal["segmentation", "classification", "findings", "lesion-segmentation"]
TASKS: tuple[str, ...] = get_args(Task)


class Section(BaseModel):
    """A part of a recipe: fixed once read, and closed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Which images a recipe reads."""

    sources: tuple[str, ...] = Field(min_length=1)
    """Modules of training/sources, joined by the images' ids: where two know a label or a place, the first counts."""
    split: str
    """Committed split (training/splits/NAME.csv), or a csv of your own (`training split`). "all" makes every image a
    test image: a bundle is measured on it, nothing is trained."""
    folds: int | None = Field(default=None, ge=2)
    """Train and val are dealt anew into so many folds of patients, for `train --fold`."""
    fold: int | None = Field(default=None, ge=0)
    """The fold that takes the place of val; None: val as it is in the split."""


class Mixture(Section):
    """How many images of each kind one epoch of the lungs-heart training draws."""

    ctr: int = 309
    """Adults with all three masks; the whole training split when it has that many."""
    kermany: int = 120
    """Children with lung fields in another convention: a partial label (see training/data/partial.py)."""
    negatives: int = 90
    """Not a frontal chest the right way up: the target is three empty masks."""
    site: Literal["both", "wingspan", "jsrt"] = "both"
    """Hospital of the adults. One alone is trained on to see what the other makes of it (cross-site)."""


class Findings(Section):
    """Parts of a training on many findings at once (NIH ChestX-ray14 and the experts' labels on it)."""

    selected: tuple[str, ...]
    """Labels whose mean validation AUC chooses the checkpoint; the others help the encoder."""
    selected_weight: float = 2.0
    """Weight of their cross-entropy against that of the others."""
    place_weight: float = 0.0
    """Weight of the cross-entropy of the maps against masks and boxes, where these are known."""
    place_positive_weight: float = 4.0
    """Weight of a place with the finding against one without it."""


class Exported(Section):
    """One bundle made from a run."""

    label: str
    """Output of the network that it keeps."""
    version: str
    """Version of the bundle."""
    rule: Rule
    """How its threshold is chosen on validation."""
    only_by_name: bool = False
    """Whether the node runs it only where a rule names it."""


class Lesions(Section):
    """Parts of a training on masks of a disease."""

    gated_by: str | None = None
    """Name of the classification bundle that must find the disease before a mask is given."""
    positive_part: float = Field(default=0.6, ge=0, le=1)
    """Part of the images of the first epoch that have a lesion."""
    last_positive_part: float | None = Field(default=None, ge=0, le=1)
    """The same of the last epoch; between them it changes linearly. None: no change."""
    images: int = 1000
    """Images an epoch."""
    cross_entropy: float = 1.0
    """Share of the cross-entropy in the loss."""
    dice: float = 1.0
    """Share of the Dice of the masks that are not empty."""
    focal: float = 0.0
    """Share of the focal loss."""
    positive_weight: float = 1.0
    """Weight of a pixel of the lesion in the cross-entropy."""
    deep_share: float = 0.0
    """Weight of a network's first masks (`Output.maps`), where it has them, against the last ones."""
    prevalence: float = 0.22
    """At which part of positives the triplet is chosen: that of the challenge."""


class LabelLoss(Section):
    """How the cross-entropy of a classification weighs."""

    class_weights: bool = False
    """Whether positives weigh as much in all as negatives, by their numbers in the training split."""
    focal_gamma: float = 0.0
    """More than 0 takes less of what is already right, as in the focal loss."""


class Tuning(Section):
    """Two-phase fine-tuning: the head alone over a frozen backbone, then the backbone's last stages too."""

    frozen_epochs: int = 3
    """Epochs of the first phase."""
    upper_stages: int = 3
    """How many of the backbone's last stages learn in the second (training/fit/freezing.py)."""
    upper_rate: float = 1e-5
    """Their rate from its beginning on; the head's is `optimisation.learning_rate`."""
    upper_least_rate: float = 3e-6
    """On a plateau their rate falls no lower."""


class Augmentation(Section):
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


class Optimisation(Section):
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


class Recipe(Section):
    """One experiment from data to bundle."""

    name: str
    """Name of the bundle that this recipe makes."""
    version: str
    """Version of that bundle."""
    task: Task
    """What is trained: lungs and heart, one probability for a child's image, many findings, or masks of a disease."""
    architecture: Architecture
    """A name of models/networks.py."""
    labels: tuple[str, ...]
    """Outputs in order."""
    seed: int = 20261121
    """Seeds the weights, the order and the augmentation."""
    data: Data
    """The images; the training of lungs and heart adds children, other findings and MR slices (`mixture`)."""
    input: InputSpec
    """Model grid and normalisation, the same in serving."""
    mixture: Mixture = Mixture()
    """Only for segmentation."""
    findings: Findings | None = None
    """Only for findings."""
    lesions: Lesions | None = None
    """Only for lesion-segmentation."""
    bundles: dict[str, Exported] = {}
    """Only for findings: the bundles that a run becomes, by name."""
    augmentation: Augmentation = Augmentation()
    """Variation of training images."""
    label_loss: LabelLoss = LabelLoss()
    """Only for classification."""
    optimisation: Optimisation = Optimisation()
    """The loop."""
    tuning: Tuning | None = None
    """Fine-tuning in two phases; None: everything learns from the start."""
    calibration: Literal["temperature", "isotonic", "none"] = "temperature"
    """Classifiers: what is fitted to the images that the threshold is chosen on. Isotonic wants a thousand of them."""
    rule: Rule = Rule(kind="youden", sensitivity_at_least=0.985)
    """Classification: how the threshold is chosen on validation."""


Experiment = TypeVar("Experiment", bound=Section)


def read(path: Path) -> Recipe:
    """Read a recipe; raises as `read_as`."""
    return read_as(Recipe, path)


def read_as(kind: type[Experiment], path: Path) -> Experiment:
    """Read a recipe of any kind.

    Raises
    ------
    pydantic.ValidationError
        A key is unknown, missing, or has a value of another type.
    """
    return kind.model_validate(yaml.safe_load(path.read_text()))


def write(recipe: Section, path: Path) -> None:
    """Save a resolved recipe of any kind, defaults included."""
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))


def smoke(recipe: Recipe) -> Recipe:
    """Give the one-minute form: every part of the recipe, on small pictures, for two epochs. It learns nothing."""
    few = {"ctr": 4, "kermany": 2, "negatives": 2}
    changes: dict[str, object] = {
        "input": recipe.input.model_copy(update={"size": 64}),
        "mixture": recipe.mixture.model_copy(update=few),
        "optimisation": recipe.optimisation.model_copy(update={"epochs": 2, "batch_size": 4, "precision": "32-true"}),
    }
    if recipe.tuning is not None:
        changes["tuning"] = recipe.tuning.model_copy(update={"frozen_epochs": 1})
    if recipe.lesions is not None:
        changes["lesions"] = recipe.lesions.model_copy(update={"images": 8, "gated_by": None})
    return recipe.model_copy(update=changes)
