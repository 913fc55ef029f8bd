"""Data sets joined by image: who is believed, which images are whose split, what is known of places, folds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from models.image import pixels
from tests.support.data import training_data
from training.config import Data
from training.data import collection, masks, splits
from training.data.sources import LabelledBox, Record, SourceRefused

NIH = collection.SHIPPED["nih"]
GREY = np.zeros((6, 8), np.uint8)


def record(name: str, labels: dict[str, float] | None = None, **facts: object) -> Record:
    return Record(name, "p", Path(name), lambda: pixels.from_array(GREY), labels or {}, **facts)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_data.write(tmp_path_factory.mktemp("data"))


def test_the_first_set_is_believed_and_the_others_fill_in() -> None:
    def inside() -> np.ndarray:
        return np.full((1, 6, 8), 255, np.uint8)

    expert = record("a", {"x": 1.0, "y": math.nan}, mask=inside, mask_names=("x",), boxes=None, sex="F")
    mined = record("a", {"x": 0.0, "y": 1.0, "z": 0.0}, boxes=(LabelledBox("y", 1, 1, 3, 4),), sex="M", age_years=40.0)
    both = collection.joined(expert, mined)
    assert both.labels == {"x": 1.0, "y": 1.0, "z": 0.0}
    assert (both.mask_names, both.sex, both.age_years) == (("x",), "F", 40.0)
    assert both.boxes == mined.boxes


def test_a_collection_holds_the_split_of_its_images(data: Path) -> None:
    images = collection.read(data, NIH)
    assert images.name == "nih"
    assert set(images.ids("train", "val", "test")) == set(images.records)
    assert all(images.part_of[one] == "val" for one in images.ids("val"))
    first = images.ids("train")[:3]
    np.testing.assert_array_equal(images.labels(first, ("pneumothorax", "lung-opacity")), [[1, np.nan], [0, 1], [0, 0]])
    assert images.patient_features(first)[:, 1].tolist() == [1, -1, 1]
    with pytest.raises(ValueError, match="nih has no label cough; it has atelectasis"):
        images.labels(first, ("cough",))


def test_each_set_is_counted_by_what_it_told(data: Path) -> None:
    images = collection.read(data, NIH)
    told = {one.name: one.images for one in images.counts(images.ids("train"))}
    assert sorted(told.values()) == [16, 16, 24]
    assert images.counted(images.ids("train"))[0] == 24


def test_images_outside_the_split_are_left_out_and_none_at_all_is_refused(data: Path, tmp_path: Path) -> None:
    some = collection.read(data, NIH).ids("train")[:5]
    rows = [splits.SplitRow(one, one) for one in some]
    splits.write_rows(rows, dict.fromkeys(some, "test"), tmp_path / "few.csv")
    few = collection.read(data, Data(sources=("nih",), split=str(tmp_path / "few.csv")))
    assert set(few.records) == set(some)
    assert few.name == "few"
    splits.write_rows([splits.SplitRow("zzz", "zzz")], {"zzz": "train"}, tmp_path / "none.csv")
    with pytest.raises(SourceRefused, match="none of the 48 images of nih is in the split"):
        collection.read(data, Data(sources=("nih",), split=str(tmp_path / "none.csv")))


def test_folds_hold_every_patient_out_once_and_never_touch_the_test_split(data: Path) -> None:
    whole = collection.read(data, NIH)
    held: list[str] = []
    for fold in range(3):
        images = collection.read(data, NIH.model_copy(update={"folds": 3, "fold": fold}))
        assert images.ids("test") == whole.ids("test")
        assert images.digest() == whole.digest()
        patients = [{images.records[one].patient for one in images.ids(part)} for part in splits.TUNED_ON]
        assert not patients[0] & patients[1]
        held.extend(images.ids("val"))
    assert sorted(held) == sorted(whole.ids("train", "val"))
    with pytest.raises(ValueError, match="fold 3 of 3"):
        collection.read(data, NIH.model_copy(update={"folds": 3, "fold": 3}))


def test_a_changed_file_or_mask_makes_another_digest(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")

    def digest(**facts: object) -> str:
        one = Record("a", "p", path, lambda: pixels.from_array(GREY), **facts)  # type: ignore[arg-type]
        return collection.Collection("c", (), {"a": one}, {"a": "train"}).digest()

    first = digest()
    assert digest() == first
    assert digest(boxes=()) != first
    path.write_bytes(b"12")
    assert digest() != first


def test_the_place_of_an_absent_finding_is_known_that_of_an_unmarked_one_is_not() -> None:
    box = (LabelledBox("lung-opacity", 1.2, 2, 4, 5),)
    assert masks.known(record("a", {"lung-opacity": 0.0}), "lung-opacity")
    assert masks.known(record("a", {"lung-opacity": 1.0}, boxes=box), "lung-opacity")
    assert not masks.known(record("a", {"lung-opacity": 1.0}, boxes=()), "lung-opacity")
    assert not masks.known(record("a"), "lung-opacity")
    filled = masks.lesions(record("a", {"lung-opacity": 1.0}, boxes=box), GREY.shape)
    assert filled.shape == (2, 6, 8)
    assert not filled[0].any()
    assert np.argwhere(filled[1]).min(axis=0).tolist() == [2, 1]
    assert int((filled[1] > 0).sum()) == 9


def test_structures_without_a_mask_are_empty() -> None:
    heart = record("a", mask=lambda: np.full((1, 6, 8), 255, np.uint8), mask_names=("heart",))
    found = masks.anatomy(heart, (6, 8))
    assert [bool(one.any()) for one in found] == [False, False, True]
