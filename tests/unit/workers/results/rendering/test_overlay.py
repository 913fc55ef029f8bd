"""The picture with overlay and words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.image.geometry import Orientation
from models.image.pixels import Radiograph
from models.values import codes
from models.values.findings import Box
from tests.support.results import result_requests as made
from workers.results.rendering.overlay import LONGEST, annotated, overlay, shown_shape
from workers.results.rendering.panel import diameters
from workers.results.text.languages.known import language

GREY = np.linspace(0, 1, 240 * 200, dtype=np.float32).reshape(240, 200)
RADIOGRAPH = Radiograph(GREY)
IMAGE = made.with_pneumothorax(made.image("1.2.3", 240, 200), codes.LEFT)


def test_the_radiograph_stands_whole_in_the_upper_left_corner() -> None:
    picture = annotated(RADIOGRAPH, IMAGE)
    rows, columns = picture.radiograph_shape
    assert (rows, columns) == GREY.shape
    assert np.array_equal(picture.pixels[:rows, :columns], overlay(RADIOGRAPH, IMAGE))


def test_grey_values_stay_where_nothing_is_drawn() -> None:
    bare = overlay(RADIOGRAPH, made.refused("1.2.3"))
    assert np.array_equal(bare[..., 0], np.rint(GREY * 255))
    assert np.array_equal(bare[..., 0], bare[..., 2])


def test_colours_stay_within_the_masks() -> None:
    shown = overlay(RADIOGRAPH, replace(IMAGE, segments=IMAGE.segments[:1]))
    coloured = (shown.max(axis=2).astype(int) - shown.min(axis=2)) > 3
    mask = IMAGE.segments[0].mask
    assert not (coloured & ~mask).any()
    assert coloured[mask].mean() > 0.95
    assert (shown[mask] == IMAGE.segments[0].colour_rgb).all(axis=1).any()


def test_the_diameter_of_the_heart_is_drawn_between_the_rows_of_its_end_points() -> None:
    heart = next(segment for segment in IMAGE.segments if segment.property_type == codes.HEART)
    mask = np.zeros_like(heart.mask)
    mask[100:160, 80:120] = True
    mask[104, 70:80] = mask[112, 120:130] = True
    image = replace(IMAGE, segments=(replace(heart, mask=mask),))
    (found,) = diameters(image, [mask])
    assert found[1:] == (Box(70, 100, 130, 160), 108.5)


def test_the_legend_has_the_colour_of_every_segment() -> None:
    picture = annotated(RADIOGRAPH, IMAGE)
    panel = picture.pixels[:, picture.radiograph_shape[1] :].reshape(-1, 3)
    for segment in IMAGE.segments:
        # The legend is drawn with an opacity of 0.8 on the dark ground.
        expected = np.asarray(segment.colour_rgb) * 0.8 + np.asarray((0x10, 0x14, 0x18)) * 0.2
        assert (np.abs(panel - expected).max(axis=1) < 3).any()


def test_words_are_in_the_language_asked_for() -> None:
    english, german = annotated(RADIOGRAPH, IMAGE), annotated(RADIOGRAPH, IMAGE, language("de"))
    assert not np.array_equal(english.pixels, german.pixels)
    rows, columns = english.radiograph_shape
    assert np.array_equal(english.pixels[:rows, :columns], german.pixels[:rows, :columns])


@pytest.mark.parametrize(
    ("shape", "aspect", "expected"),
    [
        ((300, 200), 1.0, (300, 200)),
        ((4096, 2048), 1.0, (LONGEST, 1024)),
        ((100, 200), 2.0, (200, 200)),
        ((200, 100), 0.5, (200, 200)),
    ],
)
def test_pixels_become_square_and_at_most_so_many(
    shape: tuple[int, int], aspect: float, expected: tuple[int, int]
) -> None:
    assert shown_shape(Radiograph(np.zeros(shape, np.float32), aspect=aspect)) == expected


def test_a_turned_source_is_laid_onto_the_canonical_grid() -> None:
    turned = Orientation(transpose=True)
    radiograph = Radiograph(np.ascontiguousarray(GREY.T), orientation=turned)
    shown = overlay(radiograph, replace(IMAGE, segments=IMAGE.segments[:1]))
    coloured = (shown.max(axis=2).astype(int) - shown.min(axis=2)) > 3
    assert not (coloured & ~IMAGE.segments[0].mask.T).any()
    assert coloured.any()


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="the source image is"):
        overlay(RADIOGRAPH, made.image("1.2.3", 10, 10))
