"""On which side a region lies."""

from __future__ import annotations

import numpy as np
import pytest

from models.chest import laterality
from models.chest.anatomy import Anatomy, Mask
from models.values import codes
from models.values.codes import Code


def drawn(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((100, 100), bool)
    mask[rows, columns] = True
    return mask


# The patient's right lung is on the left of the picture.
CHEST = Anatomy(drawn(slice(20, 80), slice(15, 40)), drawn(slice(20, 80), slice(60, 85)), None)


@pytest.mark.parametrize(
    ("columns", "side"),
    [
        (slice(16, 24), codes.RIGHT),
        (slice(5, 14), codes.RIGHT),
        (slice(86, 95), codes.LEFT),
        (slice(41, 49), codes.RIGHT),
        (slice(20, 80), codes.BILATERAL),
    ],
)
def test_a_region_belongs_to_the_nearest_lung_also_beside_its_mask(columns: slice, side: Code) -> None:
    assert laterality.side_of(drawn(slice(30, 40), columns), CHEST) == side


def test_a_trace_on_the_other_side_names_no_side() -> None:
    region = drawn(slice(30, 40), slice(15, 35)) | drawn(slice(30, 32), slice(70, 75))
    assert laterality.side_of(region, CHEST) == codes.RIGHT
    assert laterality.side_of(region | drawn(slice(40, 45), slice(70, 80)), CHEST) == codes.BILATERAL


def test_without_both_lungs_the_side_is_unknown() -> None:
    one = Anatomy(CHEST.right_lung, None, None)
    region = drawn(slice(30, 40), slice(20, 30))
    assert laterality.side_of(region, one) is None
    assert laterality.part_of_lung(region, codes.LEFT, one) is None
    assert laterality.part_of_lung(region, codes.BILATERAL, one) is None


def test_the_part_of_the_lung_counts_what_lies_beside_its_mask() -> None:
    inside = drawn(slice(20, 50), slice(15, 40))
    assert laterality.part_of_lung(inside, codes.RIGHT, CHEST) == pytest.approx(0.5)
    beside = drawn(slice(20, 80), slice(0, 15))
    assert laterality.part_of_lung(beside, codes.RIGHT, CHEST) == pytest.approx(15 / 40)
    both = inside | drawn(slice(20, 50), slice(60, 85))
    assert laterality.part_of_lung(both, codes.BILATERAL, CHEST) == pytest.approx(0.5)
