"""Parts that do not belong together: another spool, an empty mount point, another node's queues, an odd database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import yaml

from node.db import belonging
from node.db.engine import Database
from node.dispatch.queue import Queues
from node.dispatch.queue import make_app as celery_of
from node.errors import BelongsElsewhere
from node.settings import Settings
from node.spool.store import Spool
from tests.support.peers.databases import PostgreSQL, new_database, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with PostgreSQL.running() as running:
        yield running.url


def hilum(home: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command that is expected to end by itself."""
    home.parent.mkdir(parents=True, exist_ok=True)
    config = home.parent / f"{home.name}.yaml"
    config.write_text(yaml.safe_dump({"home": str(home), **settings}))
    command = [sys.executable, "-m", "workers.cli", "--config", str(config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def refused(outcome: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that was refused."""
    assert outcome.returncode == 2, outcome
    assert "Traceback" not in outcome.stderr + outcome.stdout
    (line,) = [line for line in outcome.stderr.splitlines() if line.startswith("error:")]
    return line


def test_a_second_machine_with_another_spool_is_refused_and_can_take_over(server: str, tmp_path: Path):
    url = new_database(server)
    first, second = tmp_path / "first", tmp_path / "second"
    with Database(url, actor="test") as database:
        database.migrate()
        spool = belonging.spool_of(database, first / "spool")
        for command in (["dispatch"], ["work", "--delivery"], ["receive"]):
            line = refused(hilum(second, *command, database_url=url))
            assert spool.identity() in line
            assert "--new-spool" in line
        assert not (second / "spool").exists()
        other = Spool.create(second / "spool")
        assert other.identity() in refused(hilum(second, "dispatch", database_url=url))
        assert belonging.spool_of(database, first / "spool").identity() == spool.identity()
        assert hilum(second, "migrate", "--new-spool", database_url=url).returncode == 0
        with database.read() as tx:
            belonging.require(tx, other.identity())
            with pytest.raises(BelongsElsewhere):
                belonging.require(tx, spool.identity())
        assert other.identity() in refused(hilum(first, "dispatch", database_url=url))


def test_an_empty_mount_point_makes_no_new_spool(tmp_path: Path):
    home = tmp_path / "home"
    with Database(f"sqlite:///{home / 'hilum.db'}", actor="test") as database:
        database.migrate()
        identity = belonging.spool_of(database, home / "spool").identity()
    (home / "spool").rename(tmp_path / "elsewhere")
    (home / "spool").mkdir()
    for command in (["receive"], ["dispatch"], ["up"], ["work", "--delivery"]):
        assert "is empty" in refused(hilum(home, *command, receiver={"port": 0} if command == ["up"] else {}))
        assert list((home / "spool").iterdir()) == []
    (home / "spool").rmdir()
    (tmp_path / "elsewhere").rename(home / "spool")
    with Database(f"sqlite:///{home / 'hilum.db'}", actor="test") as database:
        assert belonging.spool_of(database, home / "spool").identity() == identity


def test_a_receiver_without_the_database_makes_no_spool_but_opens_one_that_is_there(tmp_path: Path):
    def away() -> Database:
        return Database("postgresql+psycopg://hilum@127.0.0.1:1/hilum", actor="test")

    with pytest.raises(BelongsElsewhere, match="is empty"):
        belonging.spool_without(away, tmp_path / "spool")
    identity = Spool.create(tmp_path / "spool").identity()
    assert belonging.spool_without(away, tmp_path / "spool").identity() == identity


def test_an_installation_of_before_is_adopted_once(tmp_path: Path):
    with Database(f"sqlite:///{tmp_path / 'hilum.db'}", actor="test") as database:
        database.migrate()
        for name in ("objects", "results", "incoming"):
            (tmp_path / "spool" / name).mkdir(parents=True)
        first = belonging.spool_of(database, tmp_path / "spool").identity()
        assert belonging.spool_of(database, tmp_path / "spool").identity() == first
        with pytest.raises(BelongsElsewhere):
            belonging.spool_of(database, tmp_path / "other")


def test_nodes_on_one_broker_do_not_take_each_others_messages(tmp_path: Path):
    with redis_server(tmp_path / "redis") as url:
        settings = Settings(home=tmp_path, broker_url=url)
        apps = {}
        for name in ("one", "two"):
            queues = Queues.of(settings, Spool.create(tmp_path / name).identity())
            apps[name] = celery_of(settings, queues), queues
        (app, queues), (other, others) = apps["one"], apps["two"]
        app.send_task("hilum.analyse", args=["job"], queue=queues.analysis("cpu"), retry=False)
        held = redis.Redis.from_url(url)
        try:
            assert held.llen(queues.analysis("cpu")) == 1
            assert not any(held.exists(name) for name in others.names)
            assert set(others.names) == set(other.amqp.queues)
        finally:
            held.close()


COMMANDS = (["migrate"], ["status"], ["dispatch"], ["work", "--delivery"], ["up"])
UNREACHABLE = "postgresql+psycopg://hilum@127.0.0.1:1/hilum"
CASES = [(command, UNREACHABLE, "is it running") for command in COMMANDS] + [
    (["status"], url, says)
    for url, says in (
        ("postgresql+psycopg2://hilum@127.0.0.1/hilum", "postgresql+psycopg://"),
        ("postgresql+nothing://hilum@127.0.0.1/hilum", "postgresql+psycopg://"),
        ("no url", "database_url"),
        ("postgresql+psycopg://hilum@127.0.0.1:port/hilum", "database_url"),
    )
]


@pytest.mark.parametrize(("command", "url", "says"), CASES)
def test_a_database_that_cannot_be_used_is_one_line(tmp_path: Path, command: list[str], url: str, says: str):
    assert says in refused(hilum(tmp_path / "home", *command, database_url=url))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_of_a_newer_program_is_one_line(tmp_path: Path, command: list[str]):
    _newer(f"sqlite:///{tmp_path / 'home' / 'hilum.db'}")
    assert "newer version" in refused(hilum(tmp_path / "home", *command))


def test_a_postgresql_that_is_read_only_is_one_line(server: str, tmp_path: Path):
    url = new_database(server)
    with Database(url, actor="test") as database:
        database.migrate()
        belonging.spool_of(database, tmp_path / "home" / "spool")
    name = url.rpartition("/")[2]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')  # type: ignore[call-overload]
    for command in (["dispatch"], ["work", "--delivery"], ["up"], ["rerun", "--failed"]):
        assert "read-only" in refused(hilum(tmp_path / "home", *command, database_url=url))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_a_database_file_that_may_not_be_written_is_one_line(tmp_path: Path):
    home = tmp_path / "home"
    with Database(f"sqlite:///{home / 'hilum.db'}", actor="test") as database:
        database.migrate()
    home.chmod(0o555)
    (home / "hilum.db").chmod(0o444)
    try:
        assert "read-only" in refused(hilum(home, "dispatch"))
    finally:
        home.chmod(0o755)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "hilum.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    for command in (["migrate"], ["status"], ["dispatch"]):
        assert "cannot use the database" in refused(hilum(tmp_path / "home", *command))


def _newer(url: str) -> None:
    from sqlalchemy import text

    with Database(url, actor="test") as database:
        database.migrate()
        with database.write() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))


def test_a_home_that_was_moved_is_the_same_node(tmp_path: Path):
    home = tmp_path / "home"
    with Database(f"sqlite:///{home / 'hilum.db'}", actor="test") as database:
        database.migrate()
        identity = belonging.spool_of(database, home / "spool").identity()
    shutil.copytree(home, tmp_path / "restored")
    moved = tmp_path / "restored"
    with Database(f"sqlite:///{moved / 'hilum.db'}", actor="test") as database:
        assert belonging.spool_of(database, moved / "spool").identity() == identity
