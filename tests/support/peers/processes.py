"""Programs of others as child processes: found or skipped, started, waited for, ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.waiting import wait_for


def require(program: str) -> str:
    """Find a program; skip the test where it is not installed."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
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

        wait_for(answers, timeout_s=30, what=f"{command[0]} ready")
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
