"""The picture for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.geometry import Orientation
from tests import result_requests as made
from workers.render import overlay_png

GREY = np.full((240, 200), 0.4, np.float32)


def test_the_picture_shows_the_colours_of_the_structures(tmp_path: Path) -> None:
    path = tmp_path / "overlay.png"
    overlay_png(GREY, made.image("1.2.3", 240, 200), path)
    with Image.open(path) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=1 << 24)}
        assert picture.info.get("Software") is None
    assert {s.colour_rgb for s in made.image("1.2.3", 240, 200).segments} <= colours


def test_a_refused_image_gets_a_picture(tmp_path: Path) -> None:
    overlay_png(GREY, made.refused("1.2.3"), tmp_path / "overlay.png")
    assert (tmp_path / "overlay.png").stat().st_size > 5000


def test_masks_are_laid_onto_the_canonical_grid(tmp_path: Path) -> None:
    turned = Orientation(transpose=True)
    overlay_png(GREY.T, made.image("1.2.3", 240, 200), tmp_path / "overlay.png", orientation=turned)


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the picture is"):
        overlay_png(GREY, made.image("1.2.3", 10, 10), tmp_path / "overlay.png")
