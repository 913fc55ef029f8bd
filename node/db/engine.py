"""Connections and transactions. A transaction knows who acts and since when; what is noted in it says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, false, make_url, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from node import __version__
from node.clock import Clock, utc_now
from node.db import audit, dialects
from node.db.audit import Action
from node.db.tables import AuditHeadRow, JobRow, StudyRow
from node.errors import DatabaseUnusable, Misconfigured

log = structlog.get_logger()

MIGRATIONS = Path(__file__).parent / "migrations"
READ_ONLY = "hilum_read_only"
UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""What the database raises when it is away, silent, locked, full or read-only, whatever was asked of it."""
UNUSABLE = (*UNAVAILABLE, DBAPIError, OSError)
"""What it raises, besides, when it is another thing than this program's database, or lent to another role."""
SLOW_S = 5.0
"""A transaction that took longer is logged: it waited for a lock or for the disk."""


_READ_ONLY = ("readonly", "read-only", "permission denied", "insufficient privilege")


class Transaction(Session):
    """What `Database.read` and `Database.write` hand out; opaque to other packages."""

    actor: str
    """Who acts: a component and its process."""
    now: datetime
    """When the transaction began: the one moment of everything that is written in it."""

    def note(
        self, action: Action, about: StudyRow | JobRow | None = None, *, actor: str | None = None, **detail: Any
    ) -> None:
        """Add an event to the audit log.

        Parameters
        ----------
        about
            The study or job that it belongs to.
        actor
            Who, where it was somebody else than the process that writes (`ae:ROUTER`).
        detail
            Why and with what: JSON values only, and never a patient attribute.
        """
        study_id, job_id = _subject(about)
        audit.append(
            self, at=self.now, actor=actor or self.actor, action=action, study_id=study_id, job_id=job_id, **detail
        )


class Database:
    """One database: SQLite (WAL) embedded, PostgreSQL in production.

    Parameters
    ----------
    url
        SQLAlchemy's URL of the database.
    actor
        Who works on it, for the audit log: `node.identity.actor` of a component.
    clock
        Gives each transaction its moment.

    Raises
    ------
    Misconfigured
        The URL is none, or names a kind of database that cannot be used, or whose driver is not installed.
    """

    def __init__(self, url: str, *, actor: str, clock: Clock = utc_now) -> None:
        try:
            self._url = make_url(url)
        except (ArgumentError, ValueError) as error:
            raise Misconfigured(f"database_url: {str(error).splitlines()[0]}") from error
        self._dialect = dialects.of_url(self._url)
        try:
            self._engine = _engine(self._url, self._dialect)
        except (ImportError, NoSuchModuleError, ArgumentError) as error:
            raise Misconfigured(
                f"database_url: {self._url.drivername} cannot be used ({error}): {dialects.DRIVER_ADVICE}"
            ) from error
        self._reading = self._engine.execution_options(**{READ_ONLY: True})
        self.actor, self.clock = actor, clock

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that commits at the end of the block and rolls back on any exception.

        SQLite's write lock is held in the whole block: nothing slow belongs there, and no file is read in it.
        """
        with self._begin(self._engine) as tx:
            yield tx
            tx.commit()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a transaction for reading; nothing in it is kept."""
        with self._begin(self._reading) as tx:
            yield tx

    @contextmanager
    def _begin(self, engine: Engine) -> Iterator[Transaction]:
        begun = time.monotonic()
        try:
            with Transaction(engine, expire_on_commit=False) as tx:
                tx.connection()  # begins now, not at the first statement
                # After the wait for the lock, so that the moments of transactions are in the order of their rows.
                tx.actor, tx.now = self.actor, self.clock()
                yield tx
        finally:
            if (seconds := time.monotonic() - begun) > SLOW_S:
                log.warning("database.waited_for", seconds=round(seconds, 1))

    def migrate(self) -> None:
        """Bring the schema to the newest revision (Alembic).

        Raises
        ------
        Misconfigured
            The database cannot be reached or written, or is of a newer program.
        """
        if (file := self._file()) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with self._explained(), self._outside_of_foreign_keys() as connection, connection.begin():
            for statement in self._dialect.without_timeouts:
                connection.exec_driver_sql(statement)
            _require_known(MigrationContext.configure(connection).get_current_revision())
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _outside_of_foreign_keys(self) -> Iterator[Connection]:
        """Return a connection for changes of tables that others refer to; what it is set to is forgotten with it."""
        with self._engine.connect() as connection:
            driver = connection.connection
            with closing(driver.cursor()) as cursor:
                for statement in self._dialect.before_migration:
                    cursor.execute(statement)
            try:
                yield connection
            finally:
                connection.invalidate()

    def schema_revision(self) -> tuple[str | None, str | None]:
        """Return the schema's revision, None for a database without tables, and the newest that the program knows.

        Raises
        ------
        DatabaseUnusable
            The database cannot be reached, or is none.
        """
        newest = ScriptDirectory.from_config(_alembic()).get_current_head()
        if (file := self._file()) is not None and not file.exists():
            return None, newest  # to look into it would make an empty one
        with self._explained(), self._reading.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest

    def require_current_schema(self) -> None:
        """Check that the schema fits this program.

        Raises
        ------
        Misconfigured
            The database cannot be reached, or its schema is older or newer than the program.
        """
        found, newest = self.schema_revision()
        if found != newest:
            _require_known(found)
            raise Misconfigured(f"the database schema is at {found}, this program needs {newest}: run `hilum migrate`")

    def require_writable(self) -> None:
        """Check that this process may write.

        Raises
        ------
        DatabaseUnusable
            It may not: the database is read-only, a standby, full, or lent to another role.
        """
        with self._explained(), self.write() as tx:
            tx.execute(update(AuditHeadRow).where(false()).values(sequence=0))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the database says into one line for the operator."""
        try:
            yield
        except UNUSABLE as error:
            raise DatabaseUnusable(explained(error, self._url.render_as_string(hide_password=True))) from error

    def close(self) -> None:
        """Close all pooled connections."""
        self._engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _file(self) -> Path | None:
        """Return the file of an embedded database; None for one of a server, or in memory."""
        name = self._url.database
        return Path(name) if self._dialect.is_file and name and name != ":memory:" else None


def _subject(about: StudyRow | JobRow | None) -> tuple[int | None, str | None]:
    """Return the ids of the study and of the job."""
    match about:
        case JobRow():
            return about.study_id, about.id
        case StudyRow():
            return about.id, None
        case None:
            return None, None


def _require_known(revision: str | None) -> None:
    """Refuse the schema of a newer program."""
    script = ScriptDirectory.from_config(_alembic())
    if revision is not None and revision not in {one.revision for one in script.walk_revisions()}:
        raise Misconfigured(
            f"the database schema is at {revision}, which only a newer version of this program knows: install that "
            f"version again (this one is {__version__}), or restore a copy of the database from before"
        )


def explained(error: Exception, where: str = "") -> str:
    """Say in one line what the database refuses, and what can be done; without values of a statement."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    what = reason[0] if reason else type(error).__name__
    lowered = what.lower()
    if any(word in lowered for word in _READ_ONLY):
        advice = "it is read-only or may not be written by this role: make it writable, or name the primary server"
    else:
        advice = "is it running, and are `database_url`, password and network right?"
    return f"cannot use the database{where and ' '}{where}: {what} ({advice})"


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _engine(url: URL, dialect: dialects.DatabaseDialect) -> Engine:
    ours = {name: value for name, value in dialect.connect_arguments.items() if name not in url.query}
    engine = create_engine(url, pool_pre_ping=dialect.pre_ping, connect_args=ours)
    event.listen(engine, "connect", partial(_set_up, dialect))
    if dialect.begin is not None:
        event.listen(engine, "begin", partial(_start, dialect.begin))
    return engine


def _set_up(dialect: dialects.DatabaseDialect, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    if dialect.set_up:
        with closing(connection.cursor()) as cursor:
            for statement in dialect.set_up:
                cursor.execute(statement)


def _start(begin: dialects.Begin, connection: Connection) -> None:
    options: dict[str, Any] = dict(connection.get_execution_options())
    connection.exec_driver_sql(begin.read if options.get(READ_ONLY) else begin.write)
