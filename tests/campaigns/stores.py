"""The broker and the database: emptied, full, frozen, restarted, locked, silent, out of connections."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis

from node.dispatch import embedded
from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.node import CampaignNode
from tests.campaigns.frame.scenario import Scenario
from tests.support.peers import networks
from tests.support.peers.databases import PostgreSQL, new_database, postgresql_binaries

_Fault = Callable[[CampaignNode, Archive], AbstractContextManager[None]]


def scenarios() -> tuple[Scenario, ...]:
    """Return all that can be caused here."""
    return (*_broker(), *(_database() if postgresql_binaries() is not None else ()))


def _client(node: CampaignNode) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(embedded.socket_path(node.settings)), socket_timeout=5)


@contextlib.contextmanager
def _flushed(node: CampaignNode, _archive: Archive) -> Iterator[None]:
    """Empty the broker every half second."""
    over = threading.Event()

    def flush() -> None:
        while not over.wait(0.5):
            with contextlib.suppress(redis.RedisError), _client(node) as client:
                client.flushall()

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _full(node: CampaignNode, _archive: Archive) -> Iterator[None]:
    with _client(node) as client:
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@contextlib.contextmanager
def _without_socket(node: CampaignNode, _archive: Archive) -> Iterator[None]:
    """Take the socket's file away from the running broker, as a cleaner of /tmp would."""
    embedded.socket_path(node.settings).unlink()
    yield


def _signalled(number: signal.Signals) -> _Fault:
    @contextlib.contextmanager
    def fault(node: CampaignNode, _archive: Archive) -> Iterator[None]:
        process = node.signal("broker", number)
        try:
            yield
        finally:
            if number == signal.SIGSTOP and process is not None and process.is_running():
                process.send_signal(signal.SIGCONT)

    return fault


def _broker() -> tuple[Scenario, ...]:
    return (
        Scenario("broker flushed", _flushed),
        Scenario("broker full", _full),
        Scenario("broker frozen", _signalled(signal.SIGSTOP), hold_s=60),
        Scenario("broker killed", _signalled(signal.SIGKILL)),
        Scenario("broker without its socket", _without_socket),
    )


class _Cluster:
    """The PostgreSQL server of a run: its ground, and what the faults act on."""

    def __init__(self) -> None:
        self.server: PostgreSQL | None = None

    @contextlib.contextmanager
    def ground(self, _folder: Path) -> Iterator[Mapping[str, Any]]:
        """Run a server, and name a new database of it in the settings."""
        with PostgreSQL.running() as self.server:
            yield {"database_url": new_database(self.server.url)}

    def scenario(self, name: str, fault: Callable[[PostgreSQL, str], AbstractContextManager[None]]) -> Scenario:
        """Return the scenario of a fault that gets the server and the URL of the node's database."""

        def of_node(node: CampaignNode, _archive: Archive) -> AbstractContextManager[None]:
            assert self.server is not None
            return fault(self.server, node.settings.resolved_database_url.replace("+psycopg", ""))

        return Scenario(f"PostgreSQL {name}", of_node, ground=self.ground)


@contextlib.contextmanager
def _restarted(server: PostgreSQL, _url: str) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def _failed_over(server: PostgreSQL, _url: str) -> Iterator[None]:
    """The server dies, and another one takes over the same data on the same address at once."""
    server.stop(how=signal.SIGKILL)
    server.start()
    yield


@contextlib.contextmanager
def _locked(_server: PostgreSQL, url: str) -> Iterator[None]:
    """A forgotten transaction holds the head of the audit log."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT * FROM audit_head FOR UPDATE")
        yield
        connection.rollback()


@contextlib.contextmanager
def _silent(server: PostgreSQL, _url: str) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


class _Link:
    """A proxy before PostgreSQL that can freeze: it closes nothing, and its kernel goes on acknowledging."""

    def __init__(self, server: PostgreSQL) -> None:
        self._to = urlsplit(server.url)
        self._up = threading.Event()
        self._up.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Swallow what is sent, in both directions and on new connections too: no FIN, no reset."""
        self._up.clear()
        try:
            yield
        finally:
            self._up.set()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((self._to.hostname, self._to.port))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        lost = False
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                lost = lost or not self._up.is_set()
                if not lost:  # what was swallowed once is missing for ever: this connection is dead
                    sink.sendall(part)
        while not self._up.is_set():
            time.sleep(0.1)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
                one.close()


class _Proxied:
    """PostgreSQL behind a proxy that freezes."""

    def __init__(self) -> None:
        self._link: _Link | None = None

    @contextlib.contextmanager
    def ground(self, _folder: Path) -> Iterator[Mapping[str, Any]]:
        with PostgreSQL.running() as server:
            self._link = _Link(server)
            url = urlsplit(new_database(server.url))
            credentials = url.netloc.rpartition("@")[0]
            try:
                yield {"database_url": url._replace(netloc=f"{credentials}@127.0.0.1:{self._link.port}").geturl()}
            finally:
                self._link.close()

    def fault(self, _node: CampaignNode, _archive: Archive) -> AbstractContextManager[None]:
        assert self._link is not None
        return self._link.down()


class _Remote:
    """PostgreSQL on another machine, and the network to it."""

    def __init__(self) -> None:
        self._machine: networks.Remote | None = None

    @contextlib.contextmanager
    def ground(self, _folder: Path) -> Iterator[Mapping[str, Any]]:
        with networks.remote() as self._machine, PostgreSQL.running(self._machine) as server:
            yield {"database_url": new_database(server.url)}

    def fault(self, _node: CampaignNode, _archive: Archive) -> AbstractContextManager[None]:
        assert self._machine is not None
        return self._machine.silent()


@contextlib.contextmanager
def _exhausted(_server: PostgreSQL, url: str) -> Iterator[None]:
    """Somebody else takes every connection that is left, and each that becomes free."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(psycopg.connect(url, connect_timeout=5))
        yield


def _database() -> tuple[Scenario, ...]:
    cluster, proxied, remote = _Cluster(), _Proxied(), _Remote()
    return (
        cluster.scenario("restarted", _restarted),
        cluster.scenario("failed over", _failed_over),
        cluster.scenario("locked", _locked),
        cluster.scenario("silent", _silent),
        cluster.scenario("out of connections", _exhausted),
        Scenario("PostgreSQL behind a frozen proxy", proxied.fault, ground=proxied.ground, hold_s=60),
        *(
            [Scenario("PostgreSQL behind a silent network", remote.fault, ground=remote.ground, hold_s=90)]
            if networks.may_make()
            else []
        ),
    )
