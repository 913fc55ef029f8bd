"""What every bundle says about itself: one place where a manifest is made, from a recipe and what its task adds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from models.bundle.intended_use import FRONTAL_VIEWS
from models.bundle.manifest import Calibration, Coded, DataSource, IntendedUse, Label, Manifest, Task
from models.image.inputs import InputSpec
from models.values import catalogue
from training.config import Data
from training.data import terms
from training.data.collection import Collection
from training.fit import origin

UNCALIBRATED = Calibration(temperature=1.0, method="none")


class Described(Protocol):
    """What every recipe says of its bundle."""

    @property
    def name(self) -> str:
        """Name of the bundle."""

    @property
    def version(self) -> str:
        """Version of the bundle."""

    @property
    def architecture(self) -> str:
        """Name of the network."""

    @property
    def input(self) -> InputSpec:
        """Model grid and normalisation."""

    @property
    def data(self) -> Data:
        """The images, whose terms the weights have."""


def manifest(
    recipe: Described,
    *,
    task: Task,
    labels: tuple[Label, ...],
    training_data: tuple[DataSource, ...],
    intended_use: IntendedUse,
    **parts: Any,
) -> Manifest:
    """Describe a bundle that waits for its evaluation.

    Parameters
    ----------
    parts
        What the task adds, by the names of `Manifest`; also what stands there instead of the recipe's name and version,
        the terms that follow from its data sets, no thresholds, and no calibration.
    """
    licence, non_commercial = terms.combined(recipe.data.sources)
    common: dict[str, Any] = {
        "name": recipe.name,
        "version": recipe.version,
        "architecture": recipe.architecture,
        "input": recipe.input,
        "operating_points": (),
        "calibration": UNCALIBRATED,
        "licence": licence,
        "non_commercial": non_commercial,
    }
    return Manifest(
        task=task,
        labels=labels,
        training_data=training_data,
        intended_use=intended_use,
        evaluation=(),
        files={},
        **{**common, **parts},
    )


def label(name: str, *, coloured: bool = False) -> Label:
    """Return the output of a network that tells a finding or structure of models/values/catalogue.py.

    Raises
    ------
    ValueError
        The catalogue has no such row, so there is no code for it.
    """
    row = catalogue.FINDINGS.get(name)
    if row is None:
        known = ", ".join(catalogue.FINDINGS)
        raise ValueError(f"no finding is named {name}: add its row to models/values/catalogue.py; there are: {known}")
    side = None if row.side is None else Coded.of(row.side)
    colour = row.colour_rgb if coloured else None
    return Label(name=row.label, code=Coded.of(row.code), laterality=side, colour_rgb=colour)


def adult_use(what: str) -> IntendedUse:
    """Return the intended use of what was trained on NIH's adults."""
    return IntendedUse(
        statement=(
            f"Research use only, not for clinical use. {what} on upright frontal chest radiographs of adults, of the "
            "kind of the training set (one hospital, 8-bit images). Never for children."
        ),
        age_years_from=16,
        age_years_below=None,
        age_unknown_allowed=False,
        views=FRONTAL_VIEWS,
    )


def by_site(images: Collection, ids: Sequence[str]) -> tuple[DataSource, ...]:
    """Count images of hospitals that have terms of their own apart; else by data set."""
    sites = {site: [one for one in ids if images.records[one].site == site] for site in ("wingspan", "jsrt")}
    if sum(len(part) for part in sites.values()) < len(ids):
        return images.counts(ids)
    return tuple(terms.source(site, *images.counted(part)) for site, part in sites.items() if part)


def training_sources(images: Collection, ids: Sequence[str], run: Path) -> tuple[DataSource, ...]:
    """Count the training images that each data set told something of; then where the run's weights began."""
    return (*images.counts(ids), *origin.noted(run))
