"""What a worker process holds for its whole life: settings, connections, and the loaded networks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from node import __version__
from node.db.engine import Database
from node.dispatch.queue import Device, Sender, make_app
from node.errors import Misconfigured
from node.identity import actor
from node.settings import AnalysisSettings, Rule, Settings
from node.spool.store import Spool

if TYPE_CHECKING:
    from models.bundle.store import Bundle
    from models.chest.analyser import ChestAnalyser


def configuration_digest(settings: AnalysisSettings, chosen: Sequence[Bundle]) -> str:
    """Return the SHA-256 of everything that can change a result besides the image: bundles, arithmetic, our version.

    The digest of a bundle stands for the thresholds that the site has set for it, too (models/bundle/site.py).
    """
    values = {"bundles": [bundle.digest for bundle in chosen], "dtype": settings.dtype, "software": __version__}
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
        from models.bundle import store

        return self.settings.bundles or store.shipped()

    def choose(self, names: Sequence[str] | None) -> tuple[Bundle, ...]:
        """Return the verified bundles of these names, with this site's thresholds.

        None takes all for chest radiographs but those that run only where a rule names them. The one that the gate
        looks through always runs.

        Raises
        ------
        Misconfigured
            A name is not there, or is there in two versions: which of them was meant is not guessed. Or it is not for
            chest radiographs, or the site's thresholds name what is not there.
        BundleRefused
            A bundle does not match its digests.
        """
        from models.bundle.intended_use import CHEST_TASKS

        found = self.installed()
        if not found:
            raise Misconfigured(
                f"no bundles in {self.root}: install the distribution hilum-bundles, or set analysis.bundles"
            )
        by_name = {bundle.manifest.name: bundle for bundle in found}
        if len(by_name) < len(found):
            versions = ", ".join(f"{bundle.manifest.name} {bundle.manifest.version}" for bundle in found)
            raise Misconfigured(f"two versions of one bundle in {self.root} ({versions}): keep the one that is to run")
        if names is None:
            asked = (bundle for bundle in found if not bundle.manifest.only_by_name)
            return tuple(bundle for bundle in asked if bundle.manifest.task in CHEST_TASKS)
        missing = sorted(set(names) - set(by_name))
        if missing:
            raise Misconfigured(f"no bundle named {', '.join(missing)} in {self.root}; there are: {', '.join(by_name)}")
        for bundle in (by_name[name] for name in names):
            if bundle.manifest.task not in CHEST_TASKS:
                raise Misconfigured(
                    f"bundle {bundle.manifest.name} is for {bundle.manifest.task}; the chest pipeline runs bundles for "
                    f"{', '.join(CHEST_TASKS)}"
                )
        return tuple(b for b in found if b.manifest.name in names or b.manifest.gate is not None)

    def installed(self) -> tuple[Bundle, ...]:
        """Return every verified bundle, with this site's thresholds.

        Raises
        ------
        Misconfigured
            The site's thresholds name a bundle, label or operating point that is not there.
        BundleRefused
            A bundle does not match its digests.
        """
        from models.bundle import store

        return _with_thresholds(store.find(self.root), self.settings.operating_points, self.root)

    def check(self, rules: Sequence[Rule]) -> None:
        """Find at the start what would fail every job: names in rules and site thresholds that are not there.

        Raises
        ------
        Misconfigured, BundleRefused
            As `choose`.
        """
        asked = [rule.bundles for rule in rules if rule.bundles is not None and rule.pipeline == "chest"]
        for names in (*asked, *([None] if self.settings.operating_points else [])):
            self.choose(names)

    def analyser(self, chosen: Sequence[Bundle]) -> ChestAnalyser:
        """Return the analyser for these bundles."""
        from models.chest.analyser import ChestAnalyser

        key = tuple(bundle.digest for bundle in chosen)
        if key not in self._loaded:
            analyser = ChestAnalyser.load(
                chosen, device=self.device, dtype=self.settings.dtype, threads=self.settings.threads
            )
            analyser.warm_up()
            self._loaded[key] = analyser
        return self._loaded[key]


def _with_thresholds(
    found: Sequence[Bundle], thresholds: Mapping[str, Mapping[str, float | str]], root: Path
) -> tuple[Bundle, ...]:
    """Give each bundle the thresholds that the site has set for it."""
    from models.bundle import site
    from models.bundle.intended_use import CHEST_TASKS

    usable = [bundle.manifest.name for bundle in found if bundle.manifest.task in CHEST_TASKS]
    for name in thresholds:
        if name not in usable:
            known = ", ".join(usable) or "none"
            raise Misconfigured(
                f"analysis.operating_points: no chest bundle named {name!r} in {root}; there are: {known}"
            )
    try:
        return tuple(site.configured(bundle, thresholds.get(bundle.manifest.name, {})) for bundle in found)
    except ValueError as error:
        raise Misconfigured(f"analysis.operating_points: {error}") from error


@dataclass
class Runtime:
    """One worker process."""

    settings: Settings
    database: Database
    spool: Spool
    sender: Sender
    networks: Networks

    @classmethod
    def open(cls, settings: Settings, *, device: Device, component: str) -> Runtime:
        """Open the connections of this process; the networks are loaded when they are first needed."""
        return cls(
            settings=settings,
            database=Database(settings.resolved_database_url, actor=actor(component)),
            spool=Spool.create(settings.home / "spool"),
            sender=Sender(make_app(settings)),
            networks=Networks(settings.analysis, device),
        )
