"""The gate: rules on masks, distance of features, and what it says of real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.bundle import store
from models.bundle.manifest import GateSettings
from models.chest import gate
from models.chest.analyser import ChestAnalyser
from models.image import pixels
from models.image.geometry import Orientation
from models.image.pixels import Radiograph
from models.values.features import FeatureStatistics
from models.values.findings import NotComputedReason

SETTINGS = GateSettings(
    lung_area_part=(0.02, 0.35),
    lungs_area_part=(0.05, 0.6),
    smaller_to_larger_area=0.2,
    horizontal_separation=0.3,
    vertical_overlap=0.5,
    solidity=0.6,
    largest_piece=0.6,
    confidence=0.6,
    feature_distance=3.0,
    rule="by hand",
)
SIZE = 64
WHOLE = (slice(0, SIZE), slice(0, SIZE))
STATISTICS = FeatureStatistics(
    mean=np.zeros(4, np.float32),
    components=np.eye(4, dtype=np.float32)[:2],
    scale=np.ones(2, np.float32),
    residual_scale=1.0,
)
NEAR = np.ones(4, np.float32)


def maps(right: tuple[int, ...] | None, left: tuple[int, ...] | None, value: float = 0.95) -> np.ndarray:
    """Draw rectangles (top, bottom, left, right) as probabilities of right lung, left lung, heart."""
    drawn = np.zeros((3, SIZE, SIZE), np.float32)
    for channel, box in enumerate((right, left)):
        if box is not None:
            drawn[channel, box[0] : box[1], box[2] : box[3]] = value
    return drawn


def verdict(drawn: np.ndarray, features: np.ndarray = NEAR) -> gate.Gate:
    """Judge drawn masks."""
    return gate.judge(gate.observe(drawn, WHOLE, features, STATISTICS), SETTINGS)


RIGHT, LEFT = (10, 50, 8, 26), (10, 50, 38, 56)


def test_two_plausible_lungs_pass() -> None:
    assert verdict(maps(RIGHT, LEFT)).passed


def test_no_lung_is_no_chest() -> None:
    assert verdict(maps(None, None)).reason is NotComputedReason.NOT_A_CHEST


@pytest.mark.parametrize("missing", ["right", "left"])
def test_one_lung_is_implausible_and_its_side_is_named(missing: str) -> None:
    found = verdict(maps(None if missing == "right" else RIGHT, None if missing == "left" else LEFT))
    assert found.reason is NotComputedReason.LUNGS_IMPLAUSIBLE
    assert missing in found.detail


@pytest.mark.parametrize(
    ("right", "left", "value", "rule"),
    [
        (LEFT, RIGHT, 0.95, "horizontal separation"),
        ((2, 20, 8, 26), (40, 60, 38, 56), 0.95, "vertical overlap"),
        (RIGHT, (20, 26, 38, 42), 0.95, "smaller to larger"),
        ((0, 64, 0, 31), (0, 64, 33, 64), 0.95, "largest lung"),
        (RIGHT, LEFT, 0.55, "confidence"),
    ],
)
def test_odd_lungs_are_implausible(right: tuple[int, ...], left: tuple[int, ...], value: float, rule: str) -> None:
    found = verdict(maps(right, left, value))
    assert found.reason is NotComputedReason.LUNGS_IMPLAUSIBLE
    assert rule in found.detail


def test_scattered_pieces_are_implausible() -> None:
    drawn = maps(None, LEFT)
    for column in range(2, 30, 6):
        drawn[0, 10:50, column : column + 4] = 0.95
    found = verdict(drawn)
    assert found.reason is NotComputedReason.LUNGS_IMPLAUSIBLE
    assert "largest piece" in found.detail


@pytest.mark.parametrize(
    ("right", "left", "passes"),
    [
        ((10, 50, 2, 15), (10, 50, 17, 30), False),
        ((10, 50, 34, 46), (10, 50, 50, 62), False),
        ((10, 50, 4, 17), (10, 50, 22, 36), True),
    ],
)
def test_two_lungs_in_one_half_leave_room_for_another_chest(
    right: tuple[int, ...], left: tuple[int, ...], passes: bool
) -> None:
    found = verdict(maps(right, left))
    assert found.passed is passes
    assert passes or "may show two chests" in found.detail


def test_strange_features_are_no_chest() -> None:
    assert verdict(maps(RIGHT, LEFT), 40 * NEAR).reason is NotComputedReason.NOT_A_CHEST


def test_distance_grows_within_and_beyond_the_kept_directions() -> None:
    base = STATISTICS.distance(np.zeros(4, np.float32))
    assert base == 0
    assert STATISTICS.distance(np.array([9, 0, 0, 0], np.float32)) > 3
    assert STATISTICS.distance(np.array([0, 0, 0, 5], np.float32)) > 3


@pytest.fixture(scope="module")
def analyser() -> ChestAnalyser:
    """Load the shipped segmenter."""
    found = [one for one in store.find(store.shipped()) if one.manifest.task == "segmentation"]
    return ChestAnalyser.load(found[-1:], threads=2)


@pytest.mark.parametrize(
    "name",
    [
        "not-chest-extremity-rle",
        "not-chest-hip-jpegls",
        "not-chest-teeth-cr-modality-lut-jpeglossless",
        "not-human-dx-lateral-thorax",
    ],
)
def test_other_body_parts_are_refused(analyser: ChestAnalyser, data_folder: Path, name: str) -> None:
    assert not analyser.judge(pixels.read(data_folder / "dicom" / f"{name}.dcm")).passed


@pytest.mark.parametrize("name", ["chest-cr-monochrome1-jpeg2000", "chest-siim-sc-jpegbaseline"])
def test_chests_pass_upright_and_are_refused_turned_or_upside_down(
    analyser: ChestAnalyser, data_folder: Path, name: str
) -> None:
    seen = pixels.read(data_folder / "dicom" / f"{name}.dcm")
    assert analyser.judge(seen).passed
    for turn in (Orientation(transpose=True, flip_rows=True), Orientation(transpose=True), Orientation(flip_rows=True)):
        turned = np.ascontiguousarray(turn.to_canonical(seen.pixels))
        assert not analyser.judge(Radiograph(turned)).passed
    assert not analyser.judge(Radiograph(np.ascontiguousarray(seen.pixels[::-1, ::-1]))).passed


def test_two_chests_side_by_side_are_refused(analyser: ChestAnalyser, data_folder: Path) -> None:
    names = ("chest-cr-monochrome1-jpeg2000", "chest-rsna-sc-jpegbaseline-ap")
    first, second = (pixels.read(data_folder / "dicom" / f"{name}.dcm").pixels for name in names)
    rows = min(len(first), len(second))
    both = np.concatenate([first[:: len(first) // rows][:rows], second[:rows]], axis=1)
    found = analyser.judge(Radiograph(np.ascontiguousarray(both)))
    assert not found.passed


@pytest.mark.parametrize("kind", ["noise", "blank", "ramp", "smooth"])
def test_pictures_of_nothing_are_refused(analyser: ChestAnalyser, kind: str) -> None:
    rng = np.random.default_rng(3)
    match kind:
        case "noise":
            picture = rng.random((300, 260))
        case "blank":
            picture = np.zeros((300, 260))
        case "ramp":
            picture = np.tile(np.linspace(0, 1, 260), (300, 1))
        case _:
            picture = np.outer(np.sin(np.linspace(0, 3, 300)), np.sin(np.linspace(0, 3, 260)))
    assert not analyser.judge(Radiograph(picture.astype(np.float32))).passed


def test_magnetic_resonance_slices_are_refused(analyser: ChestAnalyser, data_folder: Path) -> None:
    volume = np.load(data_folder / "atrium" / "a11.npz")["image"]
    planes = volume if volume.shape[0] == 88 else np.moveaxis(volume, -1, 0)
    for plane in planes[8::24]:
        assert not analyser.judge(pixels.from_array(np.ascontiguousarray(plane))).passed
