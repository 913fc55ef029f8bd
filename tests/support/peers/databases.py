"""Redis and PostgreSQL for tests, each on a port of its own and gone at the end of the block."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis

from node.dimse.archive import reserved_port
from node.dispatch.embedded import redis_server as find_redis_server
from tests.support.peers.processes import process, require


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """Run a Redis without persistence, and yield its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    with reserved_port() as port:

        def ready() -> bool:
            try:
                with redis.Redis(port=port, socket_timeout=2) as client:
                    return bool(client.ping())
            except redis.ConnectionError:
                return False

        command = [find_redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        command += ["--save", "", "--appendonly", "no", *options]
        with process(command, log=folder / "redis.log", ready=ready):
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server with a fresh cluster, and yield the URL of its `postgres` database.

    Skips where the package is missing. It refuses to run as root; then it runs as the user `postgres`, and in any case
    in a folder that this user can read.
    """
    binaries = _postgresql_binaries()
    user = "postgres" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="hilum-postgresql-"))
    try:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(home, entry.pw_uid, entry.pw_gid)
        subprocess.run(
            [str(binaries / "initdb"), "-D", str(home / "data"), "-U", "hilum", "-A", "trust", "-E", "UTF8", "-N"],
            check=True,
            capture_output=True,
            user=user,
            cwd=home,
            env={**os.environ, "LC_ALL": "C"},
        )
        with reserved_port() as port:
            url = f"postgresql+psycopg://hilum@127.0.0.1:{port}/postgres"
            command = [str(binaries / "postgres"), "-D", str(home / "data"), "-p", str(port)]
            command += ["-h", "127.0.0.1", "-k", ""]
            command += ["-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=50"]
            log = home / "postgresql.log"
            # SIGINT is its fast shutdown: SIGTERM would wait for clients.
            with process(command, log=log, ready=lambda: _connects(url), user=user, stop=signal.SIGINT):
                yield url
    finally:
        shutil.rmtree(home, ignore_errors=True)


def new_database(server: str, *, template: str = "template1") -> str:
    """Create a database on a server of `postgresql`, empty or a copy of another, and return its URL."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(_libpq(server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')  # type: ignore[call-overload]
    return f"{server.rpartition('/')[0]}/{name}"


def name_of(url: str) -> str:
    """Return the name of the database in a URL."""
    return url.rpartition("/")[2]


def _connects(url: str) -> bool:
    try:
        psycopg.connect(_libpq(url), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _libpq(url: str) -> str:
    """Turn a URL of SQLAlchemy into one of libpq."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def _postgresql_binaries() -> Path:
    """Find the newest installed PostgreSQL server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    return Path(require("initdb")).resolve().parent
