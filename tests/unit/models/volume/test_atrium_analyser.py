"""From a series to a mask on its own grid, with a network that finds what is bright."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from models.bundle import store
from models.bundle.store import Bundle
from models.errors import BundleRefused
from models.volume import series as mr
from models.volume.atrium import VolumeAnalyser, field_at
from node.errors import Misconfigured
from tests.support.data import mr as made
from tests.support.data import volumes
from tests.support.opened_files import DECODER_OPENS, opened_under
from workers import cli
from workers.commands import atrium

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHAPE = (16, 40, 36)
TURNS: dict[str, dict[str, Any]] = {
    "axial": {},
    "reversed": {"reverse": True},
    "feet-up": {"directions": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0))},
    "oblique": {"directions": made.oblique(15)},
    "coronal": {"directions": made.CORONAL},
}


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Make the bundle that finds what is bright."""
    return volumes.bright_bundle(tmp_path_factory.mktemp("bundles") / "atrium-3d-1.0.0")


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("values", TURNS.values(), ids=TURNS)
def test_what_is_found_lies_where_it_is_in_the_source(tmp_path: Path, bright: Bundle, values: dict[str, Any]) -> None:
    planted = made.ellipsoid(SHAPE)
    series = mr.read(made.series(tmp_path, (planted * 2000 + 500).astype(np.uint16), **values))
    found = VolumeAnalyser(bright).analyse(series)
    assert found.mask.shape == SHAPE
    assert dice(found.mask, series.pixels > 1500) > 0.85
    middles = [series.place_mm(np.argwhere(mask).mean(axis=0)) for mask in (found.mask, series.pixels > 1500)]
    assert np.linalg.norm(middles[0] - middles[1]) < 1.5
    assert found.volume_ml == pytest.approx(found.mask.sum() * 2.5 * 1.25 * 1.25 / 1000)
    assert found.bundle.digest == bright.digest
    assert not any("field" in note for note in found.notes)


def test_a_larger_series_is_looked_at_through_a_field_that_follows_the_atrium(tmp_path: Path) -> None:
    bundle = volumes.bright_bundle(tmp_path / "b", field_mm=(44.0, 44.0, 44.0))
    planted = volumes.body((30, 90, 90), (17, 55, 58), 9.0)
    far = volumes.body((30, 90, 90), (4, 8, 8), 6.0)
    (tmp_path / "mr").mkdir()
    values = ((planted | far) * 2000 + 500).astype(np.uint16)
    series = mr.read(made.series(tmp_path / "mr", values, spacing_mm=(1.25, 1.25, 1.25)))
    analyser = VolumeAnalyser(bundle)
    found = analyser.analyse(series)
    assert dice(found.mask, planted) > 0.85
    assert any("not validated" in note for note in found.notes)
    near = analyser.analyse(series, centre_mm=series.place_mm((4, 8, 8)))
    assert dice(near.mask, far) > 0.8
    assert any("place that was given" in note for note in near.notes)


def test_a_field_stays_within_the_volume() -> None:
    place = field_at((20, 30, 40), (1.0, 1.0, 2.0), (10.0, 50.0, 20.0), np.array([0.0, 15.0, 39.0]))
    assert place == (slice(0, 10), slice(0, 30), slice(30, 40))


def test_the_same_series_gives_the_same_mask(tmp_path: Path, bright: Bundle) -> None:
    series = mr.read(made.series(tmp_path, (made.ellipsoid(SHAPE) * 900).astype(np.uint16)))
    first, second = (VolumeAnalyser(bright).analyse(series).mask for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_seg_png_and_json_are_written(tmp_path: Path, bright: Bundle) -> None:
    (tmp_path / "mr").mkdir()
    planted = made.ellipsoid(SHAPE)
    made.series(tmp_path / "mr", (planted * 2000 + 500).astype(np.uint16), reverse=True)
    files = atrium.series_files([tmp_path / "mr"])
    analysis = atrium.analyse(VolumeAnalyser(bright), files, created_at=MOMENT)
    written = {path.name: path for path in atrium.write(analysis, tmp_path / "out")}
    assert set(written) == {"atrium.json", "atrium.png", "atrium-seg.dcm"}
    said = json.loads(written["atrium.json"].read_text())
    seg = dcmread(written["atrium-seg.dcm"])
    assert said["seg_sop_instance_uid"] == seg.SOPInstanceUID
    assert said["slices_with_the_structure"] == int(seg.NumberOfFrames)
    assert said["bundle"]["digest"] == bright.digest
    assert "PLANTED-ID" not in written["atrium.json"].read_text()
    assert written["atrium.png"].read_bytes().startswith(b"\x89PNG")
    again = atrium.analyse(VolumeAnalyser(bright), files, created_at=MOMENT)
    assert analysis.result is not None
    assert again.result is not None
    assert again.result.content == analysis.result.content


def test_nothing_found_gives_no_seg(tmp_path: Path, bright: Bundle) -> None:
    (tmp_path / "mr").mkdir()
    made.series(tmp_path / "mr", np.full(SHAPE, 700, np.uint16))
    files = atrium.series_files([tmp_path / "mr"])
    analysis = atrium.analyse(VolumeAnalyser(bright), files, created_at=MOMENT)
    assert analysis.result is None
    assert {path.name for path in atrium.write(analysis, tmp_path / "out")} == {"atrium.json", "atrium.png"}
    assert atrium.summary(analysis)["found"] is False


def test_several_series_are_told_and_one_can_be_named(tmp_path: Path) -> None:
    for name, uid in (("a", made.SERIES), ("b", f"{made.ROOT}.8")):
        (tmp_path / name).mkdir()
        made.series(tmp_path / name, np.zeros(SHAPE, np.uint16), SeriesInstanceUID=uid)
    with pytest.raises(Misconfigured, match="2 MR series"):
        atrium.series_files([tmp_path])
    assert len(atrium.series_files([tmp_path], series_uid=f"{made.ROOT}.8")) == SHAPE[0]
    with pytest.raises(Misconfigured, match=r"no MR series 1\.2"):
        atrium.series_files([tmp_path], series_uid="1.2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Misconfigured, match="no MR image"):
        atrium.series_files([tmp_path / "empty"])


def test_an_incomplete_series_is_no_volume(tmp_path: Path, bright: Bundle) -> None:
    made.series(tmp_path, np.zeros(SHAPE, np.uint16), leave_out=(5,))
    with pytest.raises(Misconfigured, match="a slice is missing"):
        atrium.analyse(VolumeAnalyser(bright), atrium.series_files([tmp_path]), created_at=MOMENT)


def test_another_place_or_arithmetic_is_another_configuration(bright: Bundle) -> None:
    digests = {
        atrium._configuration_digest(VolumeAnalyser(bright), None),
        atrium._configuration_digest(VolumeAnalyser(bright, dtype="bfloat16"), None),
        atrium._configuration_digest(VolumeAnalyser(bright), (1.0, 2.0, 3.0)),
    }
    assert len(digests) == 3


def test_each_slice_is_opened_for_its_header_and_for_its_pixels(tmp_path: Path, bright: Bundle) -> None:
    (tmp_path / "mr").mkdir()
    made.series(tmp_path / "mr", (made.ellipsoid(SHAPE) * 2000 + 500).astype(np.uint16))
    with opened_under(tmp_path / "mr") as opened:
        atrium.analyse(VolumeAnalyser(bright), atrium.series_files([tmp_path / "mr"]), created_at=MOMENT)
    assert set(Counter(opened).values()) == {1 + DECODER_OPENS}


def test_a_bundle_for_radiographs_is_refused() -> None:
    chest = next(bundle for bundle in store.find(store.shipped()) if bundle.manifest.name == "lungs-heart")
    with pytest.raises(BundleRefused, match="not for volumes"):
        VolumeAnalyser(chest)


def test_the_command_writes_its_results_and_tells_the_volume(tmp_path: Path, bright: Bundle) -> None:
    (tmp_path / "mr").mkdir()
    made.series(tmp_path / "mr", (made.ellipsoid(SHAPE) * 2000 + 500).astype(np.uint16))
    config = tmp_path / "hilum.yaml"
    config.write_text(f"home: {tmp_path / 'home'}\nanalysis: {{bundles: {bright.path.parent}, device: cpu}}\n")
    given = ["--config", str(config), "atrium", str(tmp_path / "mr"), "--out", str(tmp_path / "out")]
    ended = CliRunner().invoke(cli.app, given)
    assert ended.exit_code == 0, ended.output
    assert "left atrium:" in ended.output
    names = {path.name for path in (tmp_path / "out" / made.SERIES).iterdir()}
    assert names == {"atrium.json", "atrium.png", "atrium-seg.dcm"}
    refused = CliRunner().invoke(cli.app, [*given, "--series", "1.2.3"])
    assert isinstance(refused.exception, Misconfigured)
