"""The lock files hold what the project asks for, in the versions that the tests run with, and by hash."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.locks import ENTRY, LOCKS, locked
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = {
    "edge": [*PROJECT["dependencies"], *EXTRAS["postgresql"]],
    "worker": [*PROJECT["dependencies"], *EXTRAS["postgresql"], *EXTRAS["worker"]],
    "build": [name for name in EXTRAS["dev"] if name.startswith(("build", "hatchling", "setuptools"))],
}


def constrained() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("name", ASKED)
def test_every_line_is_a_version_with_hashes_and_names_no_index(name: str) -> None:
    assert ENTRY.sub("", (LOCKS / f"{name}.txt").read_text()) == ""


@pytest.mark.parametrize("name", ASKED)
def test_what_the_project_asks_for_is_locked(name: str) -> None:
    versions = locked(name)
    assert len(ASKED[name]) >= 3
    for text in ASKED[name]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), f"{text}: run `make lock`"


@pytest.mark.parametrize("name", ASKED)
def test_images_get_the_versions_that_are_tested(name: str) -> None:
    tested = constrained()
    assert {key: tested.get(key) for key in locked(name)} == locked(name), "run `make lock`"


def test_the_edge_has_no_library_of_networks_or_results() -> None:
    assert not {"torch", "torchvision", "highdicom", "opencv-python-headless", "matplotlib"} & set(locked("edge"))
    assert set(locked("edge")) < set(locked("worker"))
    # kombu imports it for the Redis transport, and asks for it only by celery[redis].
    assert "packaging" in locked("edge")
