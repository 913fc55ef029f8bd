"""A network namespace of its own for a server, whose link can lose everything without a word."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass


def may_make() -> bool:
    """Say whether network namespaces can be made here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    return subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode == 0


@dataclass(frozen=True)
class Remote:
    """The far side of a link.

    Attributes
    ----------
    address
        Where a server that runs there is reached.
    """

    name: str
    address: str
    near: str

    @property
    def prefix(self) -> list[str]:
        """What a command begins with that is to run there."""
        return ["ip", "netns", "exec", self.name]

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Lose every packet that comes from there: no answer, no acknowledgement, no reset."""
        self._route("add")
        try:
            yield
        finally:
            self._route("del")

    def _route(self, verb: str) -> None:
        _run(*self.prefix, "ip", "route", verb, "blackhole", f"{self.near}/32")


@contextlib.contextmanager
def remote() -> Iterator[Remote]:
    """Make a namespace with one link to this one."""
    token = uuid.uuid4().hex[:8]
    name, here, there = f"hilum-{token}", f"hn{token}", f"hf{token}"
    base = f"10.{random.randrange(200, 250)}.{random.randrange(256)}"
    far = Remote(name, f"{base}.2", f"{base}.1")
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        _run("ip", "address", "add", f"{far.near}/30", "dev", here)
        _run("ip", "link", "set", here, "up")
        _run(*far.prefix, "ip", "address", "add", f"{far.address}/30", "dev", there)
        _run(*far.prefix, "ip", "link", "set", there, "up")
        _run(*far.prefix, "ip", "link", "set", "lo", "up")
        yield far
    finally:
        _run("ip", "netns", "delete", name)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
