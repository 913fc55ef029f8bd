"""A database that is silent, locked, idle or read-only: noticed within a bounded time, said, and used again after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from node.db import dialects
from node.db.engine import UNAVAILABLE, Database
from tests.support.peers import networks
from tests.support.peers.databases import PostgreSQL, new_database


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with PostgreSQL.running() as running:
        yield running.url


def opened(url: str, **query: str) -> Database:
    separator = "&" if "?" in url else "?"
    return Database(url + separator + "&".join(f"{name}={quote(value)}" for name, value in query.items()), actor="test")


def shown(database: Database, name: str) -> str:
    with database.read() as tx:
        return str(tx.scalar(text(f"SHOW {name}")))


def test_every_connection_has_its_limits(server: str):
    with Database(new_database(server), actor="test") as database:
        assert shown(database, "lock_timeout") == f"{dialects.LOCK_TIMEOUT_S}s"
        assert shown(database, "statement_timeout") == "1min"
        assert shown(database, "idle_in_transaction_session_timeout") == "1min"


def test_a_migration_may_take_as_long_as_it_takes(server: str):
    url = new_database(server)
    with opened(url, options="-c statement_timeout=1000") as database, ThreadPoolExecutor(1) as beside:
        database.migrate()
        with psycopg.connect(url.replace("+psycopg", "")) as slow:
            slow.execute("LOCK TABLE alembic_version")
            migrated = beside.submit(database.migrate)
            time.sleep(2.5)  # longer than any other statement may take
        migrated.result(timeout=60)
        assert shown(database, "statement_timeout") == "1s"


@pytest.mark.skipif(not networks.may_make(), reason="network namespaces cannot be made here")
def test_a_network_that_has_gone_silent_is_noticed():
    limits = {"connect_timeout": "2", "tcp_user_timeout": "2000", "keepalives_idle": "1", "keepalives_interval": "1"}
    with networks.remote() as far, PostgreSQL.running(far) as server, opened(server.url, **limits) as database:
        assert shown(database, "lock_timeout")
        begun = time.monotonic()
        with far.silent(), pytest.raises(UNAVAILABLE):
            shown(database, "lock_timeout")
        assert time.monotonic() - begun < 30
        assert shown(database, "lock_timeout")


def test_a_lock_that_somebody_forgot_is_an_error_with_a_log_line(server: str):
    url = new_database(server)
    with opened(url, options="-c lock_timeout=5500") as database, capture_logs() as logs:
        with database.write() as tx:
            tx.execute(text("CREATE TABLE held (n int)"))
        with psycopg.connect(url.replace("+psycopg", "")) as forgotten:
            forgotten.execute("LOCK TABLE held")
            with pytest.raises(UNAVAILABLE, match="lock timeout"), database.write() as tx:
                tx.execute(text("INSERT INTO held VALUES (1)"))
        with database.write() as tx:
            tx.execute(text("INSERT INTO held VALUES (1)"))
    (line,) = [line for line in logs if line["event"] == "database.waited_for"]
    assert line["seconds"] >= 5.5


def test_a_process_that_stands_still_in_a_transaction_holds_no_lock_for_ever(server: str):
    url = new_database(server)
    with opened(url, options="-c idle_in_transaction_session_timeout=300") as still, opened(url) as other:
        with other.write() as tx:
            tx.execute(text("CREATE TABLE held (n int)"))
        with pytest.raises(UNAVAILABLE), still.write() as tx:
            tx.execute(text("LOCK TABLE held"))
            with other.write() as second:
                second.execute(text("INSERT INTO held VALUES (1)"))  # goes on when the server has ended the first
            tx.execute(text("INSERT INTO held VALUES (2)"))
        assert shown(still, "lock_timeout")


def test_a_standby_that_may_not_be_written_is_away(server: str):
    url = new_database(server)
    limits = "-c default_transaction_read_only=on"
    with (
        opened(url, options=limits) as database,
        pytest.raises(UNAVAILABLE),
        database.write() as tx,
    ):
        tx.execute(text("CREATE TABLE held (n int)"))


def test_a_wait_for_the_file_s_lock_is_logged(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'one.db'}"
    with Database(url, actor="a") as one, capture_logs() as logs, one.write():
        time.sleep(5.2)
    assert [line["event"] for line in logs] == ["database.waited_for"]
