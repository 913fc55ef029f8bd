"""Thresholds that a site sets instead of those of a manifest. They make another algorithm, with another digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.bundle.manifest import CHOSEN, OperatingPoint
from models.bundle.store import Bundle
from models.values.findings import BundleIdentity

Thresholds = Mapping[str, float | str]
"""By label: a threshold, or the name of another operating point of the manifest."""


@dataclass(frozen=True)
class SiteBundle(Bundle):
    """A verified bundle with a site's thresholds; `digest` stands for both, `shipped_digest` for the bundle alone."""

    shipped_digest: str

    @property
    def identity(self) -> BundleIdentity:
        """Name, version and digests, as results carry them."""
        return replace(super().identity, shipped_digest=self.shipped_digest)


def configured(bundle: Bundle, thresholds: Thresholds) -> Bundle:
    """Return the bundle with a site's thresholds; without any, the bundle itself.

    Raises
    ------
    ValueError
        A label or an operating point is not in the manifest, or a threshold is not a number from 0 to 1.
    """
    if not thresholds:
        return bundle
    manifest = bundle.manifest
    if manifest.postprocessing is not None:
        raise ValueError(f"bundle {manifest.name} cuts its masks by several limits at once, which a site cannot set")
    mine = {label: _point(bundle, label, given) for label, given in thresholds.items()}
    points = (
        mine.get(point.label, point) if point.name == CHOSEN else point for point in bundle.manifest.operating_points
    )
    changed = manifest.model_copy(update={"operating_points": tuple(points)})
    return SiteBundle(bundle.path, changed, digest_of(bundle.digest, thresholds), bundle.digest)


def digest_of(bundle_digest: str, thresholds: Thresholds) -> str:
    """Return the SHA-256, in hex, of a bundle's digest followed by the thresholds as canonical JSON."""
    text = json.dumps(dict(thresholds), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{bundle_digest}{text}".encode()).hexdigest()


def _point(bundle: Bundle, label: str, given: float | str) -> OperatingPoint:
    """Return the operating point that decides instead of the manifest's."""
    name, points = bundle.manifest.name, bundle.manifest.operating_points
    chosen = next((one for one in points if (one.label, one.name) == (label, CHOSEN)), None)
    if chosen is None:
        known = ", ".join(one.label for one in points if one.name == CHOSEN) or "none"
        raise ValueError(f"bundle {name} has no threshold for a label {label!r}; there are: {known}")
    shipped = f"manifest: {chosen.threshold:.4g}, rule {chosen.rule}"
    if not isinstance(given, str):
        if not 0 <= given <= 1:
            raise ValueError(f"threshold of {label} of bundle {name} is {given}, a number from 0 to 1 was expected")
        rule = f"set by this site's configuration ({shipped})"
        return OperatingPoint(label=label, threshold=given, rule=rule)
    other = next((one for one in points if (one.label, one.name) == (label, given)), None)
    if other is None:
        known = ", ".join(one.name for one in points if one.label == label)
        raise ValueError(f"bundle {name} has no operating point {given!r} for {label}; there are: {known}")
    rule = f"set by this site's configuration to the operating point {given!r}, rule {other.rule} ({shipped})"
    return other.model_copy(update={"name": CHOSEN, "rule": rule})
