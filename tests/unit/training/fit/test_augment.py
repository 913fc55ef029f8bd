"""Image and masks move together, whatever is drawn; grey values stay in range."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import Augmentation
from training.fit.augment import Augment, stretched, with_opacities

SIZE = 48
# No change of grey values: what the image shows is where it was moved to.
GEOMETRY = {
    "gamma": (1.0, 1.0),
    "contrast": (1.0, 1.0),
    "brightness": 0.0,
    "noise": 0.0,
    "blur_probability": 0.0,
    "opacity_probability": 0.0,
}


@given(
    st.integers(0, 2**31),
    st.floats(0, 30),
    st.floats(0, 0.3),
    st.floats(0.6, 1.0),
    st.floats(1.0, 1.5),
    st.floats(0, 10),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_image_and_masks_move_together(
    seed: int, rotation: float, shift: float, smallest: float, largest: float, shear: float, mirrored: bool
) -> None:
    chosen = Augmentation(
        rotation_degrees=rotation,
        translation=shift,
        scale=(smallest, largest),
        shear_degrees=shear,
        horizontal_flip=mirrored,
        **GEOMETRY,
    )
    torch.manual_seed(seed)
    image = torch.rand(1, SIZE, SIZE)
    moved, masks = Augment(chosen)(image, torch.cat([image, 1 - image]))
    assert masks is not None
    torch.testing.assert_close(masks[:1], moved, atol=1e-6, rtol=0)
    # What is moved in is empty in both; elsewhere the second mask is the complement of the first.
    total = masks.sum(dim=0)
    assert float(total.max()) < 1 + 1e-5
    assert float(masks.min()) > -1e-5


def test_the_same_seed_gives_the_same_variation() -> None:
    vary, image = Augment(Augmentation(opacity_probability=0.5)), torch.rand(1, SIZE, SIZE)
    torch.manual_seed(4)
    first = vary(image)[0]
    torch.manual_seed(4)
    assert torch.equal(vary(image)[0], first)
    assert not torch.equal(vary(image)[0], first)


def test_without_ranges_nothing_changes() -> None:
    still = Augmentation(rotation_degrees=0, translation=0, scale=(1, 1), shear_degrees=0, **GEOMETRY)
    image = torch.rand(1, SIZE, SIZE)
    torch.testing.assert_close(Augment(still)(image)[0], image, atol=1e-5, rtol=0)


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_grey_values_stay_in_range(seed: int) -> None:
    torch.manual_seed(seed)
    wide = Augmentation(gamma=(0.3, 3), contrast=(0.2, 3), brightness=0.5, noise=0.3, opacity_probability=1)
    varied = Augment(wide)(torch.rand(1, SIZE, SIZE))[0]
    assert varied.shape == (1, SIZE, SIZE)
    assert float(varied.min()) >= 0
    assert float(varied.max()) <= 1


def test_each_kind_of_variation_does_something() -> None:
    still = {"rotation_degrees": 0, "translation": 0, "scale": (1, 1), "shear_degrees": 0, **GEOMETRY}
    image = torch.rand(1, SIZE, SIZE) * 0.5 + 0.2
    for name, value in (
        ("rotation_degrees", 20),
        ("translation", 0.2),
        ("scale", (0.6, 0.7)),
        ("shear_degrees", 15),
        ("gamma", (1.5, 2)),
        ("contrast", (0.4, 0.5)),
        ("noise", 0.1),
        ("blur_probability", 1.0),
        ("opacity_probability", 1.0),
    ):
        torch.manual_seed(2)
        varied = Augment(Augmentation(**(still | {name: value})))(image)[0]
        assert float((varied - image).abs().mean()) > 0.005, name


def test_mirroring_happens_half_of_the_time_and_only_where_it_is_asked_for() -> None:
    still = {"rotation_degrees": 0, "translation": 0, "scale": (1, 1), "shear_degrees": 0, **GEOMETRY}
    image = torch.linspace(0, 1, SIZE).expand(1, SIZE, SIZE)
    for asked, least, most in ((False, 0, 0), (True, 30, 70)):
        vary = Augment(Augmentation(**still, horizontal_flip=asked))
        torch.manual_seed(6)
        mirrored = sum(float(vary(image)[0][0, 0, 0]) > 0.5 for _ in range(100))
        assert least <= mirrored <= most


def test_opacities_brighten_and_never_beyond_white() -> None:
    torch.manual_seed(1)
    image = torch.full((1, SIZE, SIZE), 0.4)
    varied = with_opacities(image)
    assert (varied >= image).all()
    assert float(varied.max()) <= 1
    assert float(varied.max()) > 0.45


def test_stretching_changes_the_shape_and_leaves_the_middle_where_it_was() -> None:
    image = torch.zeros(1, SIZE, SIZE)
    image[:, 12:36, 12:36] = 1
    for factor, wide, high in ((1.5, 24, 16), (0.5, 12, 24), (1.0, 24, 24)):
        rows, columns = ((stretched(image, factor)[0] > 0.5).any(dim=axis).nonzero().flatten() for axis in (1, 0))
        assert abs(len(columns) - wide) <= 1
        assert abs(len(rows) - high) <= 1
        assert abs(float(rows.float().mean()) - 23.5) <= 0.5
        assert abs(float(columns.float().mean()) - 23.5) <= 0.5


def test_image_and_masks_are_stretched_alike() -> None:
    torch.manual_seed(1)
    vary = Augment(Augmentation(stretch=(0.7, 1.4), **GEOMETRY))
    for _ in range(5):
        image = torch.rand(1, SIZE, SIZE)
        moved, masks = vary(image, image)
        assert masks is not None
        torch.testing.assert_close(masks, moved, atol=1e-6, rtol=0)
