"""Docstrings are written in one way: a function's begins with a verb, and a section names and then explains."""

from __future__ import annotations

import ast
import re

from tests.support.paths import ROOT

OTHER_DIALECT = re.compile(r"^\s*[a-z_]+(, [a-z_]+)* : \S", re.MULTILINE)
"""`name : text`: the colon of numpydoc is for types, which the signature gives."""

SECTIONS = re.compile(r"\n\s*(Parameters|Attributes|Returns|Raises)\n\s*-+\n")
PLAIN_RETURNS = ("Path of ", "Whether ")


def documented():
    """Yield every documented function and class, with its docstring."""
    for top in ("node", "workers", "models", "training"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
                    yield path.relative_to(ROOT).as_posix(), node, text


def is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(one) for one in node.decorator_list)


def test_a_function_says_what_it_does_and_not_what_it_is():
    functions = [one for one in documented() if isinstance(one[1], ast.FunctionDef)]
    assert len(functions) > 1500
    assert [
        f"{path}:{node.lineno}"
        for path, node, text in functions
        if text.startswith(PLAIN_RETURNS) and not is_property(node) and len(text.splitlines()[0]) < 105
    ] == []


def test_sections_are_of_one_dialect():
    assert [
        f"{path}:{node.lineno}"
        for path, node, text in documented()
        if (found := SECTIONS.search(text)) and OTHER_DIALECT.search(text[found.start() :])
    ] == []
