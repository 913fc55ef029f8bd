"""Fixtures shared by all tests: databases, settings, the real data where it is there."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.db.engine import Database
from node.settings import Settings
from tests.support.paths import ROOT
from tests.support.results import interoperability

MISSING = re.compile("not installed|could not fetch")
"""What a test says that skips for want of a program."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="run the slow campaigns in their whole form")
    parser.addoption("--interoperability", action="store_true", help="write docs/interoperability.md and its pictures")


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder for what readers made of results; child processes inherit its name."""
    os.environ.pop("COLUMNS", None)  # xdist sets it; a console keeps what it began with
    if interoperability.FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="hilum-interoperability-")
        os.environ[interoperability.FOLDER] = folder.name
        config.add_cleanup(lambda: (os.environ.pop(interoperability.FOLDER, None), folder.cleanup()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each file in one process (pytest-xdist), and together those that share the fixtures of their package."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder == "e2e" else f"{folder}/{item.path.stem}"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the page where it is asked for, or fail a run that found something else than the committed page says."""
    if hasattr(session.config, "workerinput"):  # a process of pytest-xdist: the first one has everything at the end
        return
    found = interoperability.rows(Path(os.environ[interoperability.FOLDER]))
    if session.config.getoption("--interoperability"):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        absent = [report for report in reporter.stats.get("skipped", ()) if MISSING.search(str(report.longrepr))]
        if session.exitstatus == pytest.ExitCode.OK and not absent:
            interoperability.write(found)
        else:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter.write_line("\ndocs/interoperability.md stays as it was: a test failed, or a program is missing")
    elif session.exitstatus == pytest.ExitCode.OK and interoperability.missing(found):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of this run, and what the committed page does not say."""
    found = interoperability.rows(Path(os.environ[interoperability.FOLDER]))
    if found:
        terminalreporter.section("results × readers")
        terminalreporter.write_line("\n".join(interoperability.table(found)))
    for row in interoperability.missing(found):
        terminalreporter.write_line(f"not in docs/interoperability.md (make interoperability): {row.line}", red=True)


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
    return Settings(home=tmp_path / "home")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database with the newest schema."""
    made = Database(f"sqlite:///{tmp_path / 'hilum.db'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of this test run; skips where the package is missing."""
    from tests.support.peers import servers

    with servers.postgresql(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path / 'hilum.db'}")
    else:
        from tests.support.peers import servers

        made = Database(servers.new_database(request.getfixturevalue("postgresql_server")))
    made.migrate()
    yield made
    made.close()
