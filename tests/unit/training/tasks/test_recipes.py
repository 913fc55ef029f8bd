"""Recipes, splits and augmentation: what is fixed before a network learns anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from pydantic import ValidationError

from tests.support.paths import RECIPES
from training import config
from training.config import Augmentation
from training.data import negatives, splits
from training.fit.augment import Augment
from training.tasks.chest import recipe as chest_recipe

CORE = sorted(p for p in RECIPES.glob("*.yaml") if yaml.safe_load(p.read_text())["task"] in chest_recipe.TASKS)


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_recipes_read_and_their_resolved_copies_read_the_same(path: Path, tmp_path: Path) -> None:
    recipe = chest_recipe.read(path)
    config.write(recipe, tmp_path / "resolved.yaml")
    assert chest_recipe.read(tmp_path / "resolved.yaml") == recipe


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    content = yaml.safe_load((RECIPES / "lungs-heart.yaml").read_text())
    content["optimisation"]["learning_rat"] = 1
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValidationError, match="learning_rat"):
        chest_recipe.read(tmp_path / "wrong.yaml")


def test_lungs_and_heart_are_never_mirrored() -> None:
    for path in RECIPES.glob("lungs-heart*.yaml"):
        assert chest_recipe.read(path).augmentation.horizontal_flip is False


@pytest.mark.parametrize("name", sorted(splits.PARTS))
def test_no_patient_is_in_two_splits(name: str) -> None:
    patient = splits.patients(name)
    groups = [{patient[one] for one in splits.read(name, split)} for split in splits.SPLITS]
    assert all(groups)
    assert sum(len(group) for group in groups) == len(set.union(*groups))


@pytest.mark.parametrize("name", sorted(splits.PARTS))
def test_the_committed_split_is_what_the_seed_gives(data_folder: Path, name: str) -> None:
    rows = splits.read_table(data_folder, name)
    made = splits.make(rows, name)
    committed = {one: split for split in splits.SPLITS for one in splits.read(name, split)}
    assert made == committed


def test_an_existing_split_is_never_overwritten(data_folder: Path) -> None:
    with pytest.raises(FileExistsError):
        splits.write(data_folder, "ctr")


def test_image_and_masks_move_together() -> None:
    torch.manual_seed(0)
    still = Augmentation(gamma=(1, 1), contrast=(1, 1), brightness=0, noise=0, blur_probability=0)
    image = torch.zeros(1, 64, 64)
    image[:, 20:40, 24:44] = 1
    for _ in range(5):
        moved, masks = Augment(still)(image, image.repeat(3, 1, 1))
        assert masks is not None
        torch.testing.assert_close(moved.expand(3, -1, -1), masks, atol=1e-5, rtol=0)


@pytest.mark.parametrize("maker", dict.fromkeys(negatives.MAKERS), ids=lambda maker: maker.__name__)
def test_negatives_are_pictures_of_the_same_size_and_another_content(maker: object) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 64, 64)
    made = maker(image)
    assert made.shape == image.shape
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
    assert not torch.equal(made, image)
