"""A node as an operator runs it: `hilum up` as a process of its own, started again when it dies, as systemd does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from node import settings as configuration
from node.db.engine import Database
from node.delivery.destinations import Destination
from node.dimse.archive import reserved_port
from node.dimse.scu import verification
from node.errors import PeerUnavailable
from node.settings import Settings
from node.spool.store import Spool
from tests.support.paths import ROOT
from tests.support.waiting import wait_for

PARTS = ("up", "receive", "receive child", "dispatch", "analysis", "analysis child", "delivery", "broker")
"""The processes of a node by what they do; a `child` is one that its part has forked."""


@dataclass
class CampaignNode:
    """One node of a campaign.

    Attributes
    ----------
    environment
        Beside that of the tests, for every process of it.
    """

    folder: Path
    config: Path
    settings: Settings
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _watcher: threading.Thread | None = None

    @property
    def address(self) -> Destination:
        """Where it listens."""
        receiver = self.settings.receiver
        return Destination(ae_title=receiver.ae_title, host=receiver.host, port=receiver.port)

    @property
    def home(self) -> Path:
        """Its data."""
        return self.settings.home

    @property
    def spool(self) -> Spool:
        """Its spool."""
        return Spool(self.home / "spool")

    def database(self) -> Database:
        """Open its database."""
        return Database(self.settings.resolved_database_url, actor="campaign")

    def start(self) -> None:
        """Start it, and again whenever it ends, until `stop`."""
        self._over.clear()
        self._watcher = threading.Thread(target=self._keep_running, name="systemd")
        self._watcher.start()

    def stop(self) -> None:
        """End it in order."""
        self._over.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None

    def wait_until_ready(self, *, timeout_s: float = 90.0) -> None:
        """Wait until it answers C-ECHO."""
        try:
            wait_for(self._answers, timeout_s=timeout_s, every_s=0.2, what="the receiver answers")
        except AssertionError as error:
            raise AssertionError(f"{error}; log:\n{self.log_text()[-4000:]}") from error

    def processes(self, part: str) -> list[psutil.Process]:
        """Return the running processes of a part (`PARTS`)."""
        if self._process is None or self._process.poll() is not None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            up = psutil.Process(self._process.pid)
            if part == "up":
                return [up]
            if part.endswith(" child"):
                parents = self.processes(part.removesuffix(" child"))
                return [child for parent in parents for child in parent.children()]
            return [child for child in up.children() if _part_of(child) == part]
        return []

    def signal(self, part: str, number: signal.Signals) -> psutil.Process | None:
        """Send a signal to the first process of a part; None where none runs."""
        for process in self.processes(part):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
                return process
        return None

    def log_text(self) -> str:
        """Return everything that any process has logged."""
        return (self.folder / "node.log").read_text(errors="replace")

    def command(self, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run `hilum` with its configuration."""
        return subprocess.run(
            [*_HILUM, "--config", str(self.config), *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self._environment(),
            cwd=self.folder,
        )

    def _keep_running(self) -> None:
        while not self._over.is_set():
            with (self.folder / "node.log").open("ab") as output:
                self._process = subprocess.Popen(
                    [*_HILUM, "--config", str(self.config), "up"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environment(),
                    cwd=self.folder,
                    start_new_session=True,
                )
            while self._process.poll() is None and not self._over.wait(0.2):
                pass
            if self._process.poll() is None:
                _end(self._process)
            elif not self._over.is_set():
                self._over.wait(0.5)

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **self.environment}

    def _answers(self) -> bool:
        try:
            verification.echo(self.address, calling_ae_title="CAMPAIGN", timeout_s=5)
        except PeerUnavailable:
            return False
        return True


_HILUM = (sys.executable, "-m", "workers.cli")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything that it started."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    psutil.wait_procs(started, timeout=10)
    for left in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()


def _part_of(process: psutil.Process) -> str:
    words = process.cmdline()
    if any("redis" in word or "valkey" in word for word in words[:1]):
        return "broker"
    if "--delivery" in words:
        return "delivery"
    return {"receive": "receive", "dispatch": "dispatch", "work": "analysis"}.get(words[-1] if words else "", "")


@contextlib.contextmanager
def campaign_node(
    folder: Path,
    *,
    destinations: dict[str, Any],
    bundles: Path | None,
    environment: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Iterator[CampaignNode]:
    """Run a node in `folder` with one bundle and short times; `overrides` replaces settings, section by section."""
    folder.mkdir(parents=True, exist_ok=True)
    with reserved_port() as port:
        values: dict[str, Any] = {
            "home": str(folder / "home"),
            "log_format": "json",
            "receiver": {"port": port, "maximum_associations": 50},
            "spool": {"minimum_free_bytes": 0},
            "completion": {"release_s": 0.3, "quiet_s": 3.0, "cap_s": 60.0},
            "dispatch": {"interval_s": 0.1, "resend_after_s": 5.0},
            "analysis": {
                "lease_s": 8.0,
                "device": "cpu",
                "threads": 1,
                "bundles": None if bundles is None else str(bundles),
            },
            "delivery": {
                "first_delay_s": 0.5,
                "maximum_delay_s": 3.0,
                "breaker_open_s": 2.0,
                "connect_timeout_s": 5.0,
                "response_timeout_s": 20.0,
            },
            "destinations": destinations,
        }
        for name, value in overrides.items():
            values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
        config = folder / "hilum.yaml"
        config.write_text(yaml.safe_dump(values))
        node = CampaignNode(folder, config, configuration.load(config), environment or {})
        node.start()
        try:
            node.wait_until_ready()
            yield node
        finally:
            node.stop()


def pause(seconds: float) -> None:
    """Let a fault last."""
    time.sleep(seconds)
