"""One name for each meaning: a class is not named as another one, and a function is not written twice."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.support.paths import ROOT

LONGEST_TRIFLE = 300
"""Characters of a dumped body up to which two equal ones are no copy of each other, as in `return name.upper()`."""

MODULES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for top in ("node", "workers", "models", "training")
    for path in sorted((ROOT / top).rglob("*.py"))
}


def test_no_two_public_classes_share_a_name():
    places = defaultdict(list)
    for name, module in MODULES.items():
        for part in module.body:
            if isinstance(part, ast.ClassDef) and not part.name.startswith("_"):
                places[part.name].append(name)
    assert len(places) > 200
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_function_is_written_twice():
    places = defaultdict(list)
    for name, module in MODULES.items():
        for part in module.body:
            if isinstance(part, ast.FunctionDef):
                body = part.body[ast.get_docstring(part) is not None :]
                places[ast.dump(ast.Module(body, []))].append(f"{name}: {part.name}")
    assert len(places) > 1000
    assert [where for body, where in places.items() if len(where) > 1 and len(body) > LONGEST_TRIFLE] == []
