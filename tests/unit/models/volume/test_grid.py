"""Volumes on the model grid and back: resampling, windows, blending, the largest piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.bundle.manifest import VolumeSpec
from models.volume.grid import answered, blending, grid_shape, largest_piece, normalised, padded, resampled, windows


def spec(window: tuple[int, int, int] = (4, 6, 8), **values: object) -> VolumeSpec:
    """Describe a small model grid."""
    given = {
        "spacing_mm": (1.0, 1.0, 1.0),
        "window": window,
        "field_mm": (50.0, 50.0, 50.0),
        "source_spacing_mm": (1.0, 1.0, 1.0),
    }
    return VolumeSpec.model_validate({**given, **values})


sizes = st.integers(1, 24)
steps = st.floats(0.4, 3.0)


@given(st.tuples(sizes, sizes, sizes), st.tuples(steps, steps, steps), st.tuples(steps, steps, steps))
@settings(max_examples=60, deadline=None)
def test_a_grid_covers_the_volume_and_is_no_voxel_too_large(
    shape: tuple[int, int, int], own: tuple[float, float, float], target: tuple[float, float, float]
) -> None:
    for count, made, a, b in zip(shape, grid_shape(shape, own, target), own, target, strict=True):
        assert made * b >= count * a - 1e-4
        assert made == 1 or (made - 1) * b < count * a + 1e-4


@given(st.tuples(sizes, sizes, sizes), st.tuples(steps, steps, steps), st.floats(-5, 5))
@settings(max_examples=40, deadline=None)
def test_a_constant_stays_what_it_is_on_any_grid(
    shape: tuple[int, int, int], target: tuple[float, float, float], value: float
) -> None:
    own = (1.0, 0.7, 1.3)
    made = resampled(np.full(shape, value, np.float32), own, target, grid_shape(shape, own, target))
    np.testing.assert_allclose(made, value, rtol=1e-5, atol=1e-6)


def test_the_same_grid_changes_nothing() -> None:
    volume = np.random.default_rng(0).random((5, 6, 7)).astype(np.float32)
    np.testing.assert_array_equal(resampled(volume, (2.0, 1.0, 0.5), (2.0, 1.0, 0.5), (5, 6, 7)), volume)


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.6, 2.0, 3.0])
def test_a_ramp_keeps_its_place_in_millimetres(ratio: float) -> None:
    own, target = (0.625, 0.625, 0.625), (0.625 * ratio,) * 3
    place = (np.arange(40) + 0.5) * own[2]
    volume = np.broadcast_to(place, (4, 4, 40)).astype(np.float32)
    shape = grid_shape(volume.shape, own, target)
    made = resampled(volume, own, target, shape)[0, 0]
    expected = (np.arange(shape[2]) + 0.5) * target[2]
    inner = (expected > 2 * target[2]) & (expected < place[-1] - 2 * target[2])
    np.testing.assert_allclose(made[inner], expected[inner], atol=0.04)  # a triangle over few voxels


def test_a_body_comes_back_in_its_place_after_the_model_grid() -> None:
    z, y, x = np.meshgrid(np.arange(30), np.arange(50), np.arange(44), indexing="ij")
    body = ((z - 13) / 8) ** 2 + ((y - 28) / 15) ** 2 + ((x - 17) / 12) ** 2 < 1
    own, target = (1.25, 0.625, 0.625), (2.0, 2.0, 2.0)
    there = resampled(body.astype(np.float32), own, target, grid_shape(body.shape, own, target))
    back = resampled(there, target, own, (30, 50, 44)) > 0.5
    assert 2 * (back & body).sum() / (back.sum() + body.sum()) > 0.97
    np.testing.assert_allclose(np.argwhere(back).mean(axis=0), np.argwhere(body).mean(axis=0), atol=0.15)


@given(
    st.tuples(sizes, sizes, sizes),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    st.floats(0, 0.8),
)
@settings(max_examples=60, deadline=None)
def test_windows_cover_every_voxel_and_stay_inside(
    shape: tuple[int, int, int], window: tuple[int, int, int], overlap: float
) -> None:
    shape = tuple(max(n, w) for n, w in zip(shape, window, strict=True))  # type: ignore[assignment]
    seen = np.zeros(shape, np.int32)
    for start in windows(shape, window, overlap):
        assert all(s >= 0 and s + w <= n for s, w, n in zip(start, window, shape, strict=True))
        seen[tuple(slice(s, s + w) for s, w in zip(start, window, strict=True))] += 1
    assert seen.min() >= 1


@pytest.mark.parametrize("window", [(4, 6, 8), (1, 5, 5), (16, 32, 32)])
@pytest.mark.parametrize("context", [0, 1])
def test_a_network_that_repeats_its_input_gives_the_volume_back(window: tuple[int, int, int], context: int) -> None:
    volume = np.random.default_rng(1).random((9, 13, 11)).astype(np.float32)
    one = spec(window, context=context)

    def repeats(patch: NDArray[np.float32]) -> NDArray[np.float32]:
        assert patch.shape[1:] == one.input_shape
        return patch[:, None, context : patch.shape[1] - context]

    np.testing.assert_allclose(answered(volume, one, repeats)[0], volume, atol=1e-5)


def test_the_neighbours_of_a_slice_are_those_of_the_patient() -> None:
    volume = np.arange(6, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32)
    seen: list[list[float]] = []

    def look(patch: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(patch[0, :, 0, 0].tolist())
        return patch[:, None, 1:2]

    answered(volume, spec((1, 4, 4), context=1), look)
    assert seen == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 5]]


def test_windows_are_blended_most_from_their_middle() -> None:
    weight = blending((5, 7, 9))
    assert np.unravel_index(int(weight.argmax()), weight.shape) == (2, 3, 4)
    assert weight.min() > 0
    np.testing.assert_allclose(weight, weight[::-1, ::-1, ::-1])


def test_a_small_volume_is_widened_around_itself() -> None:
    volume = np.ones((3, 6, 5), np.float32)
    widened, first = padded(volume, spec((8, 6, 8)))
    assert widened.shape == (8, 6, 8)
    assert first == (2, 0, 1)
    assert widened.sum() == volume.sum()


def test_normalisation_is_the_same_for_any_gain() -> None:
    image = np.random.default_rng(2).normal(300, 80, (10, 20, 20))
    one, other = normalised(image, (0.5, 99.5)), normalised(image * 7 + 11, (0.5, 99.5))
    np.testing.assert_allclose(one, other, atol=1e-4)
    assert (one.min(), one.max()) == (0, 1)
    assert not normalised(np.full((3, 3, 3), 5.0), (0.5, 99.5)).any()


def test_the_largest_piece_is_found_through_the_slices() -> None:
    mask = np.zeros((6, 12, 12), np.bool_)
    mask[0, 1:4, 1:4] = mask[0, 7:11, 7:11] = True  # two in one slice,
    mask[1:4, 2, 2] = mask[1:4, 8, 8] = True
    mask[4, 2, 2:9] = mask[4, 2:9, 8] = True  # which the fifth joins
    mask[0, 1:11, 5] = True  # and a third beside them, larger than either
    kept = largest_piece(mask)
    assert kept[:, 2, 2].any()
    assert kept[0, 8, 8]
    assert not kept[0, 1, 5]
    assert not largest_piece(np.zeros((2, 3, 3), np.bool_)).any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_largest_piece_agrees_with_scipy(seed: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    mask = np.random.default_rng(seed).random((5, 9, 9)) < 0.42
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:] if count else np.zeros(0)
    kept = largest_piece(mask)
    assert int(kept.sum()) == (int(sizes.max()) if count else 0)
    assert len(np.unique(labels[kept])) <= 1
