"""Every recipe runs end to end on the CPU in its smoke form: train, export, load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from models.bundle import store
from models.inference import heatmap
from models.inference.runner import Runner, run_image
from tests.support.commands import training
from tests.support.data import training_data
from tests.support.paths import RECIPES
from tests.support.waiting import wait_for
from training import config
from training.bundles.weights import round_to_fp16
from training.tasks import registry
from training.tasks.chest import predict
from training.tasks.chest import recipe as chest_recipe

# The classical baseline needs lungs that the shipped network finds; tests/unit/training/tasks/test_classical.py has
# such pictures.
ALL = sorted(path for path in RECIPES.glob("*.yaml") if registry.task_of(path) != "classical")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return training_data.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def kill_after_the_first_epoch(recipe: Path, data: Path, cache: Path, run: Path) -> None:
    command = [sys.executable, "-m", "training", "train", recipe, "--data", data, "--cache", cache, "--out", run]
    process = subprocess.Popen([str(each) for each in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (run / "checkpoints" / "last.ckpt").exists() or process.poll() is not None, timeout_s=120)
    process.kill()
    process.wait()
    assert (run / "checkpoints" / "last.ckpt").exists()


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("recipe", ALL, ids=lambda path: path.stem)
def test_a_recipe_trains_and_becomes_bundles_that_load(recipe: Path, data: Path, cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    training("train", recipe, "--data", data, "--cache", cache, "--out", run, "--smoke")
    assert list(run.rglob("metrics.csv"))
    exported = training("export", run, "--data", data, "--cache", cache).split()
    assert exported
    for folder in exported:
        found = store.load(Path(folder))
        if found.manifest.task in ("classification", "segmentation", "lesion-segmentation"):
            check_that_it_answers_as_the_trained_network(run, found)


def check_that_it_answers_as_the_trained_network(run: Path, found: store.Bundle) -> None:
    """Bit for bit; a bundle cut out of many labels keeps one row of the last layer, whose sums another kernel makes."""
    recipe, task = predict.load(run)
    round_to_fp16(task.net)
    image = torch.rand(64, 64)
    answer = run_image(Runner(found, device="cpu", dtype="float32"), image.numpy())
    with torch.inference_mode():
        expected = task(image[None, None]).logits[0].numpy()
    if recipe.task == "findings":
        column = recipe.labels.index(recipe.bundles[found.manifest.name].label)
        np.testing.assert_allclose(answer.logits, expected[[column]], atol=1e-5)
    else:
        np.testing.assert_array_equal(answer.logits, expected)


def test_a_run_is_not_overwritten_nor_mixed_with_another(data: Path, cache: Path, tmp_path: Path) -> None:
    given = ("--data", data, "--cache", cache, "--out", tmp_path / "run", "--smoke")
    training("train", RECIPES / "paediatric-baseline.yaml", *given)
    kept = (tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes()
    with pytest.raises(ValueError, match="holds a run already; --resume goes on with it"):
        training("train", RECIPES / "paediatric-baseline.yaml", *given)
    with pytest.raises(ValueError, match=r"holds a run of another recipe: .*architecture"):
        training("train", RECIPES / "paediatric-pneumonia.yaml", *given, "--resume")
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").read_bytes() == kept


def test_isotonic_calibration_is_a_choice_of_the_recipe(data: Path, cache: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load((RECIPES / "paediatric-baseline.yaml").read_text()) | {"calibration": "isotonic"}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    given = ("--data", data, "--cache", cache)
    training("train", tmp_path / "recipe.yaml", *given, "--out", tmp_path / "run", "--smoke")
    (folder,) = training("export", tmp_path / "run", *given).split()
    calibration = store.load(Path(folder)).manifest.calibration
    assert calibration.isotonic is not None
    assert calibration.method.startswith("isotonic regression on 12 validation images")


def test_a_killed_run_resumes_to_the_same_weights(data: Path, cache: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load((RECIPES / "nih-findings.yaml").read_text())
    resolved = tmp_path / "recipe.yaml"
    config.write(chest_recipe.smoke(chest_recipe.ChestRecipe.model_validate(recipe)), resolved)
    arguments = ("--data", data, "--cache", cache)
    training("train", resolved, *arguments, "--out", tmp_path / "whole")
    kill_after_the_first_epoch(resolved, data, cache, tmp_path / "stopped")
    training("train", resolved, *arguments, "--out", tmp_path / "stopped", "--resume")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_networks_of_a_cross_validation_are_shipped_together(data: Path, cache: Path, tmp_path: Path) -> None:
    recipe, given = RECIPES / "paediatric-pneumonia.yaml", ("--data", data, "--cache", cache)
    folds = [tmp_path / f"fold-{number}" for number in range(3)]
    for number, run in enumerate(folds):
        training("train", recipe, *given, "--out", run, "--smoke", "--fold", number)
    training("train", recipe, *given, "--out", tmp_path / "run", "--smoke")
    named = [one for run in folds for one in ("--fold", run)]
    with pytest.raises(ValueError, match=r"one run of each of the 3 folds .* given: folds \[0, 1\]"):
        training("export", tmp_path / "run", *given, *named[:4])
    exported = training("export", tmp_path / "run", *given, *named, "--ensemble").strip()
    found = store.load(Path(exported))
    assert found.manifest.architecture == "mobilenet_v2-ensemble3"
    assert "on 36 training and validation (out of 3 folds) images" in found.manifest.operating_points[0].rule
    assert found.manifest.training_data[0].images == 36
    uncertain = {one.name for one in found.manifest.operating_points if one.doubt is not None}
    assert uncertain == {"chosen", "youden", "sensitivity-0.90", "sensitivity-0.95", "specificity-0.90"}
    image = torch.rand(64, 64).numpy()
    members = []
    for run in folds:
        _, task = predict.load(run)
        round_to_fp16(task.net)
        with torch.inference_mode():
            members.append(float(task(torch.from_numpy(image)[None, None]).logits[0, 0]))
    runner = Runner(found, device="cpu", dtype="float32")
    answer = run_image(runner, image)
    assert float(answer.logits[0]) == pytest.approx(sum(members) / 3, abs=1e-5)
    assert 0 <= heatmap.heat_map(runner, image, answer).max() <= 1
