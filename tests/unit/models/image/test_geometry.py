"""Geometry: every orientation is a bijection, and the letterbox leads back to where it came from."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.image.geometry import Letterbox, Orientation
from models.image.inputs import InputSpec, prepare
from models.image.pixels import Radiograph

edges = st.integers(1, 400)
aspects = st.floats(0.2, 5.0)
sizes = st.integers(32, 256)
ORIENTATIONS = [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)]


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), orientation=st.sampled_from(ORIENTATIONS))
def test_orientation_is_undone_exactly(rows: int, columns: int, orientation: Orientation) -> None:
    source = np.arange(rows * columns).reshape(rows, columns)
    np.testing.assert_array_equal(orientation.to_source(orientation.to_canonical(source)), source)
    canonical = orientation.to_canonical(source)
    np.testing.assert_array_equal(orientation.to_canonical(orientation.to_source(canonical)), canonical)


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), orientation=st.sampled_from(ORIENTATIONS), data=st.data())
def test_a_point_goes_where_its_pixel_goes(
    rows: int, columns: int, orientation: Orientation, data: st.DataObject
) -> None:
    source = np.zeros((rows, columns), bool)
    canonical = orientation.to_canonical(source)
    row, column = (data.draw(st.integers(0, edge - 1)) for edge in canonical.shape)
    canonical = canonical.copy()
    canonical[row, column] = True
    shape = (canonical.shape[0], canonical.shape[1])
    found = orientation.point_to_source(row + 0.5, column + 0.5, shape)
    assert np.argwhere(orientation.to_source(canonical)).tolist() == [[found[0] - 0.5, found[1] - 0.5]]


def test_the_eight_orientations_differ() -> None:
    source = np.arange(9).reshape(3, 3)
    assert len({orientation.to_canonical(source).tobytes() for orientation in ORIENTATIONS}) == 8


@given(rows=edges, columns=edges, aspect=aspects, size=sizes)
def test_the_content_lies_centred_within_the_square(rows: int, columns: int, aspect: float, size: int) -> None:
    box = Letterbox.of((rows, columns), aspect=aspect, size=size)
    assert 0 <= box.top <= size - box.height
    assert 0 <= box.left <= size - box.width
    assert max(box.height, box.width) == size
    assert abs((size - box.height - box.top) - box.top) <= 1
    assert abs((size - box.width - box.left) - box.left) <= 1
    wanted = rows * aspect / columns
    assert abs(box.height - min(size, size * wanted)) <= 1
    assert abs(box.width - min(size, size / wanted)) <= 1


@given(rows=edges, columns=edges, aspect=aspects, size=sizes, at=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_points_return_exactly(rows: int, columns: int, aspect: float, size: int, at: tuple[float, float]) -> None:
    box = Letterbox.of((rows, columns), aspect=aspect, size=size)
    row, column = at[0] * rows, at[1] * columns
    back = box.point_to_image(*box.point_to_model(row, column))
    assert back == pytest.approx((row, column), abs=1e-6 * max(rows, columns))


@settings(deadline=None)
@given(rows=edges, columns=edges, aspect=aspects, size=sizes)
def test_shapes_and_constant_values_survive_both_ways(rows: int, columns: int, aspect: float, size: int) -> None:
    box = Letterbox.of((rows, columns), aspect=aspect, size=size)
    square = box.forward(np.full((rows, columns), 0.5, np.float32))
    assert square.shape == (size, size)
    np.testing.assert_allclose(square[box.content], 0.5, atol=1e-5)
    outside = np.ones((size, size), bool)
    outside[box.content] = False
    assert not square[outside].any()
    back = box.inverse(square)
    assert back.shape == (rows, columns)
    np.testing.assert_allclose(back, 0.5, atol=1e-5)


@settings(deadline=None)
@given(
    rows=st.integers(150, 500),
    columns=st.integers(150, 500),
    aspect=st.floats(0.6, 1.6),
    corners=st.tuples(*[st.floats(0.0, 0.6)] * 2, *[st.floats(0.25, 0.4)] * 2),
)
def test_the_edges_of_a_mask_return_within_one_model_pixel(
    rows: int, columns: int, aspect: float, corners: tuple[float, float, float, float]
) -> None:
    top, left = round(corners[0] * rows), round(corners[1] * columns)
    bottom, right = top + round(corners[2] * rows), left + round(corners[3] * columns)
    mask = np.zeros((rows, columns), np.float32)
    mask[top:bottom, left:right] = 1
    box = Letterbox.of((rows, columns), aspect=aspect, size=128)
    back = box.inverse(box.forward(mask)) >= 0.5
    found_rows, found_columns = (np.flatnonzero(back.any(axis=axis)) for axis in (1, 0))
    row_step, column_step = max(1.0, rows / box.height), max(1.0, columns / box.width)
    assert abs(found_rows[0] - top) <= row_step
    assert abs(found_rows[-1] + 1 - bottom) <= row_step
    assert abs(found_columns[0] - left) <= column_step
    assert abs(found_columns[-1] + 1 - right) <= column_step


@settings(deadline=None)
@given(rows=edges, columns=edges)
def test_an_image_of_the_grid_s_own_size_passes_unchanged(rows: int, columns: int) -> None:
    size = max(rows, columns)
    image = np.random.default_rng(0).random((rows, columns)).astype(np.float32)
    box = Letterbox.of((rows, columns), aspect=1.0, size=size)
    np.testing.assert_array_equal(box.inverse(box.forward(image)), image)


def test_shrinking_averages_areas_and_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), (512, 256))
    square = Letterbox.of((512, 512), aspect=1.0, size=128).forward(stripes)
    np.testing.assert_allclose(square, 0.5, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(orientation=st.sampled_from(ORIENTATIONS), rows=st.integers(120, 300), columns=st.integers(120, 300))
def test_a_structure_found_on_the_model_grid_lies_on_itself_in_the_source(
    orientation: Orientation, rows: int, columns: int
) -> None:
    source = np.zeros((rows, columns), np.float32)
    source[rows // 5 : rows // 2, columns // 4 : columns // 3 + 20] = 1
    radiograph = Radiograph(np.ascontiguousarray(orientation.to_canonical(source)), orientation=orientation)
    given_input = prepare(radiograph, InputSpec(size=128))
    mask = given_input.letterbox.inverse(given_input.image) >= 0.5
    found = radiograph.to_source(mask)
    truth = source > 0
    assert found.shape == source.shape
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93


def test_padding_neither_reaches_the_network_nor_its_contrast() -> None:
    picture = np.tile(np.linspace(0.4, 0.6, 100, dtype=np.float32), (100, 1))
    valid = np.ones((100, 100), bool)
    valid[:, :30] = False
    spoiled = picture.copy()
    spoiled[:, :30] = 1.0
    given_input = prepare(Radiograph(spoiled, valid=valid), InputSpec(size=64))
    plain = prepare(Radiograph(picture, valid=valid), InputSpec(size=64))
    np.testing.assert_allclose(given_input.image, plain.image, atol=1e-6)
    assert given_input.image.max() == 1.0


def test_an_image_that_is_all_padding_gives_an_empty_input() -> None:
    nothing = Radiograph(np.ones((10, 10), np.float32), valid=np.zeros((10, 10), bool))
    assert not prepare(nothing, InputSpec(size=32)).image.any()
