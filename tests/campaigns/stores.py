"""The broker and the database: emptied, full, frozen, restarted, locked, silent, out of connections."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.campaigns.frame.archive import Archive
from tests.campaigns.frame.node import CampaignNode
from tests.campaigns.frame.scenario import Scenario
from tests.support.peers.databases import PostgreSQL, new_database, postgresql_binaries

_Fault = Callable[[CampaignNode, Archive], AbstractContextManager[None]]


def scenarios() -> tuple[Scenario, ...]:
    """Return all that can be caused here."""
    return (*_broker(), *(_database() if postgresql_binaries() is not None else ()))


def _client(node: CampaignNode) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(node.settings.embedded_redis_socket), socket_timeout=5)


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
    node.settings.embedded_redis_socket.unlink()
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


@contextlib.contextmanager
def _exhausted(_server: PostgreSQL, url: str) -> Iterator[None]:
    """Somebody else takes every connection that is left, and each that becomes free."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(psycopg.connect(url, connect_timeout=5))
        yield


def _database() -> tuple[Scenario, ...]:
    cluster = _Cluster()
    return (
        cluster.scenario("restarted", _restarted),
        cluster.scenario("failed over", _failed_over),
        cluster.scenario("locked", _locked),
        cluster.scenario("silent", _silent),
        cluster.scenario("out of connections", _exhausted),
    )
