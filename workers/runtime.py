"""What a worker process holds for its whole life: settings, connections, and the loaded networks."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from node.clock import Clock, utc_now
from node.db.engine import Database
from node.errors import Misconfigured
from node.queue import Device, Sender, make_app
from node.settings import AnalysisSettings, Settings
from node.spool import Spool

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.chest import ChestAnalyser


def actor(component: str) -> str:
    """Name this process in audit rows and leases."""
    return f"{component}@{socket.gethostname()}:{os.getpid()}"


def configuration_digest(settings: AnalysisSettings, chosen: Sequence[Bundle]) -> str:
    """Return the SHA-256 of everything that can change a result besides the image: bundles and arithmetic."""
    values = {"bundles": [bundle.digest for bundle in chosen], "dtype": settings.dtype}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass
class Networks:
    """The bundles on disk and the analysers made from them, loaded and warmed up once each."""

    settings: AnalysisSettings
    device: Device
    _loaded: dict[tuple[str, ...], ChestAnalyser] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """Folder of the bundles."""
        from models import bundle as bundles

        return self.settings.bundles or bundles.shipped()

    def choose(self, names: Sequence[str] | None) -> tuple[Bundle, ...]:
        """Return the verified bundles of these names; None takes all. The one that the gate looks through always runs.

        Raises
        ------
        Misconfigured
            A name is not there, or is there in two versions: which of them was meant is not guessed.
        BundleRefused
            A bundle does not match its digests.
        """
        from models import bundle as bundles

        found = bundles.find(self.root)
        by_name = {bundle.manifest.name: bundle for bundle in found}
        if len(by_name) < len(found):
            versions = ", ".join(f"{bundle.manifest.name} {bundle.manifest.version}" for bundle in found)
            raise Misconfigured(f"two versions of one bundle in {self.root} ({versions}): keep the one that is to run")
        if names is None:
            return found
        missing = sorted(set(names) - set(by_name))
        if missing:
            raise Misconfigured(f"no bundle named {', '.join(missing)} in {self.root}; there are: {', '.join(by_name)}")
        return tuple(b for b in found if b.manifest.name in names or b.manifest.gate is not None)

    def analyser(self, chosen: Sequence[Bundle]) -> ChestAnalyser:
        """Return the analyser for these bundles."""
        from models.chest import ChestAnalyser

        key = tuple(bundle.digest for bundle in chosen)
        if key not in self._loaded:
            analyser = ChestAnalyser.load(
                chosen, device=self.device, dtype=self.settings.dtype, threads=self.settings.threads
            )
            analyser.warm_up()
            self._loaded[key] = analyser
        return self._loaded[key]


@dataclass
class Runtime:
    """One worker process."""

    settings: Settings
    database: Database
    spool: Spool
    sender: Sender
    networks: Networks
    actor: str
    clock: Clock = utc_now

    @classmethod
    def open(cls, settings: Settings, *, device: Device, component: str) -> Runtime:
        """Open the connections of this process; the networks are loaded when they are first needed."""
        return cls(
            settings=settings,
            database=Database(settings.resolved_database_url),
            spool=Spool.create(settings.home / "spool"),
            sender=Sender(make_app(settings)),
            networks=Networks(settings.analysis, device),
            actor=actor(component),
        )
