"""The gates of imports, seen red: each contract and each banned name is broken once, in a copy of the packages."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

PACKAGES = ("node", "workers", "models", "training")
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
CONTRACTS = {contract["name"]: contract for contract in CONFIGURATION["importlinter"]["contracts"]}


class Plant(NamedTuple):
    """A line that is added to a module, and the contract that it breaks."""

    contract: str
    module: str
    line: str


PLANTS = (
    Plant(
        "workers and training stand above node and models; siblings do not see each other",
        "models.values.codes",
        "import node.reasons",
    ),
    Plant("training never sees node", "training.progress", "from node.dicom import header"),
    Plant("the always-on edge stays small", "node.clock", "import torch"),
    Plant("node: the way of an image", "node.spool.durable", "import node.db.tables"),
    Plant(
        "node.dimse: receiver and client do not see each other",
        "node.dimse.scp.connection",
        "import node.dimse.scu.query",
    ),
    Plant("workers: the way of a job", "workers.results.request", "import workers.jobs.heartbeat"),
    Plant(
        "workers.results: from findings to objects",
        "workers.results.text.wording",
        "import workers.results.parts.equipment",
    ),
    Plant(
        "workers.pipelines: pipelines do not see each other, nor what runs them",
        "workers.pipelines.protocol",
        "import workers.pipelines.run",
    ),
    Plant(
        "workers.results.builders: none is made of another",
        "workers.results.builders.key_objects",
        "import workers.results.builders.report",
    ),
    Plant(
        "training.tasks: detection stands on boxes, no other task on another",
        "training.tasks.chest.recipe",
        "import training.tasks.boxes.recipe",
    ),
    Plant("models: from a file to findings", "models.image.geometry", "import models.bundle.manifest"),
    Plant("training: from data sets to bundles", "training.measures.scores", "import training.tasks.registry"),
    Plant("pynetdicom only in node.dimse", "node.intake.routing", "import pynetdicom"),
    Plant("requests and dicomweb-client only in node.dicomweb", "workers.jobs.circuit", "from requests import get"),
    Plant("SQLAlchemy and Alembic only in node.db", "node.dicom.header", "import sqlalchemy"),
    Plant("Celery only where the queue and the tasks are", "workers.pipelines", "from celery import Celery"),
    Plant("Redis only in node.dispatch", "workers.jobs.heartbeat", "import redis"),
    Plant("pydantic-settings only in node.settings", "node.log", "import pydantic_settings"),
    Plant("highdicom only in workers.results", "workers.commands.offline", "import highdicom"),
    Plant("Lightning only in training", "models.inference.runner", "import lightning"),
)

PLACED = tuple(contract["containers"][0] for contract in CONTRACTS.values() if contract.get("exhaustive"))
"""Packages whose parts are layers."""

WORKERS_ALONE = ("worker", "training")
"""Extras whose libraries the always-on edge never loads."""

BANNED = (
    "os.environ",
    "os.environb",
    "os.getenv",
    "os.getenvb",
    "os.putenv",
    "os.unsetenv",
    "http.server",
    "socketserver",
    "amqp",
    "billiard",
    "psycopg",
    "sqlite3",
    "wsgiref",
    "xmlrpc.server",
)


def copied(folder: Path) -> Path:
    """Copy the packages, without weights and other data, and what configures the gates."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=_all_but_modules)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _all_but_modules(folder: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if not name.endswith(".py") and (name == "__pycache__" or not Path(folder, name).is_dir())
    ]


def contracts_broken(folder: Path) -> dict[str, str]:
    """Run import-linter; return what it says about each broken contract."""
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Contracts:" in run.stdout, run.stdout + run.stderr
    titles = re.compile(rf"^({'|'.join(map(re.escape, CONTRACTS))})\n-+$", re.MULTILINE)
    parts = titles.split(run.stdout.partition("Broken contracts")[2])
    assert (run.returncode == 0) == (len(parts) == 1)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What import-linter says of a copy with every plant, and with a package that nobody has placed."""
    folder = copied(tmp_path_factory.mktemp("planted"))
    for plant in PLANTS:
        module = folder / plant.module.replace(".", "/")
        file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
        file.write_text(file.read_text(encoding="utf-8") + plant.line + "\n", encoding="utf-8")
    for name in PLACED:
        package = folder / name.replace(".", "/") / "unplaced"
        package.mkdir()
        (package / "__init__.py").write_text("import sqlite3\n", encoding="utf-8")
    return contracts_broken(folder)


def test_without_plants_no_contract_is_broken(tmp_path):
    assert contracts_broken(copied(tmp_path)) == {}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.contract)
def test_a_planted_import_breaks_its_contract(plant, said):
    assert plant.module in said.get(plant.contract, "")


def test_every_contract_has_a_plant():
    assert {plant.contract for plant in PLANTS} == set(CONTRACTS)


@pytest.mark.parametrize("top", PLACED)
def test_a_package_without_a_line_in_the_layers_is_refused(top, said):
    (layers,) = (name for name, contract in CONTRACTS.items() if contract.get("containers") == [top])
    assert f"- {top}.unplaced" in said.get(layers, "")


def linted(folder: Path) -> Iterator[tuple[str, str]]:
    """Run ruff's rule of banned names on a copy; yield file and message of each finding."""
    run = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--output-format", "json", "--no-cache", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for finding in json.loads(run.stdout):
        yield Path(finding["filename"]).relative_to(folder.resolve()).as_posix(), finding["message"]


def test_the_environment_and_servers_are_refused_in_new_modules(tmp_path):
    folder = copied(tmp_path)
    expected = set()
    for index, name in enumerate(BANNED):
        module, _, attribute = name.rpartition(".")
        ways = (
            (f"from {module} import {attribute}", f"import {module} as x\nx.{attribute}")
            if module
            else (f"import {name}",)
        )
        for way, text in enumerate(ways):
            file = f"{PACKAGES[index % len(PACKAGES)]}/planted_{index}_{way}.py"
            (folder / file).write_text(text + "\n", encoding="utf-8")
            expected.add((file, name))
    assert {(file, message.split("`")[1]) for file, message in linted(folder)} == expected


def test_the_banned_names_are_those_that_are_tried():
    assert set(CONFIGURATION["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]) == set(BANNED)


def said_in_docstrings() -> Iterator[tuple[str, str]]:
    """Yield each package that has a line in the layers, and the sentence that says what it may import."""
    for contract in CONTRACTS.values():
        if not contract.get("exhaustive"):
            continue
        (container,) = contract["containers"]
        lines = [[name.strip() for name in line.split("|")] for line in contract["layers"]]
        for names, below in zip(lines, [*lines[1:], []], strict=True):
            listed = ", ".join(f"`{name}`" for name in below)
            more = " and what stands below" if lines[-1] != below else ""
            sentence = (
                f"May import, of `{container}`: {listed}{more}." if below else f"Imports nothing of `{container}`."
            )
            yield from ((f"{container}.{name}", sentence) for name in names)


@pytest.mark.parametrize(("package", "sentence"), list(said_in_docstrings()))
def test_the_docstring_of_a_package_says_what_it_may_import(package, sentence):
    file = ROOT / package.replace(".", "/") / "__init__.py"
    if file.exists():
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        assert sentence in said.replace("\n", " ")


def test_the_edge_is_kept_from_every_library_of_the_workers():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        canonicalize_name(Requirement(line).name)
        for extra in WORKERS_ALONE
        for line in project["optional-dependencies"][extra]
    }
    modules = {
        module
        for module, distributions in packages_distributions().items()
        if module.isidentifier() and not module.startswith("_")
        if wanted & {canonicalize_name(name) for name in distributions}
    }
    forbidden = set(CONTRACTS["the always-on edge stays small"]["forbidden_modules"])
    assert {"torch", "highdicom", "cv2"} <= modules
    assert modules - forbidden == set(), "a library of the workers that the edge may load"


def test_a_commit_is_checked_by_what_lint_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    entries = {hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in hooks}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    run = {
        re.sub(r" --check| check \.$| \.$", "", line.strip().removeprefix("$(VENV)/bin/"))
        for line in recipe[1].splitlines()
    }
    assert {entry.replace(" check", "") for entry in entries} == run
