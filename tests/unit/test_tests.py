"""A rule for the tests themselves: what several of them share stands in tests/support."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

TESTS = ROOT / "tests"


def imported(source: str) -> Iterator[str]:
    """Yield every module that a source imports, and every name that may be one."""
    for part in ast.walk(ast.parse(source)):
        if isinstance(part, ast.Import):
            yield from (name.name for name in part.names)
        elif isinstance(part, ast.ImportFrom) and part.module:
            yield part.module
            yield from (f"{part.module}.{name.name}" for name in part.names)


def is_test(module: str) -> bool:
    """Tell whether a module is one that pytest collects from: a file `test_*.py`, or a `conftest`."""
    parts = module.split(".")
    return parts[0] == "tests" and any(part == "conftest" or part.startswith("test_") for part in parts)


def imported_tests(source: str) -> set[str]:
    return {module for module in imported(source) if is_test(module)}


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_test_is_imported(path: Path) -> None:
    assert imported_tests(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "line",
    [
        "from tests.unit.node.db.test_jobs import NOW",
        "from tests.unit.node.db import test_jobs",
        "import tests.e2e.conftest",
        "def late():\n    from tests.e2e.conftest import CASES",
    ],
)
def test_an_imported_test_is_seen(line: str) -> None:
    assert imported_tests(line)
