"""Run-length strings: published example, round trips, malformed ones, and the challenge's own strings."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from models.image import rle
from models.image.rle import Dialect, MalformedRle

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
R, A1, A0 = Dialect.RELATIVE, Dialect.ABSOLUTE_FROM_1, Dialect.ABSOLUTE_FROM_0


def test_pixels_are_counted_down_the_columns() -> None:
    mask = np.zeros((3, 4), bool)
    mask[1:, 1] = True  # pixels 4 and 5
    mask[0, 3] = True  # pixel 9
    assert rle.encode(mask, R) == "4 2 3 1"
    assert rle.encode(mask, A0) == "4 2 9 1"
    assert rle.encode(mask, A1) == "5 2 10 1"


@pytest.mark.parametrize(("text", "dialect"), [("4 2 3 1", R), ("4 2 9 1", A0), ("5 2 10 1", A1)])
def test_one_mask_is_read_from_each_dialect(text: str, dialect: Dialect) -> None:
    expected = np.array([[0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]], bool)
    np.testing.assert_array_equal(rle.decode(text, (3, 4), dialect), expected)


@given(mask=MASKS, dialect=st.sampled_from(Dialect))
def test_a_mask_survives_the_round_trip(mask: np.ndarray, dialect: Dialect) -> None:
    np.testing.assert_array_equal(rle.decode(rle.encode(mask, dialect), mask.shape, dialect), mask)


@given(mask=MASKS, dialect=st.sampled_from(Dialect))
def test_an_encoded_string_is_the_shortest_and_is_given_again(mask: np.ndarray, dialect: Dialect) -> None:
    text = rle.encode(mask, dialect)
    assert rle.encode(rle.decode(text, mask.shape, dialect), dialect) == text
    assert dialect in rle.possible([text], mask.shape)


@given(masks=st.lists(arrays(np.bool_, (5, 7)), max_size=4))
def test_rows_of_one_image_are_joined(masks: list[np.ndarray]) -> None:
    joined = rle.union([rle.encode(mask) for mask in masks], (5, 7))
    np.testing.assert_array_equal(joined, np.any([np.zeros((5, 7), bool), *masks], axis=0))


@pytest.mark.parametrize("text", ["-1", " -1", "", "  "])
@pytest.mark.parametrize("dialect", Dialect)
def test_an_empty_mask_is_read(text: str, dialect: Dialect) -> None:
    assert not rle.decode(text, (4, 4), dialect).any()


def test_an_empty_mask_is_written_as_the_challenge_writes_it() -> None:
    assert rle.encode(np.zeros((4, 4), bool)) == "-1"


@pytest.mark.parametrize(
    ("text", "dialect", "said"),
    [
        ("3", R, "1 numbers, pairs"),
        ("3 2 1", R, "3 numbers, pairs"),
        ("3 two", R, "'two' is no number"),
        ("3 2.0", R, "'2.0' is no number"),
        ("-1 2", R, "'-1' is no number"),
        ("3 -2", A0, "'-2' is no number"),
        ("+3 2", R, r"'\+3' is no number"),
        ("٣ 2", R, "is no number"),
        ("9999999999 1", R, "is no number"),
        ("3 0", R, "length 0"),
        ("0 2", A1, "start of 0"),
        ("15 2", R, "ends at pixel 17, the image of 4 x 4 has 16"),
        ("16 2", A1, "ends at pixel 17"),
        ("0 10 5 2", R, "ends at pixel 17"),
        ("5 3 2 1", A0, "begins before the end"),
        ("5 3 7 1", A0, "begins before the end"),
    ],
)
def test_malformed_strings_are_refused(text: str, dialect: Dialect, said: str) -> None:
    with pytest.raises(MalformedRle, match=said):
        rle.decode(text, (4, 4), dialect)
    assert dialect not in rle.possible([text], (4, 4))


@given(text=st.text(alphabet="0123456789 -", max_size=30), dialect=st.sampled_from(Dialect))
def test_any_text_is_read_or_refused(text: str, dialect: Dialect) -> None:
    try:
        mask = rle.decode(text, (6, 5), dialect)
    except MalformedRle:
        assert dialect not in rle.possible([text], (6, 5))
    else:
        assert mask.shape == (6, 5)
        assert dialect in rle.possible([text], (6, 5))


def test_the_dialects_of_a_file_are_told_apart() -> None:
    mask = np.tile(np.array([[0, 1, 1, 0]], bool).T, (1, 40))  # 40 runs
    assert rle.possible([rle.encode(mask, R), "-1"], mask.shape) == (R,)
    assert rle.possible([rle.encode(mask, A0)], mask.shape) == (A1, A0)
    from_zero = np.roll(mask, -1, axis=0)
    assert rle.possible([rle.encode(from_zero, A0)], from_zero.shape) == (A0,)


def test_the_challenge_strings_give_the_masks_of_the_data(data_folder: Path) -> None:
    """The PNG masks are the decoded ones at half the size by Pillow's bilinear filter, half covered or more."""
    csv.field_size_limit(10_000_000)
    rows: dict[str, list[str]] = defaultdict(list)
    with (data_folder / "nih" / "siim_rle_sample.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["id"]].append(row["EncodedPixels"])
    assert rle.possible(text for texts in rows.values() for text in texts) == (R,)
    compared = 0
    for name, texts in rows.items():
        mask = rle.union(texts)
        path = data_folder / "nih" / "pneumothorax" / f"{name}.png"
        assert path.exists() == bool(mask.any())
        if path.exists():
            half = Image.fromarray(mask.astype(np.uint8) * 255).resize((512, 512), Image.Resampling.BILINEAR)
            with Image.open(path) as image:
                np.testing.assert_array_equal(np.asarray(half) > 127, np.asarray(image) != 0)
            compared += 1
    assert compared == 20
