"""What `make build` makes can be installed and used away from the checkout, on an edge and on a machine that analyses.

Each wheel is installed by pip into a new environment. The libraries that it needs are not downloaded: an edge gets
links to the distributions that deploy/locks/edge.txt names and to nothing else, a worker sees all of this environment.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from models import phantom
from node import __version__
from tests.support.locks import locked
from tests.support.paths import ROOT

LIBRARIES = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, made from a copy of the sources, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheels")
    source = folder / "source"
    for name in ("node", "workers", "models", "training"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "weights.safetensors"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for project in (source, ROOT / "models" / "bundles"):
        _run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, project)
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def edge(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what the edge image installs."""
    environment = _environment(tmp_path_factory.mktemp("edge"))
    for name, version in locked("edge").items():
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # only for another release of Python, as async-timeout
            continue
        assert distribution.version == version, name
        _link(distribution, _libraries(environment))
    _install(environment, wheels["hilum"])
    return environment


@pytest.fixture(scope="module")
def worker(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what the worker image installs, and more."""
    environment = _environment(tmp_path_factory.mktemp("worker"))
    (_libraries(environment) / "libraries.pth").write_text(f"{LIBRARIES}\n")
    _install(environment, wheels["hilum"], wheels["hilum_bundles"])
    return environment


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "chest.dcm"
    phantom.write(path, phantom.generate(1, rows=640, columns=512))
    return path


def test_the_wheel_has_everything_but_bundles_and_tests(wheels: dict[str, Path]) -> None:
    names = set(zipfile.ZipFile(wheels["hilum"]).namelist())
    for folder, pattern in (
        ("node", "**/*.py"),
        ("workers", "**/*.py"),
        ("models", "**/*.py"),
        ("training", "**/*.py"),
        ("node/db/migrations", "*.mako"),
        ("models/phantom", "*.npz"),
        ("training/recipes", "*.yaml"),
        ("training/splits", "*.csv"),
    ):
        there = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob(pattern)}
        assert there, folder
        assert there <= names, f"{folder}: {sorted(there - names)}"
    assert {f"{name}/py.typed" for name in ("node", "workers", "models", "training")} <= names
    assert not [name for name in names if name.startswith(("models/bundles", "tests"))]


def test_the_bundles_are_a_wheel_of_their_own(wheels: dict[str, Path]) -> None:
    names = {name for name in zipfile.ZipFile(wheels["hilum_bundles"]).namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "models" / "bundles").glob("*/**/*") if path.is_file()
    }
    assert names == there


def test_the_edge_explains_a_file_away_from_the_checkout(edge: Path, image: Path, tmp_path: Path) -> None:
    assert _hilum(edge, tmp_path, "--version").strip() == __version__
    shown = _hilum(edge, tmp_path, "--help")
    assert "explain" in shown
    assert "analyse" in shown
    assert re.search(r"Eligibility +accepted", _hilum(edge, tmp_path, "explain", image))
    assert "schema: empty" in _hilum(edge, tmp_path, "migrate")


def test_the_edge_has_neither_torch_nor_bundles(edge: Path, tmp_path: Path) -> None:
    code = "import importlib.util as u, node; print(u.find_spec('torch'), node.__file__)"
    torch, file = _run(edge / "bin" / "python", "-c", code, folder=tmp_path).split()
    assert torch == "None"
    assert Path(file).is_relative_to(edge)
    assert not (_libraries(edge) / "models" / "bundles").exists()


def test_the_requirements_of_the_wheel_are_met_by_the_lock(edge: Path) -> None:
    assert "No broken requirements" in _run(sys.executable, "-m", "pip", "--python", edge / "bin" / "python", "check")


def test_a_worker_analyses_away_from_the_checkout(worker: Path, image: Path, tmp_path: Path) -> None:
    shown = _hilum(worker, tmp_path, "analyse", "--bundle", "lungs-heart", "--out", tmp_path / "results", image)
    kinds = {path.stem.partition("-")[0] for path in (tmp_path / "results").rglob("*.dcm")}
    assert kinds == {"seg", "sr"}, shown
    listed = _hilum(worker, tmp_path, "bundles")
    assert str(_libraries(worker) / "models" / "bundles") in listed


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=False, symlinks=True)
    return folder


def _libraries(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


def _install(environment: Path, *files: Path) -> None:
    python = environment / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", *files)


def _link(distribution: metadata.Distribution, folder: Path) -> None:
    """Make the packages and modules of an installed distribution importable in another environment."""
    for name in {path.parts[0] for path in distribution.files or ()} - {"..", "__pycache__", "bin"}:
        target = folder / name
        if not target.exists():
            target.symlink_to(Path(str(distribution.locate_file(name))))


def _variables(folder: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "HILUM_HOME": str(folder / "home"), "COLUMNS": "200"}


def _hilum(environment: Path, folder: Path, *arguments: str | Path) -> str:
    return _run(environment / "bin" / "hilum", *arguments, folder=folder)


def _run(*command: str | Path, folder: Path | None = None) -> str:
    """Run a program in a folder without anything of this environment; return what it printed."""
    environment = None if folder is None else _variables(folder)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
