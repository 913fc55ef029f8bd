"""Fixtures shared by all tests: databases, settings, the real data where it is there.

It imports nothing but pytest until a test asks for something: one test of the node runs with the node's dependencies.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import RECORDS, ROOT

if TYPE_CHECKING:
    from node.db.engine import Database
    from node.settings import Settings

MISSING = re.compile("not installed|could not fetch")
"""What a test says that skips for want of a program."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="run the slow campaigns in their whole form")
    parser.addoption("--interoperability", action="store_true", help="write docs/interoperability.md and its pictures")


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder for what readers made of results; child processes inherit its name."""
    os.environ.pop("COLUMNS", None)  # xdist sets it; a console keeps what it began with
    if RECORDS not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="hilum-interoperability-")
        os.environ[RECORDS] = folder.name
        config.add_cleanup(lambda: (os.environ.pop(RECORDS, None), folder.cleanup()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each file in one process (pytest-xdist), and together those that share the fixtures of their package."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder == "e2e" else f"{folder}/{item.path.stem}"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the page where it is asked for, or fail a run that found something else than the committed page says."""
    if hasattr(session.config, "workerinput"):  # a process of pytest-xdist: the first one has everything at the end
        return
    if session.config.getoption("--interoperability"):
        _write_page(session)
    elif session.exitstatus == pytest.ExitCode.OK and _recorded():
        from tests.support.results import interoperability

        if interoperability.missing(interoperability.rows(_recorded())):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _write_page(session: pytest.Session) -> None:
    from tests.support.results import interoperability

    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    absent = [report for report in reporter.stats.get("skipped", ()) if MISSING.search(str(report.longrepr))]
    if session.exitstatus == pytest.ExitCode.OK and not absent:
        interoperability.write(interoperability.rows(Path(os.environ[RECORDS])))
    else:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("\ndocs/interoperability.md stays as it was: a test failed, or a program is missing")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of this run, and what the committed page does not say."""
    folder = _recorded()
    if folder is None:
        return
    from tests.support.results import interoperability

    found = interoperability.rows(folder)
    terminalreporter.section("results × readers")
    terminalreporter.write_line("\n".join(interoperability.table(found)))
    for row in interoperability.missing(found):
        terminalreporter.write_line(f"not in docs/interoperability.md (make interoperability): {row.line}", red=True)


def _recorded() -> Path | None:
    """Return the folder of what readers made of results, if any test recorded something."""
    folder = Path(os.environ[RECORDS])
    return folder if any(folder.iterdir()) else None


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether campaigns run whole rather than shortened."""
    return bool(request.config.getoption("--whole"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real data, read only and never copied; skips where it is absent."""
    folder = Path(os.environ.get("HILUM_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "dicom").is_dir():
        pytest.skip(f"no real data in {folder} (set HILUM_DATA to the folder that holds them)")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a node in an empty folder."""
    from node.settings import Settings

    return Settings(home=tmp_path / "home")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the newest schema and no rows; tests get copies, as migrating takes longer."""
    from node.db.engine import Database

    path = tmp_path_factory.mktemp("template") / "hilum.db"
    with Database(f"sqlite:///{path}", actor="test") as made:
        made.migrate()
    return path


@pytest.fixture
def database(tmp_path: Path, sqlite_template: Path) -> Iterator[Database]:
    """An empty SQLite database with the newest schema."""
    from node.db.engine import Database

    with Database(f"sqlite:///{shutil.copy(sqlite_template, tmp_path)}", actor="test") as made:
        yield made


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server of this test run; skips where server or driver is missing."""
    pytest.importorskip("psycopg")
    from tests.support.peers import databases

    with databases.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """Name of a PostgreSQL database with the newest schema and no rows; tests get copies of it."""
    from node.db.engine import Database
    from tests.support.peers import databases

    url = databases.new_database(postgresql_server)
    with Database(url, actor="test") as made:
        made.migrate()
    return databases.name_of(url)


@pytest.fixture
def postgresql_database(postgresql_server: str, postgresql_template: str) -> Iterator[Database]:
    """An empty PostgreSQL database with the newest schema."""
    from node.db.engine import Database
    from tests.support.peers import databases

    url = databases.new_database(postgresql_server, template=postgresql_template)
    with Database(url, actor="test") as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> Database:
    """An empty database of each kind."""
    found: Database = request.getfixturevalue("database" if request.param == "sqlite" else "postgresql_database")
    return found
