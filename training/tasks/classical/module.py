"""Gradient boosting over engineered features: its settings, the search for them by patient, and the fitted models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from training.tasks.classical.data import FeatureTable
from training.tasks.classical.recipe import ClassicalRecipe

Float = NDArray[np.float64]


@dataclass(frozen=True)
class BoostingSettings:
    """One point of the grid, and its AUC over the held-out folds."""

    learning_rate: float
    max_leaf_nodes: int
    min_samples_leaf: int
    l2_regularization: float
    max_features: float
    iterations: int
    auc: float = float("nan")


@dataclass(frozen=True)
class Fitted:
    """A model and the columns (features,) that it looks at."""

    columns: NDArray[np.bool_]
    model: HistGradientBoostingClassifier

    def along(self, values: NDArray[np.float32], iterations: tuple[int, ...]) -> Float:
        """Return probabilities (iterations, images) after so many trees each."""
        staged = self.model.staged_predict_proba(values[:, self.columns])
        by_number = {number: p[:, 1] for number, p in enumerate(staged, start=1) if number in iterations}
        return np.stack([by_number[number] for number in iterations])


def part(table: FeatureTable, variant: str) -> FeatureTable:
    """Keep what a variant may look at."""
    match variant:
        case "image":
            return table.without_patient()
        case "person":
            return table.only_patient()
    return table


def search(table: FeatureTable, recipe: ClassicalRecipe) -> BoostingSettings:
    """Return the settings with the best AUC over all held-out images of a cross-validation by patient."""
    folds = StratifiedGroupKFold(recipe.folds, shuffle=True, random_state=recipe.seed)
    parts = list(folds.split(table.values, table.truth, groups=np.array(table.patients)))
    found: list[BoostingSettings] = []
    for settings in grid(recipe):
        held_out = np.zeros((len(recipe.grid.iterations), len(table.truth)))
        for fit_rows, test_rows in parts:
            model = fitted(settings, recipe.seed, table.values[fit_rows], table.truth[fit_rows])
            held_out[:, test_rows] = model.along(table.values[test_rows], recipe.grid.iterations)
        for iterations, probability in zip(recipe.grid.iterations, held_out, strict=True):
            auc = float(roc_auc_score(table.truth, probability))
            found.append(BoostingSettings(**{**asdict(settings), "iterations": iterations, "auc": auc}))
    return max(found, key=lambda one: one.auc)


def grid(recipe: ClassicalRecipe) -> Iterator[BoostingSettings]:
    """Yield every combination, with the most iterations."""
    given = recipe.grid
    for rate, leaves, least, penalty, part_of in itertools.product(
        given.learning_rate, given.max_leaf_nodes, given.min_samples_leaf, given.l2_regularization, given.max_features
    ):
        yield BoostingSettings(rate, leaves, least, penalty, part_of, max(given.iterations))


def fitted(settings: BoostingSettings, seed: int, values: NDArray[np.float32], truth: NDArray[np.bool_]) -> Fitted:
    """Fit one model; missing features are a branch of their own.

    Raises
    ------
    ValueError
        No feature tells one image from another: most likely no lungs were found in any.
    """
    columns = informative(values)
    if not columns.any():
        raise ValueError(f"none of {len(columns)} features has two values in {len(values)} images: were lungs found?")
    model = HistGradientBoostingClassifier(
        learning_rate=settings.learning_rate,
        max_iter=settings.iterations,
        max_leaf_nodes=settings.max_leaf_nodes,
        min_samples_leaf=settings.min_samples_leaf,
        l2_regularization=settings.l2_regularization,
        max_features=settings.max_features,
        early_stopping=False,
        random_state=seed,
    )
    return Fitted(columns, model.fit(values[:, columns], truth))


def informative(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say which columns have two values at least; scikit-learn 1.9 cannot bin a column without."""
    known = ~np.isnan(values)
    low, high = np.where(known, values, np.inf).min(axis=0), np.where(known, values, -np.inf).max(axis=0)
    return np.asarray(low < high, np.bool_)


def members(table: FeatureTable, settings: BoostingSettings, recipe: ClassicalRecipe) -> list[Fitted]:
    """Fit the models whose probabilities are averaged."""
    return [fitted(settings, recipe.seed + i, table.values, table.truth) for i in range(recipe.members)]


def predict(models: Sequence[Fitted], table: FeatureTable) -> Float:
    """Return the mean probability of each image."""
    found = [model.along(table.values, (model.model.n_iter_,))[0] for model in models]
    return np.asarray(np.mean(found, axis=0), np.float64)
