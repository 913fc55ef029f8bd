"""An MR series is sorted by where its slices lie; what is no whole volume is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.volume import series as mr
from models.volume.series import Canonical, SeriesRefused
from tests.support.data import mr as made
from tests.support.data import sources

SHAPE = (10, 20, 16)
VOLUME = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.uint16)
TURNS: dict[str, dict[str, Any]] = {
    "axial": {},
    "reversed": {"reverse": True},
    "feet-up": {"directions": ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0))},
    "coronal": {"directions": made.CORONAL},
    "sagittal": {"directions": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))},
    "oblique": {"directions": made.oblique(20)},
}


@pytest.mark.parametrize("values", TURNS.values(), ids=TURNS)
def test_slices_stand_in_the_order_of_their_place(tmp_path: Path, values: dict[str, Any]) -> None:
    series = mr.read(made.series(tmp_path, VOLUME, **values))
    np.testing.assert_array_equal(series.pixels, VOLUME)
    assert [one.sop_instance_uid for one in series.slices] == [made.instance(z) for z in range(SHAPE[0])]
    assert series.spacing_mm == pytest.approx((2.5, 1.25, 1.25), abs=1e-6)
    np.testing.assert_allclose(series.axes @ series.axes.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("values", TURNS.values(), ids=TURNS)
def test_a_canonical_volume_runs_to_head_back_and_left_and_turns_back(tmp_path: Path, values: dict[str, Any]) -> None:
    series = mr.read(made.series(tmp_path, VOLUME, **values))
    turn = Canonical.of(series.axes)
    canonical = turn.forward(series.pixels)
    np.testing.assert_array_equal(turn.inverse(canonical > 2000), series.pixels > 2000)
    # A step along each canonical axis moves the voxel in the patient by its spacing, in the direction of its name.
    index = np.arange(VOLUME.size).reshape(SHAPE)
    turned = turn.forward(index)
    spacing = turn.spacing(series.spacing_mm)
    places = [
        series.place_mm(np.unravel_index(int(turned[at]), SHAPE)) for at in ((2, 3, 4), (3, 3, 4), (2, 4, 4), (2, 3, 5))
    ]
    for axis, towards in enumerate(((0, 0, 1), (0, 1, 0), (1, 0, 0))):
        step = places[axis + 1] - places[0]
        assert np.linalg.norm(step) == pytest.approx(spacing[axis], rel=1e-6)
        assert step @ towards > 0.9 * spacing[axis]


@pytest.mark.parametrize("values", TURNS.values(), ids=TURNS)
def test_a_place_in_the_patient_is_a_voxel_and_back(tmp_path: Path, values: dict[str, Any]) -> None:
    series = mr.read(made.series(tmp_path, VOLUME, **values))
    voxel = np.array([3.0, 7.5, 2.0])
    np.testing.assert_allclose(series.voxel(series.place_mm(voxel)), voxel, atol=1e-6)
    turn = Canonical.of(series.axes)
    at = turn.voxel(np.array([3.0, 7.0, 2.0]), SHAPE).astype(int)
    assert turn.forward(series.pixels)[tuple(at)] == series.pixels[3, 7, 2]


@given(st.permutations(range(3)), st.tuples(st.booleans(), st.booleans(), st.booleans()))
@settings(max_examples=48, deadline=None)
def test_every_exchange_and_reversal_of_axes_turns_back(order: list[int], back: tuple[bool, bool, bool]) -> None:
    axes = np.eye(3)[order] * np.where(back, -1.0, 1.0)[:, None]
    turn = Canonical.of(axes)
    volume = np.arange(24).reshape(2, 3, 4) % 5 > 2
    np.testing.assert_array_equal(turn.inverse(np.asarray(turn.forward(volume), np.bool_)), volume)
    assert turn.oblique_degrees == pytest.approx(0, abs=1e-5)


def test_the_angle_that_is_left_is_told(tmp_path: Path) -> None:
    series = mr.read(made.series(tmp_path, VOLUME, directions=made.oblique(20)))
    assert Canonical.of(series.axes).oblique_degrees == pytest.approx(22.3, abs=0.5)


def test_values_are_rescaled(tmp_path: Path) -> None:
    series = mr.read(made.series(tmp_path, VOLUME, RescaleSlope="2", RescaleIntercept="-5"))
    np.testing.assert_array_equal(series.pixels, VOLUME.astype(np.float32) * 2 - 5)


def test_a_missing_slice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesRefused, match="a slice is missing"):
        mr.read(made.series(tmp_path, VOLUME, leave_out=(4,)))


def test_two_slices_in_one_place_are_refused(tmp_path: Path) -> None:
    files = made.series(tmp_path, VOLUME)
    (tmp_path / "again").mkdir()
    second = made.series(tmp_path / "again", VOLUME, SOPInstanceUID=f"{made.ROOT}.9")[:1]
    with pytest.raises(SeriesRefused, match="more than one echo"):
        mr.read([*files, *second])


def test_the_same_instance_twice_is_refused(tmp_path: Path) -> None:
    files = made.series(tmp_path, VOLUME)
    with pytest.raises(SeriesRefused, match="more than once"):
        mr.read([*files, files[0]])


def test_two_series_are_refused(tmp_path: Path) -> None:
    files = made.series(tmp_path, VOLUME)
    (tmp_path / "other").mkdir()
    other = made.series(tmp_path / "other", VOLUME, SeriesInstanceUID=f"{made.ROOT}.8")
    with pytest.raises(SeriesRefused, match="2 values of SeriesInstanceUID"):
        mr.read([*files, *other])


def test_slices_that_are_stacked_slantwise_are_refused(tmp_path: Path) -> None:
    files = made.series(tmp_path, VOLUME)
    from pydicom import dcmread

    for place, path in enumerate(sorted(files, key=lambda p: int(p.stem.rsplit("-", 1)[1]))):
        ds = dcmread(path)
        ds.ImagePositionPatient = [
            str(float(ds.ImagePositionPatient[0]) + place),
            *map(str, ds.ImagePositionPatient[1:]),
        ]
        ds.save_as(path)
    with pytest.raises(SeriesRefused, match="slantwise"):
        mr.read(files)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_slices_without_geometry_are_refused(tmp_path: Path, keyword: str) -> None:
    files = made.series(tmp_path, VOLUME)
    from pydicom import dcmread

    ds = dcmread(files[3])
    delattr(ds, keyword)
    ds.save_as(files[3])
    with pytest.raises(SeriesRefused, match=keyword):
        mr.read(files)


def test_radiographs_and_few_slices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesRefused, match="between 8 and"):
        mr.read(made.series(tmp_path, VOLUME[:4]))
    with pytest.raises(SeriesRefused, match="MR Image Storage was expected"):
        mr.read([sources.source(tmp_path, number=n) for n in range(1, 10)])
