"""Recipe of the classical baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from training.config import Data, RecipeSection, ThresholdRule, read_as


class Grid(RecipeSection):
    """What cross-validation chooses from; every combination is tried."""

    learning_rate: tuple[float, ...] = (0.05,)
    """Shrinkage of each tree."""
    max_leaf_nodes: tuple[int, ...] = (7, 15)
    """Size of each tree."""
    min_samples_leaf: tuple[int, ...] = (20,)
    """Fewest images of a leaf."""
    l2_regularization: tuple[float, ...] = (1.0,)
    """Penalty of the leaves' values."""
    max_features: tuple[float, ...] = (0.2,)
    """Part of the features that each split may look at."""
    iterations: tuple[int, ...] = (50, 100, 200, 300)
    """Numbers of trees; the largest is fitted and the others are read off on the way."""


class ClassicalRecipe(RecipeSection):
    """One experiment: features, cross-validated boosting, threshold."""

    name: str
    """Name in the log; no bundle is made."""
    task: Literal["classical"]
    """OnProgress apart from the other recipes by this."""
    data: Data
    """The images."""
    label: str
    """Which label is learnt; images of which it is unknown are left out."""
    seed: int = 20261121
    """Seeds the folds and the trees."""
    folds: int = Field(default=5, ge=2)
    """Of cross-validation, by patient."""
    members: int = Field(default=5, ge=1)
    """Models of different seeds whose probabilities are averaged."""
    grid: Grid = Grid()
    """What is tried."""
    rule: ThresholdRule = ThresholdRule(kind="target-sensitivity", value=0.9)
    """How the threshold is chosen on validation."""


def read(path: Path) -> ClassicalRecipe:
    """Read a recipe; raises as `training.config.read_as`."""
    return read_as(ClassicalRecipe, path)


def smoke(recipe: ClassicalRecipe) -> ClassicalRecipe:
    """Shrink a recipe to what runs in seconds: it shows that the way is open, nothing more."""
    grid = Grid(max_leaf_nodes=(3,), min_samples_leaf=(2,), iterations=(3, 5))
    return recipe.model_copy(update={"folds": 2, "members": 1, "grid": grid})
