"""Requests for the SEG of an MR series: slices in every direction, and a structure planted in them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import Coded, Label
from models.values.codes import LEFT_ATRIUM
from models.values.findings import BundleIdentity
from models.volume import series as mr
from models.volume.findings import VolumeFindings
from models.volume.series import Series
from tests.support.data import mr as made
from tests.support.data.sources import read_sources
from workers.results.builders.volume_segmentation import VolumeRequest

SHAPE = (12, 40, 36)
LABEL = Label(name="left-atrium", code=Coded.of(LEFT_ATRIUM), colour_rgb=(235, 95, 85))
IDENTITY = BundleIdentity("atrium-3d", "1.0.0", "ab" * 32)
CASES: dict[str, dict[str, Any]] = {
    "axial": {},
    "reversed-numbers": {"reverse": True},
    "feet-up": {"directions": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0))},
    "oblique": {"directions": made.oblique(), "reverse": True},
    "coronal": {"directions": made.CORONAL},
    "unequal-spacing": {"spacing_mm": (3.0, 0.7, 1.1)},
}


def request_of(folder: Path, **values: Any) -> tuple[VolumeRequest, Series, NDArray[np.bool_]]:
    """Write a series and find in it what was planted, in the order of the normal."""
    planted = made.ellipsoid(SHAPE)
    files = made.series(folder, (planted * 900 + 100).astype(np.uint16), **values)
    series = mr.read(files)
    mask = series.pixels > 500
    findings = VolumeFindings(mask, 1.0, IDENTITY, LABEL, ())
    known = {source.uid: source for source in read_sources(files)}
    ordered = tuple(known[one.sop_instance_uid] for one in series.slices)
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return VolumeRequest(ordered, findings, series.spacing_mm[0], "cd" * 32, moment), series, planted
