"""The tree stays readable: few modules side by side, and none too long."""

from __future__ import annotations

from collections import Counter

from tests.support.paths import ROOT

MOST_MODULES = 12
MOST_LINES = 400

MODULES = [path for top in ("node", "workers", "models", "training") for path in sorted((ROOT / top).rglob("*.py"))]


def test_no_folder_has_more_than_a_dozen_modules():
    side_by_side = Counter(path.parent.relative_to(ROOT).as_posix() for path in MODULES if path.name != "__init__.py")
    assert len(side_by_side) > 30
    assert {folder: count for folder, count in side_by_side.items() if count > MOST_MODULES} == {}


def test_no_module_is_too_long():
    lines = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    assert len(lines) > 300
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}
