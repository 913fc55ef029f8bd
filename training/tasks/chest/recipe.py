"""Recipe of the networks for chest radiographs: lungs and heart, labels, many findings, masks of a disease."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from models.image.inputs import InputSpec
from models.networks import Architecture
from training.config import Augmentation, Data, Optimisation, RecipeSection, ThresholdRule, Tuning, read_as

Task = Literal["segmentation", "classification", "findings", "lesion-segmentation"]
TASKS: tuple[str, ...] = get_args(Task)


class Mixture(RecipeSection):
    """How many images of each kind one epoch of the lungs-heart training draws."""

    ctr: int = 309
    """Adults with all three masks; the whole training split when it has that many."""
    kermany: int = 120
    """Children with lung fields in another convention: a partial label (see training/data/partial.py)."""
    negatives: int = 90
    """Not a frontal chest the right way up: the target is three empty masks."""
    site: Literal["both", "wingspan", "jsrt"] = "both"
    """Hospital of the adults. One alone is trained on to see what the other makes of it (cross-site)."""


class FindingsSection(RecipeSection):
    """Parts of a training on many findings at once (NIH ChestX-ray14 and the experts' labels on it)."""

    selected: tuple[str, ...]
    """Labels whose mean validation AUC chooses the checkpoint; the others help the encoder."""
    selected_weight: float = 2.0
    """Weight of their cross-entropy against that of the others."""
    place_weight: float = 0.0
    """Weight of the cross-entropy of the maps against masks and boxes, where these are known."""
    place_positive_weight: float = 4.0
    """Weight of a place with the finding against one without it."""


class Exported(RecipeSection):
    """One bundle made from a run."""

    label: str
    """Output of the network that it keeps."""
    version: str
    """Version of the bundle."""
    rule: ThresholdRule
    """How its threshold is chosen on validation."""
    only_by_name: bool = False
    """Whether the node runs it only where a rule names it."""


class Lesions(RecipeSection):
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


class LabelLoss(RecipeSection):
    """How the cross-entropy of a classification weighs."""

    class_weights: bool = False
    """Whether positives weigh as much in all as negatives, by their numbers in the training split."""
    focal_gamma: float = 0.0
    """More than 0 takes less of what is already right, as in the focal loss."""


class ChestRecipe(RecipeSection):
    """One experiment from data to bundle."""

    name: str
    """Name of the bundle that this recipe makes."""
    version: str
    """Version of that bundle."""
    task: Task
    """What is trained: lungs and heart, one probability for a child's image, many findings, or masks of a disease."""
    architecture: Architecture
    """A name of models/networks."""
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
    findings: FindingsSection | None = None
    """Only for findings."""
    lesions: Lesions | None = None
    """Only for lesion-segmentation."""
    bundles: dict[str, Exported] = Field(default_factory=dict)
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
    rule: ThresholdRule = ThresholdRule(kind="youden", sensitivity_at_least=0.985)
    """Classification: how the threshold is chosen on validation."""


def read(path: Path) -> ChestRecipe:
    """Read a recipe; raises as `training.config.read_as`."""
    return read_as(ChestRecipe, path)


def smoke(recipe: ChestRecipe) -> ChestRecipe:
    """Return the one-minute form: every part of the recipe, on small pictures, for two epochs. It learns nothing."""
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
