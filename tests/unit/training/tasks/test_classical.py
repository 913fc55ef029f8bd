"""The classical baseline: texture by worked examples, features of drawn chests, cross-validation, the whole way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bundle import store
from models.chest.anatomy import Anatomy
from models.image import pixels
from tests.support.data import training_data
from tests.support.paths import RECIPES
from training.config import Data, Run
from training.data import collection, splits
from training.data.sources import Record
from training.tasks.classical import data as table
from training.tasks.classical import features, fit, lungs, module, recipe, texture
from training.tasks.classical.data import FeatureTable
from training.tasks.classical.recipe import ClassicalRecipe, Grid

DATA = Data(sources=("nih",), split="nih")
RECIPE = RECIPES / "atelectasis-classical.yaml"
# The example image of Haralick, Shanmugam and Dinstein 1973, figure 3: four grey levels, 4 x 4.
HARALICK = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]])


def test_cooccurrence_counts_the_pairs_of_haralicks_example(monkeypatch: pytest.MonkeyPatch) -> None:
    # The paper counts each direction apart; along the rows it gives this table.
    monkeypatch.setattr(texture, "DIRECTIONS", ((0, 1),))
    image = ((HARALICK + 0.5) / texture.LEVELS).astype(np.float32)
    matrix = texture.cooccurrence(image, np.ones((4, 4), bool), distance=1)
    expected = np.array([[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]])
    np.testing.assert_allclose(matrix[:4, :4] * 24, expected)
    assert matrix.sum() == pytest.approx(1)


def test_all_directions_of_cooccurrence_stay_within_the_mask() -> None:
    image = np.zeros((6, 6), np.float32)
    image[:, 3:] = 0.99
    mask = np.zeros((6, 6), bool)
    mask[:, :3] = True
    matrix = texture.cooccurrence(image, mask, distance=1)
    assert matrix[0, 0] == pytest.approx(1)
    found = texture.haralick(matrix)
    assert found["contrast"] == 0
    assert found["energy"] == 1
    assert np.isnan(found["correlation"])


def test_binary_patterns_of_a_flat_region_have_all_neighbours_as_bright() -> None:
    bins = texture.binary_patterns(np.full((9, 9), 0.5, np.float32), np.ones((9, 9), bool), radius=1)
    assert bins[8] == 1
    assert np.isnan(texture.binary_patterns(np.zeros((9, 9), np.float32), np.zeros((9, 9), bool), radius=1)).all()


def test_a_lying_band_is_told_from_a_standing_one() -> None:
    image = np.zeros((64, 64), np.float32)
    image[30:34] = 1
    lying, standing = texture.ridges(image, sigma=2.0)
    assert lying[32, 32] > 0.1
    assert abs(standing[32, 32]) < 1e-6
    across = texture.orientations(image, np.ones((64, 64), bool))
    assert across.argmax() == texture.ORIENTATIONS // 2


def drawn(*, bright: bool = False, seed: int = 0) -> tuple[np.ndarray, Anatomy]:
    picture, masks = training_data.chest(np.random.default_rng(seed), bright=bright)
    return picture, Anatomy(masks["right"], masks["left"], masks["heart"])


def test_an_opacity_on_the_right_brightens_the_right_lung_alone() -> None:
    clear, ill = (features.of_image(*drawn(bright=bright)) for bright in (False, True))
    assert clear.keys() == ill.keys()
    assert ill["right.grey.mean"] > clear["right.grey.mean"] + 0.01
    assert ill["left-right.grey.mean"] < clear["left-right.grey.mean"] - 0.01
    assert all(np.isfinite(value) for value in clear.values())


def test_a_mirrored_chest_exchanges_the_sides() -> None:
    picture, anatomy = drawn()
    mirrored = Anatomy(*(mask[:, ::-1] for mask in (anatomy.left_lung, anatomy.right_lung)), anatomy.heart[:, ::-1])
    found, other = features.of_image(picture, anatomy), features.of_image(picture[:, ::-1], mirrored)
    for name in ("area", "grey.mean", "lower.medial", "upper.lateral", "patterns1.8", "hull.missing"):
        assert found[f"right.{name}"] == pytest.approx(other[f"left.{name}"], abs=1e-3), name
    assert found["both.area-ratio"] == pytest.approx(-other["both.area-ratio"], abs=1e-3)


def test_a_lung_that_was_not_found_is_unknown_and_not_zero() -> None:
    picture, anatomy = drawn()
    whole = features.of_image(picture, anatomy)
    found = features.of_image(picture, Anatomy(None, anatomy.left_lung, anatomy.heart))
    assert found.keys() == whole.keys()
    assert np.isnan([value for name, value in found.items() if name.startswith("right.")]).all()
    assert np.isnan(found["both.cardiothoracic-ratio"])
    assert found["left.area"] == whole["left.area"]


def test_a_missing_age_is_unknown() -> None:
    someone = Record("a", "p", Path("a"), lambda: pixels.from_array(np.zeros((9, 9), np.uint8)))
    assert np.isnan(features.of_patient(replace(someone, view="LATERAL"))["person.age"])
    assert features.of_patient(replace(someone, age_years=40, sex="F", view="AP")) == {
        "person.age": 40,
        "person.male": 0,
        "person.ap": 1,
    }


def outlined(data: Path, cache: Path) -> None:
    """Return each drawn chest the masks of one that was drawn alike: the networks know no drawings."""
    images = collection.read(data, DATA)
    folder = lungs.folder_of(cache, f"{images.name}-{images.digest()}", store.named(store.shipped(), "lungs-heart"))
    folder.mkdir(parents=True)
    _, masks = training_data.chest(np.random.default_rng(0))
    bits = masks["right"] * lungs.RIGHT_BIT | masks["left"] * lungs.LEFT_BIT | masks["heart"] * lungs.HEART_BIT
    for path in (data / "nih" / "images").glob("*.jpg"):
        Image.fromarray(bits.astype(np.uint8)).save(folder / f"{path.stem}.png")


def made_up(images: int = 240) -> FeatureTable:
    """Make a table in which one feature tells and two images are each patient's."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(images, 4)).astype(np.float32)
    truth = values[:, 0] + rng.normal(size=images) * 0.3 > 0
    names = ("a", "b", "c", "person.ap")
    ids = tuple(str(i) for i in range(images))
    return FeatureTable(ids, tuple(str(i // 2) for i in range(images)), names, values, truth)


def test_cross_validation_finds_what_there_is_to_find_and_keeps_patients_together() -> None:
    three_folds = ClassicalRecipe(
        name="x", task="classical", data=DATA, label="x", folds=3, grid=Grid(max_leaf_nodes=(3,), iterations=(1, 20))
    )
    given = made_up()
    best = module.search(given, three_folds)
    assert best.auc > 0.9
    assert best.iterations == 20
    nothing = module.search(module.part(given, "person"), three_folds)
    assert nothing.auc < 0.65


def test_a_feature_that_is_never_known_or_always_the_same_is_left_out() -> None:
    values = np.array([[np.nan, 1, 0], [np.nan, 1, 1], [np.nan, np.nan, np.nan]], np.float32)
    assert module.informative(values).tolist() == [False, False, True]


def test_nothing_to_learn_from_is_said() -> None:
    given = made_up()
    nothing = FeatureTable(given.ids, given.patients, ("a",), np.full((240, 1), np.nan, np.float32), given.truth)
    with pytest.raises(ValueError, match="were lungs found"):
        module.search(nothing, ClassicalRecipe(name="x", task="classical", data=DATA, label="x"))


def test_what_a_variant_may_look_at() -> None:
    given = made_up()
    assert module.part(given, "image").names == ("a", "b", "c")
    assert module.part(given, "person").names == ("person.ap",)
    assert module.part(given, "image and person").values.shape == (240, 4)


def test_the_whole_way_on_drawn_chests(tmp_path: Path) -> None:
    data = training_data.write(tmp_path / "data")
    outlined(data, tmp_path / "cache")
    run = Run(tmp_path / "run", data, tmp_path / "cache")
    out = fit.train(recipe.smoke(recipe.read(RECIPE)), run)
    found = json.loads(out.read_text())
    assert set(found) == set(fit.VARIANTS)
    assert {one["name"] for one in found["image"]["figures"]} >= {"AUC", "sensitivity"}
    kept = {path.name.rsplit("-")[-1] for path in (tmp_path / "cache").glob("*.npz")}
    assert kept == {"train.npz", "val.npz"}
    figures = fit.evaluate(run)
    assert {one.measured_on for one in figures} == {f"nih, test split, {variant}" for variant in fit.VARIANTS}
    again = table.build(collection.read(data, DATA), "val", "atelectasis", tmp_path / "cache")
    assert again.truth.tolist() == [i % 3 == 1 for i in range(12)]


def test_masks_are_found_once_and_read_back(tmp_path: Path) -> None:
    data = training_data.write(tmp_path / "data")
    one = splits.read("nih", "train")[0]
    images = collection.read(data, DATA)
    folder = lungs.build(images, [one], tmp_path / "cache")
    before = (folder / f"{one}.png").stat().st_mtime_ns
    assert lungs.build(images, [one], tmp_path / "cache") == folder
    assert (folder / f"{one}.png").stat().st_mtime_ns == before
    found = lungs.read(folder / f"{one}.png")
    picture = lungs.gray(images.records[one].image())
    assert all(mask is None or mask.shape == picture.shape for mask in (found.right_lung, found.left_lung, found.heart))
