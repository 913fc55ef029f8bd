"""Masks of lesions by three numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle.manifest import HysteresisThreshold
from models.chest.lesions import least_pixels, lesion


def triplet(top: float, area: float, bottom: float) -> HysteresisThreshold:
    return HysteresisThreshold(top_threshold=top, minimum_area=area, bottom_threshold=bottom, rule="by hand")


# Two sure pixels, two likely ones apart from them, on a grid of 16.
PROBABILITY = np.zeros((4, 4), np.float32)
PROBABILITY[0, :2] = 0.9
PROBABILITY[3, 2:] = 0.4


def test_enough_sure_pixels_let_all_likely_ones_in() -> None:
    mask = lesion(PROBABILITY, triplet(0.8, 2 / 16, 0.3))
    assert mask.tolist() == (PROBABILITY > 0.3).tolist()
    assert mask.sum() == 4


def test_too_few_sure_pixels_are_no_lesion() -> None:
    assert not lesion(PROBABILITY, triplet(0.8, 3 / 16, 0.3)).any()


def test_an_area_of_nothing_still_asks_for_one_pixel() -> None:
    assert not lesion(PROBABILITY, triplet(0.95, 0.0, 0.3)).any()
    assert lesion(PROBABILITY, triplet(0.85, 0.0, 0.3)).any()


def test_thresholds_are_exceeded_not_met() -> None:
    even = np.full((2, 2), 0.5)
    assert not lesion(even, triplet(0.5, 0.0, 0.25)).any()
    assert not lesion(even, triplet(0.25, 0.0, 0.5)).any()
    assert lesion(even, triplet(0.25, 0.0, 0.25)).all()


def test_each_image_of_a_stack_is_decided_for_itself() -> None:
    stack = np.stack([PROBABILITY, PROBABILITY / 2])
    found = lesion(stack, triplet(0.8, 0.0, 0.3))
    assert found.any(axis=(1, 2)).tolist() == [True, False]
    assert (found[0] == lesion(PROBABILITY, triplet(0.8, 0.0, 0.3))).all()


@given(st.integers(1, 512), st.integers(1, 4096))
@settings(max_examples=200, deadline=None)
def test_an_area_of_whole_pixels_is_that_many(edge: int, pixels: int) -> None:
    assert least_pixels(pixels / edge**2, edge**2) == pixels
    assert least_pixels(float(np.round((pixels - 0.5) / edge**2, 12)), edge**2) == pixels
