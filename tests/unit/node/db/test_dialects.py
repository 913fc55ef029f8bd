"""One table holds what differs between databases: nothing else names one."""

import ast
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from node.db.dialects import DIALECTS
from node.db.engine import Database
from node.errors import Misconfigured
from tests.support.paths import ROOT

TABLE = "node/db/dialects.py"
DEFAULT_URL = "node/settings.py"
"""Where a database is made when none is configured."""


def strings(path: Path) -> list[str]:
    """Every text in the code, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]


def test_no_other_module_names_a_database():
    found = {
        str(path.relative_to(ROOT))
        for package in ("node", "workers", "models", "training")
        for path in (ROOT / package).rglob("*.py")
        for text in strings(path)
        if any(name in text.lower() for name in ("sqlite", "postgres", "pragma ", *DIALECTS))
    }
    assert found == {TABLE, DEFAULT_URL}


def test_a_database_that_is_not_in_the_table_is_refused_and_never_taken_for_another():
    with pytest.raises(Misconfigured, match=r"'mysql' cannot be used, only sqlite or postgresql"):
        Database("mysql+pymysql://hilum@db/hilum", actor="test")


def test_what_is_no_url_is_refused():
    with pytest.raises(Misconfigured, match="database_url"):
        Database("hilum.db", actor="test")


def test_the_revision_of_a_database_that_is_not_there_is_none_and_looking_makes_no_file(tmp_path):
    file = tmp_path / "home" / "hilum.db"
    with Database(f"sqlite:///{file}", actor="test") as database:
        assert database.schema_revision()[0] is None
        with pytest.raises(Misconfigured, match="hilum migrate"):
            database.require_current_schema()
    assert not file.parent.exists()


def test_the_write_lock_is_held_from_the_first_line_of_the_block(database, tmp_path):
    with database.write(), closing(sqlite3.connect(tmp_path / "hilum.db", timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        assert other.execute("SELECT count(*) FROM studies").fetchone() == (0,), "reading goes on"
