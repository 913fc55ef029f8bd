"""The bundles on disk, which of them run, and the networks made of them, loaded and warmed up once each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node import __version__
from node.dispatch.queue import Device
from node.errors import Misconfigured
from node.settings import NO_PIPELINE, AnalysisSettings, Rule
from workers.pipelines import protocol
from workers.pipelines.protocol import Pipeline

if TYPE_CHECKING:
    from models.bundle.store import Bundle
    from models.inference.runner import Dtype


def configuration_digest(dtype: Dtype, chosen: Sequence[Bundle]) -> str:
    """Return the SHA-256 of everything that can change a result besides the image: bundles, arithmetic, our version.

    The digest of a bundle stands for the thresholds that the site has set for it, too (models/bundle/site.py).
    """
    values = {"bundles": [bundle.digest for bundle in chosen], "dtype": dtype, "software": __version__}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass
class Networks:
    """The installed bundles of one process, and the networks that it has loaded."""

    settings: AnalysisSettings
    device: Device
    _loaded: dict[tuple[str, ...], Any] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """Folder of the bundles."""
        from models.bundle import store

        return self.settings.bundles or store.shipped()

    def choose(self, pipeline: Pipeline[Any], names: Sequence[str] | None) -> tuple[Bundle, ...]:
        """Return the verified bundles that a pipeline runs where a rule gives these names, with this site's thresholds.

        Raises
        ------
        Misconfigured
            A name is not there, or is there in two versions: which of them was meant is not guessed. Or it is not for
            the pipeline, or the site's thresholds name what is not there.
        BundleRefused
            A bundle does not match its digests.
        """
        found = self.installed()
        if not found:
            raise Misconfigured(
                f"no bundles in {self.root}: install the distribution hilum-bundles, or set analysis.bundles"
            )
        by_name = {bundle.manifest.name: bundle for bundle in found}
        if len(by_name) < len(found):
            versions = ", ".join(f"{bundle.manifest.name} {bundle.manifest.version}" for bundle in found)
            raise Misconfigured(f"two versions of one bundle in {self.root} ({versions}): keep the one that is to run")
        missing = sorted(set(names or ()) - set(by_name))
        if missing:
            raise Misconfigured(f"no bundle named {', '.join(missing)} in {self.root}; there are: {', '.join(by_name)}")
        for bundle in (by_name[name] for name in names or ()):
            if bundle.manifest.task not in pipeline.tasks:
                raise Misconfigured(
                    f"bundle {bundle.manifest.name} is for {bundle.manifest.task}; the {pipeline.name} pipeline runs "
                    f"bundles for {', '.join(pipeline.tasks)}"
                )
        return pipeline.choose([bundle for bundle in found if bundle.manifest.task in pipeline.tasks], names)

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
        for rule in rules:
            if rule.bundles is not None and rule.pipeline != NO_PIPELINE:
                self.choose(protocol.named(rule.pipeline), rule.bundles)
        if self.settings.operating_points:
            self.installed()

    def loaded(self, pipeline: Pipeline[Any], chosen: Sequence[Bundle]) -> Any:
        """Return the networks of these bundles."""
        key = (pipeline.name, *(bundle.digest for bundle in chosen))
        if key not in self._loaded:
            self._loaded[key] = pipeline.load(
                chosen, device=self.device, dtype=self.settings.dtype, threads=self.settings.threads
            )
        return self._loaded[key]


def _with_thresholds(
    found: Sequence[Bundle], thresholds: Mapping[str, Mapping[str, float | str]], root: Path
) -> tuple[Bundle, ...]:
    """Return the bundles with the thresholds that the site has set for them."""
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
