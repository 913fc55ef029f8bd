"""Connections and transactions. `write()` takes SQLite's write lock at once, so that it never fails half-way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from node.errors import Misconfigured

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 60
READ_ONLY = "hilum_read_only"

Transaction = Session
"""What `Database.read` and `Database.write` hand out; opaque to other packages."""


class Database:
    """One database: SQLite (WAL) embedded, PostgreSQL in production."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._engine = _engine(url)
        self._reading = self._engine.execution_options(**{READ_ONLY: True})

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that commits at the end of the block and rolls back on any exception."""
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction for reading; nothing in it is kept."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    def migrate(self) -> None:
        """Bring the schema to the newest revision (Alembic)."""
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        with self._engine.begin() as connection:
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def schema_revision(self) -> tuple[str | None, str | None]:
        """Return the schema's revision and the newest that the program knows."""
        newest = ScriptDirectory.from_config(_alembic()).get_current_head()
        with self._reading.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest

    def require_current_schema(self) -> None:
        """Check that the schema fits this program.

        Raises
        ------
        Misconfigured
            The database cannot be reached, or its schema is older or newer than the program.
        """
        try:
            found, newest = self.schema_revision()
        except OperationalError as error:
            where = self._url.render_as_string(hide_password=True)
            raise Misconfigured(f"cannot open the database {where}: {error.orig}") from error
        if found != newest:
            raise Misconfigured(f"the database schema is at {found}, this program needs {newest}: run `hilum migrate`")

    def close(self) -> None:
        """Close all pooled connections."""
        self._engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Write-ahead log, full durability, foreign keys; transactions are begun by us."""
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError(f"expected a sqlite3 connection, found {type(connection)}")
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    options: dict[str, Any] = dict(connection.get_execution_options())
    connection.exec_driver_sql("BEGIN" if options.get(READ_ONLY) else "BEGIN IMMEDIATE")
