"""What node and models both hold, and may not import from each other, is equal."""

from __future__ import annotations

from models.bundle import intended_use
from models.image import stored
from node.dicom import header
from workers.pipelines.chest import eligibility


def test_the_views_that_are_not_frontal_are_the_same_at_intake_and_before_the_networks() -> None:
    assert set(intended_use.OTHER_VIEWS) == eligibility.OTHER_POSITIONS
    assert not set(intended_use.FRONTAL_VIEWS) & eligibility.OTHER_POSITIONS


def test_no_more_pixels_are_taken_in_than_can_be_decoded() -> None:
    assert header.MAXIMUM_PIXELS == stored.MAX_PIXELS
