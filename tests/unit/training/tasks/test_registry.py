"""The table of tasks: every package has the same files and functions, and refuses the options that are not for it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tests.support.paths import RECIPES
from training.config import Run
from training.tasks import registry

PACKAGES = sorted({package.name: package for package in registry.TASKS.values()}.items())
FUNCTIONS = {"recipe": ("read", "smoke"), "data": (), "module": (), "fit": ("train",), "export": ("export",)}


@pytest.mark.parametrize(("name", "package"), PACKAGES)
def test_every_package_has_the_same_files_with_the_same_functions(name: str, package: registry.TaskPackage) -> None:
    for file, functions in FUNCTIONS.items():
        module = package.module(file)
        for function in functions:
            expected = inspect.signature(getattr(registry.CHEST.module(file), function))
            found = inspect.signature(getattr(module, function))
            assert [(p.name, p.kind) for p in found.parameters.values()] == [
                (p.name, p.kind) for p in expected.parameters.values()
            ], f"{name}.{file}.{function}"


def test_every_recipe_has_a_task_of_the_table() -> None:
    tasks = {registry.task_of(path) for path in RECIPES.glob("*.yaml")}
    assert tasks == set(registry.TASKS)


@pytest.mark.parametrize("content", ["[]", "name: x", "task: walking"])
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"is no recipe|none of segmentation, .*, classical"):
        registry.train(tmp_path / "recipe.yaml", Run(tmp_path / "run", tmp_path))


def test_options_that_are_not_for_a_task_are_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", tmp_path)
    with pytest.raises(ValueError, match="--fold and --earlier are not for recipes of the task box"):
        registry.train(RECIPES / "heart-box.yaml", run, fold=0)
    with pytest.raises(ValueError, match="--weights and --resume are not for the classical"):
        registry.train(RECIPES / "atelectasis-classical.yaml", Run(run.out, run.data, weights="random"))
    with pytest.raises(ValueError, match="there is nothing to prepare"):
        next(registry.prepare(RECIPES / "atrium-2d.yaml", tmp_path, tmp_path, lambda name: None))
    assert not run.out.exists()
