"""A real MR volume, written as an MR series that lies otherwise than the training's, through `hilum atrium`'s way.

The volume is one that the weights were trained on: this is a test of the way, not of the weights.
"""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pytest

from models.bundle import store
from models.volume import series as mr
from models.volume.atrium import VolumeAnalyser
from tests.support.data import mr as made
from training.data import collection, volumes
from training.measures.overlap import dice
from workers.commands import atrium

SPACING = (1.25, 0.625, 0.625)


@pytest.mark.parametrize("name", ["atrium-2d", "atrium-3d"])
@pytest.mark.parametrize("turned", [False, True], ids=["axial", "coronal-reversed"])
def test_the_atrium_is_found_in_its_place(data_folder: Path, tmp_path: Path, name: str, turned: bool) -> None:
    shipped = [one for one in store.find(store.shipped()) if one.manifest.name == name]
    if not shipped:
        pytest.skip(f"no bundle {name} is shipped")
    images = collection.read(data_folder, collection.SHIPPED["atrium"])
    (case,) = volumes.read(images, ["a07"], shipped[0].manifest.volume)
    image, mask = case.image.astype(np.uint16), case.mask
    directions, spacing = made.AXIAL, SPACING
    if turned:  # slices from front to back, rows from head to foot: the same patient, another acquisition
        image, mask = image.transpose(1, 0, 2)[:, ::-1], mask.transpose(1, 0, 2)[:, ::-1]
        directions, spacing = made.CORONAL, (SPACING[1], SPACING[0], SPACING[2])
    files = made.series(tmp_path, image, directions=directions, spacing_mm=spacing, reverse=turned)
    analysis = atrium.analyse(
        VolumeAnalyser(shipped[0]), atrium.series_files(files), created_at=datetime(2026, 3, 1, 12, tzinfo=UTC)
    )
    assert dice(analysis.findings.mask, mask) > 0.85
    assert analysis.result is not None
    seg = highdicom.seg.segread(BytesIO(analysis.result.content))
    uids = [one.sop_instance_uid for one in mr.read(files).slices]
    pixels = seg.get_pixels_by_source_instance(uids, segment_numbers=[1])[..., 0] > 0
    np.testing.assert_array_equal(pixels, analysis.findings.mask)
