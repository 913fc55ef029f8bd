"""Splits and folds: never a patient in two parts, each part like the whole, files never changed."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.image.pixels import Radiograph
from training.data import splits
from training.data.sources import DataSet, Record
from training.data.splits import SplitRow

PATIENTS = st.lists(
    st.tuples(st.text("abc", min_size=1, max_size=3), st.sampled_from(["", "x", "y"])), min_size=1, max_size=60
)


def listed(pairs: list[tuple[str, str]]) -> list[SplitRow]:
    return [SplitRow(f"i{number}", patient, stratum) for number, (patient, stratum) in enumerate(pairs)]


def parts_of_patients(rows: list[SplitRow], part_of: dict[str, object]) -> dict[str, set[object]]:
    parts: dict[str, set[object]] = defaultdict(set)
    for row in rows:
        parts[row.patient].add(part_of[row.id])
    return parts


@given(pairs=PATIENTS, val=st.floats(0, 0.49), test=st.floats(0, 0.49), seed=st.integers(0, 9))
def test_no_patient_is_ever_in_two_parts(pairs: list[tuple[str, str]], val: float, test: float, seed: int) -> None:
    rows = listed(pairs)
    made = splits.assign(rows, val, test, seed)
    assert made.keys() == {row.id for row in rows}
    assert all(len(parts) == 1 for parts in parts_of_patients(rows, dict(made)).values())


@given(pairs=PATIENTS, k=st.integers(2, 6), seed=st.integers(0, 9))
def test_no_patient_is_ever_in_two_folds_and_no_fold_is_empty(pairs: list[tuple[str, str]], k: int, seed: int) -> None:
    rows = listed(pairs)
    patients = {row.patient for row in rows}
    if len(patients) < k:
        with pytest.raises(ValueError, match=f"{k} folds of {len(patients)} patients"):
            splits.folds(rows, k, seed)
        return
    made = splits.folds(rows, k, seed)
    assert made.keys() == {row.id for row in rows}
    assert set(made.values()) == set(range(k))
    assert all(len(parts) == 1 for parts in parts_of_patients(rows, dict(made)).values())


@given(pairs=PATIENTS, seed=st.integers(0, 9))
def test_the_order_of_the_rows_changes_nothing_but_a_seed_does_not_repeat_itself_by_chance(
    pairs: list[tuple[str, str]], seed: int
) -> None:
    stratum = dict(pairs)
    rows = [SplitRow(row.id, row.patient, stratum[row.patient]) for row in listed(pairs)]
    assert splits.assign(rows, 0.2, 0.2, seed) == splits.assign(rows[::-1], 0.2, 0.2, seed)
    assert splits.assign(rows, 0.2, 0.2, seed) == splits.assign(rows, 0.2, 0.2, seed)


def test_each_part_holds_its_share_of_each_stratum() -> None:
    rows = [SplitRow(f"i{n}", f"p{n}", "rare" if n % 10 == 0 else "frequent") for n in range(1000)]
    made = splits.assign(rows, 0.15, 0.20)
    for stratum, size in (("rare", 100), ("frequent", 900)):
        counts = Counter(made[row.id] for row in rows if row.stratum == stratum)
        assert counts == {"val": round(0.15 * size), "test": round(0.2 * size), "train": size - round(0.35 * size)}


def test_folds_are_equal_in_every_stratum_though_patients_have_many_images() -> None:
    rows = [
        SplitRow(f"i{patient}-{image}", f"p{patient}", "rare" if patient % 10 == 0 else "frequent")
        for patient in range(200)
        for image in range(1 + patient % 4)
    ]
    made = splits.folds(rows, 5)
    for stratum in ("rare", "frequent"):
        counts = Counter(made[row.id] for row in rows if row.stratum == stratum)
        assert max(counts.values()) - min(counts.values()) <= 4  # the images of one patient
    assert splits.folds(rows, 5, seed=1) != made


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (0.9, 0.2), (-0.1, 0.2)])
def test_parts_that_leave_nothing_are_refused(val: float, test: float) -> None:
    with pytest.raises(ValueError, match="leave nothing to train on"):
        splits.assign([SplitRow("i", "p")], val, test)


def picture() -> Radiograph:
    raise AssertionError("a split reads no image")


def data_set(count: int = 100) -> DataSet:
    records = [
        Record(f"i{n}", f"p{n // 2}", Path("x"), picture, {"mass": float(n % 10 == 1)}, view="PA" if n % 4 else "AP")
        for n in range(count)
    ]
    return DataSet("made", "none", "none", tuple(records))


def test_a_patient_counts_as_positive_with_any_positive_image() -> None:
    rows = splits.rows_of(data_set(), ("mass",))
    assert {row.stratum for row in rows if row.patient == "p0"} == {"mass=1"}  # i1 is, i0 is not
    assert Counter(row.stratum for row in rows) == {"mass=0": 80, "mass=1": 20}


def test_strata_of_a_handful_are_joined() -> None:
    rows = splits.rows_of(data_set(30), ("mass", "view"))
    assert {row.stratum for row in rows} == {"rare"}
    assert len({row.stratum for row in splits.rows_of(data_set(400), ("mass", "view"))}) == 4


def test_a_stratum_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="made has no weight; it has mass, view, sex, site"):
        splits.rows_of(data_set(), ("mass", "weight"))


def test_a_written_split_is_read_again_and_never_changed(tmp_path: Path) -> None:
    rows = splits.rows_of(data_set())
    made = splits.assign(rows, 0.15, 0.2)
    splits.write_rows(rows, made, tmp_path / "made.csv")
    assert splits.parts(tmp_path / "made.csv") == made
    assert splits.read("made", "val", tmp_path) == tuple(row.id for row in rows if made[row.id] == "val")
    assert splits.patients("made", tmp_path) == {row.id: row.patient for row in rows}
    before = (tmp_path / "made.csv").read_bytes()
    with pytest.raises(FileExistsError):
        splits.write_rows(rows, splits.assign(rows, 0.3, 0.3), tmp_path / "made.csv")
    assert (tmp_path / "made.csv").read_bytes() == before


def test_the_committed_files_are_well_formed() -> None:
    for path in sorted(splits.FOLDER.glob("*.csv")):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len({row["id"] for row in rows}) == len(rows)
        assert {row["split"] for row in rows} == set(splits.SPLITS)
