"""What differs between the databases that may be used, in one table: another one is one more entry here.

Nothing else in the program asks which database it works on. The statements that make triggers are also those of the
migrations that were run already, so they are not to be changed: a new form is a new field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import URL, BigInteger, Integer
from sqlalchemy.types import TypeEngine

from node.errors import Misconfigured

BUSY_TIMEOUT_S: Final = 60
CONNECT_TIMEOUT_S: Final = 10
SILENCE_S: Final = 25
"""After so long without an acknowledgement the other side of a connection is taken for gone."""
LOCK_TIMEOUT_S: Final = 30
"""Longest wait for a lock; a transaction of this node holds one for milliseconds."""
STATEMENT_TIMEOUT_S: Final = 60
IDLE_IN_TRANSACTION_S: Final = 60
"""The server ends a transaction in which nothing happens for so long: its process is gone, or stands still."""


@dataclass(frozen=True)
class Begin:
    """Statements that begin a transaction, where the driver is not to do it."""

    write: str
    read: str


@dataclass(frozen=True, kw_only=True)
class DatabaseDialect:
    """What one kind of database needs, and how the schema is guarded in it."""

    is_file: bool = False
    """The database is a file on this machine; its folder is made where it is not there."""
    connect_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the driver's `connect`."""
    pre_ping: bool = False
    """A pooled connection may have died, and is tried before it is used."""
    set_up: tuple[str, ...] = ()
    """Statements for each new connection."""
    without_timeouts: tuple[str, ...] = ()
    """Statements that let one transaction take as long as it takes: a migration of many rows."""
    before_migration: tuple[str, ...] = ()
    """Statements before the transaction of a migration, for a connection that is used for nothing else."""
    begin: Begin | None = None
    """None: the driver begins transactions."""
    keeps_time_zone: bool = True
    """Whether a timestamp is stored with its time zone; without, UTC is stored."""
    wide_integers: bool = False
    """Whether every integer column holds 64 bits."""
    checks_lengths: bool = True
    """Whether a text that is longer than its column is refused."""
    guard: tuple[str, ...]
    """Makes the audit log append-only, and what the triggers of `guard_states` call."""
    drop_guard: tuple[str, ...]
    guard_states: str
    """Lets `state` of a `{table}` move only by the `{pairs}` listed."""
    drop_guard_states: str


# The write lock is taken when a writing transaction begins, so that it never fails half-way.
_SQLITE = DatabaseDialect(
    is_file=True,
    wide_integers=True,
    connect_arguments={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},  # transactions are begun by us
    set_up=(
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA foreign_keys=ON",
        f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}",
    ),
    before_migration=("PRAGMA foreign_keys=OFF",),  # a table that others refer to is changed by copying it
    begin=Begin(write="BEGIN IMMEDIATE", read="BEGIN"),
    keeps_time_zone=False,
    checks_lengths=False,
    guard=tuple(
        f"CREATE TRIGGER audit_events_no_{verb.lower()} BEFORE {verb} ON audit_events "
        "BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    drop_guard=("DROP TRIGGER audit_events_no_update", "DROP TRIGGER audit_events_no_delete"),
    guard_states=(
        "CREATE TRIGGER {table}_transition BEFORE UPDATE OF state ON {table} "
        "WHEN NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN ({pairs}) "
        "BEGIN SELECT RAISE(ABORT, 'impossible transition in {table}'); END"
    ),
    drop_guard_states="DROP TRIGGER {table}_transition",
)

_POSTGRESQL = DatabaseDialect(
    connect_arguments={
        "connect_timeout": CONNECT_TIMEOUT_S,
        # A network that has gone silent: without these, Linux waits for hours.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": (SILENCE_S - 10) // 5,
        "tcp_user_timeout": 1000 * SILENCE_S,
        "options": " ".join(
            f"-c {name}={1000 * seconds}"
            for name, seconds in (
                ("lock_timeout", LOCK_TIMEOUT_S),
                ("statement_timeout", STATEMENT_TIMEOUT_S),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_S),
            )
        ),
    },
    pre_ping=True,
    without_timeouts=("SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0"),
    guard=(
        "CREATE FUNCTION hilum_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit_events is append-only'; END $$",
        "CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION hilum_append_only()",
        "CREATE FUNCTION hilum_transition() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'impossible transition in %: % to %', TG_TABLE_NAME, OLD.state, NEW.state; END $$",
    ),
    drop_guard=(
        "DROP TRIGGER audit_events_append_only ON audit_events",
        "DROP FUNCTION hilum_transition()",
        "DROP FUNCTION hilum_append_only()",
    ),
    guard_states=(
        "CREATE TRIGGER {table}_transition BEFORE UPDATE OF state ON {table} FOR EACH ROW "
        "WHEN (NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN ({pairs})) "
        "EXECUTE FUNCTION hilum_transition()"
    ),
    drop_guard_states="DROP TRIGGER {table}_transition ON {table}",
)

DIALECTS: Final[Mapping[str, DatabaseDialect]] = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
"""By the name that a database URL begins with."""


DRIVER_ADVICE: Final = "write `postgresql+psycopg://`, and install its driver with `pip install hilum[postgresql]`"
"""What helps where the driver that a database URL names is not there."""


def dialect_of(name: str) -> DatabaseDialect:
    """Look up a kind of database.

    Raises
    ------
    Misconfigured
        It is none of the table.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        known = " or ".join(DIALECTS)
        raise Misconfigured(f"database_url: a database of the kind {name!r} cannot be used, only {known}") from None


def of_url(url: URL) -> DatabaseDialect:
    """Look up the kind of database that a URL names.

    Raises
    ------
    Misconfigured
        It is none of the table.
    """
    return dialect_of(url.get_backend_name())


def byte_count() -> TypeEngine[int]:
    """Return the type of a column that holds sizes of 2 GiB and more."""
    kind: TypeEngine[int] = BigInteger()
    for name, dialect in DIALECTS.items():
        if dialect.wide_integers:
            kind = kind.with_variant(Integer(), name)
    return kind
