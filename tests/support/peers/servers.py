"""Peers for tests: DICOM archives and senders, Redis, PostgreSQL and our own receiver, on free loopback ports.

Each is a context manager that returns when the peer answers and ends it, with everything it started, on the way out.
Where the program is not installed the test is skipped, with its name as the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import psycopg
import pytest
import redis

from node.delivery.destinations import Destination
from node.dimse.scp import receiver
from node.dispatch.embedded import redis_server as find_redis_server
from node.errors import PeerUnavailable
from node.settings import Settings
from node.spool.store import Spool

READY_TIMEOUT_S = 30.0
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
"""Where Debian's package orthanc-dicomweb puts the plugin."""
NO_DELAY = {"TCP_NODELAY": "1"}
"""Environment of DCMTK and Orthanc: without it Nagle's algorithm costs them 44 ms for each object."""


@dataclass(frozen=True)
class Peer:
    """A running DICOM peer."""

    ae_title: str
    port: int
    folder: Path
    """Where it keeps what it receives."""
    pid: int

    @property
    def destination(self) -> Destination:
        return Destination(ae_title=self.ae_title, host="127.0.0.1", port=self.port)


def free_port() -> int:
    """Find a TCP port of loopback that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require(program: str) -> str:
    """Find a program; skip the test where it is not installed."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def wait_for(condition: Callable[[], Any], *, timeout_s: float = READY_TIMEOUT_S, what: str = "condition") -> Any:
    """Wait until `condition` gives something true, and give it back."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s")
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def process(
    command: Sequence[str],
    *,
    log: Path,
    ready: Callable[[], object],
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child process in a group of its own until the block ends; its output is in `log`."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
            user=user,
            cwd=log.parent,
        )
    try:

        def answers() -> bool:
            if child.poll() is not None:
                raise AssertionError(f"{command[0]} ended: {log.read_text(errors='replace')[-2000:]}")
            return bool(ready())

        wait_for(answers, what=f"{command[0]} ready")
        yield child
    finally:
        _end(child, stop)


def _end(child: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    """End a process and its group."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(stop)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(10)


def listening(port: int) -> bool:
    """Tell whether something accepts connections on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


# DICOM


@contextlib.contextmanager
def storescp(
    folder: Path, *options: str, ae_title: str = "STORESCP", env: Mapping[str, str] | None = None
) -> Iterator[Peer]:
    """Run DCMTK's storescp; received files lie in `folder` / `objects`."""
    program, port, objects = require("storescp"), free_port(), folder / "objects"
    objects.mkdir(parents=True)
    command = [program, "-aet", ae_title, "-od", str(objects), *options, str(port)]
    with process(
        command, log=folder / "storescp.log", ready=lambda: listening(port), env={**NO_DELAY, **(env or {})}
    ) as child:
        yield Peer(ae_title, port, objects, child.pid)


@dataclass(frozen=True)
class Orthanc(Peer):
    """A running Orthanc."""

    http_port: int

    def get(self, path: str) -> Any:
        """Ask its REST interface."""
        with urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=10) as answer:
            return json.load(answer)

    def instances(self) -> list[str]:
        """Identifiers of all instances that it holds."""
        return list(self.get("/instances"))

    def files(self, study_instance_uid: str, folder: Path) -> list[Path]:
        """Fetch every object that it holds of a study into `folder`."""
        found = []
        for identifier in self.instances():
            if self.get(f"/instances/{identifier}/study")["MainDicomTags"]["StudyInstanceUID"] == study_instance_uid:
                with urlopen(f"http://127.0.0.1:{self.http_port}/instances/{identifier}/file", timeout=10) as answer:
                    path = folder / f"{identifier}.dcm"
                    path.write_bytes(answer.read())
                found.append(path)
        return found


@contextlib.contextmanager
def orthanc(
    folder: Path, *, ae_title: str = "ORTHANC", configuration: Mapping[str, Any] | None = None
) -> Iterator[Orthanc]:
    """Run Orthanc without plugins; `configuration` overrides its settings (see `dicomweb`)."""
    program, port, http_port = require("Orthanc"), free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "Name": "test",
        "DicomAet": ae_title,
        "DicomPort": port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [],
        "DicomAlwaysAllowFind": True,
        "DicomScpTimeout": 30,
        "ConcurrentJobs": 2,
        "HttpThreadsCount": 4,
        **(configuration or {}),
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))

    def ready() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{http_port}/system", timeout=2):
                return listening(port)
        except (URLError, OSError):
            return False

    with process(
        [program, str(folder / "orthanc.json")], log=folder / "orthanc.log", ready=ready, env=NO_DELAY
    ) as child:
        yield Orthanc(ae_title, port, folder / "storage", child.pid, http_port)


def dicomweb() -> dict[str, Any]:
    """Return the configuration of an Orthanc that serves DICOMweb under `/dicom-web/`; skips without the plugin."""
    if not DICOMWEB_PLUGIN.exists():
        pytest.skip("Orthanc's DICOMweb plugin is not installed (Debian package orthanc-dicomweb)")
    return {"Plugins": [str(DICOMWEB_PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}


@contextlib.contextmanager
def hilum(settings: Settings, *, single: bool = True) -> Iterator[int]:
    """Run our receiver as `hilum receive` does, and yield its port.

    `single` serves in a thread of this process; otherwise in child processes, as deployed.
    """
    stop, ready, ports, failures = threading.Event(), threading.Event(), list[int](), list[BaseException]()
    spool = Spool.create(settings.home / "spool")

    def serve() -> None:
        try:
            receiver.run(
                settings, spool, stop=stop, single=single, ready=lambda port: (ports.append(port), ready.set())
            )
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=serve, name="receiver")
    thread.start()
    try:
        assert ready.wait(READY_TIMEOUT_S)
        if failures:
            raise failures[0]
        yield ports[0]
    finally:
        stop.set()
        thread.join(READY_TIMEOUT_S)
        spool.close()
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def receiver_processes() -> list[psutil.Process]:
    """List the receiver processes that this process has started with `hilum(..., single=False)`."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one too
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def storescu(
    port: int,
    files: Sequence[Path],
    *options: str,
    called_ae_title: str = "HILUM",
    calling_ae_title: str = "STORESCU",
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Send files with DCMTK's storescu; `-R` proposes only what they need."""
    command = [require("storescu"), "-v", "-to", "30", "-ta", "30", "-td", "30", "-R"]
    command += ["-aec", called_ae_title, "-aet", calling_ae_title, *options, "127.0.0.1", str(port)]
    done = subprocess.run(
        [*command, *map(str, files)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **NO_DELAY},
        timeout=120,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"storescu: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return done


def reachable(destination: Destination) -> bool:
    """Tell whether a peer answers C-ECHO."""
    from node.dimse.scu import verification

    try:
        verification.echo(destination, calling_ae_title="TEST", timeout_s=5)
    except PeerUnavailable:
        return False
    return True


# Redis and PostgreSQL


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """Run a Redis without persistence, and yield its URL."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    url = f"redis://127.0.0.1:{port}/0"

    def ready() -> bool:
        try:
            with redis.Redis(port=port, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    command = [find_redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", *options]
    with process(command, log=folder / "redis.log", ready=ready):
        yield url


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server with a fresh cluster, and yield the URL of its `postgres` database.

    It refuses to run as root; then it runs as the user `postgres`, in a folder of that user.
    """
    del folder  # may not be readable for that user
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
        port = free_port()
        url = f"postgresql+psycopg://hilum@127.0.0.1:{port}/postgres"

        def ready() -> bool:
            try:
                psycopg.connect(_libpq(url), connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        command = [str(binaries / "postgres"), "-D", str(home / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        command += ["-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=50"]
        # SIGINT is its fast shutdown: SIGTERM would wait for clients.
        with process(command, log=home / "postgresql.log", ready=ready, user=user, stop=signal.SIGINT):
            yield url
    finally:
        shutil.rmtree(home, ignore_errors=True)


def new_database(server: str) -> str:
    """Create an empty database on a server of `postgresql`, and give its URL."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(_libpq(server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
    return f"{server.rpartition('/')[0]}/{name}"


def _libpq(url: str) -> str:
    """Turn a URL of SQLAlchemy into one of libpq."""
    return url.replace("postgresql+psycopg://", "postgresql://")


def _postgresql_binaries() -> Path:
    """Find the newest installed PostgreSQL server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    return Path(require("initdb")).resolve().parent
