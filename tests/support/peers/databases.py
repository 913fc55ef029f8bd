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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import redis

from node.dimse.archive import reserved_port
from node.dispatch.embedded import redis_server as find_redis_server
from tests.support.peers.networks import Remote
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


@dataclass
class PostgreSQL:
    """A server with a fresh cluster, on a port of its own, which it keeps while it is stopped."""

    url: str
    """URL of its `postgres` database."""
    _command: Sequence[str]
    _user: str | None
    _log: Path
    _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _process: subprocess.Popen[bytes] | None = None

    @staticmethod
    @contextlib.contextmanager
    def running(at: Remote | None = None) -> Iterator[PostgreSQL]:
        """Run a server until the end of the block, on this machine or at the far side of a link.

        Skips where the package is missing. It refuses to run as root; then it runs as the user `postgres`, and in any
        case in a folder that this user can read.
        """
        binaries = postgresql_binaries() or Path(require("initdb")).resolve().parent
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
            if at is not None:
                with (home / "data" / "pg_hba.conf").open("a") as file:
                    file.write(f"host all all {at.near}/32 trust\n")
            with reserved_port() as port:
                host, prefix = ("127.0.0.1", []) if at is None else (at.address, at.prefix)
                command = [*prefix, str(binaries / "postgres"), "-D", str(home / "data"), "-p", str(port)]
                command += ["-h", host, "-k", ""]
                command += ["-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=50"]
                url = f"postgresql+psycopg://hilum@{host}:{port}/postgres"
                if at is not None and user is not None:  # only root may enter the namespace
                    command[len(prefix) : len(prefix)] = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
                server = PostgreSQL(url, command, None if at else user, home / "postgresql.log")
                server.start()
                try:
                    yield server
                finally:
                    server.stop()
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def start(self) -> None:
        """Start it, on the data that are there."""
        # SIGINT is its fast shutdown: SIGTERM would wait for clients.
        self._process = self._held.enter_context(
            process(
                self._command, log=self._log, ready=lambda: _connects(self.url), user=self._user, stop=signal.SIGINT
            )
        )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: fast and in order, or by SIGKILL all of its processes at once."""
        if how == signal.SIGKILL:
            self.signal(how)
        self._held.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to each of its processes."""
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        for one in (postmaster, *postmaster.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server with a fresh cluster, and yield the URL of its `postgres` database."""
    with PostgreSQL.running() as server:
        yield server.url


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


def postgresql_binaries() -> Path | None:
    """Find the newest installed PostgreSQL server; None where none lies in Debian's place."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found else None
