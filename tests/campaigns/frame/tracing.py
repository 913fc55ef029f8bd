"""strace as a cause of faults: system calls that are slow, that fail, or at which the process dies."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

import psutil


def available() -> bool:
    """Say whether strace is installed and may trace."""
    program = shutil.which("strace")
    if program is None:
        return False
    return subprocess.run([program, "-o", "/dev/null", "true"], check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def injected(processes: Sequence[psutil.Process], calls: str, effect: str) -> Iterator[None]:
    """Inject an effect into system calls of processes, their threads and their later children.

    Parameters
    ----------
    calls
        Names of system calls, separated by commas.
    effect
        As in `strace -e inject=`: `delay_enter=300000`, `error=EIO`, `signal=KILL:when=3`.
    """
    pids = [str(process.pid) for process in processes]
    with tempfile.TemporaryFile() as said:
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:{effect}"]
        tracer = subprocess.Popen([*command, *(f"--attach={pid}" for pid in pids)], stderr=said)
        time.sleep(0.3)
        if tracer.poll() is not None:
            said.seek(0)
            raise AssertionError(f"strace: {said.read().decode(errors='replace')[:500]}")
        try:
            yield
        finally:
            tracer.terminate()
            tracer.wait()
