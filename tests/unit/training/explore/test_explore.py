"""The report on a data set: planted duplicates, leaks and broken files are found, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from models.image.pixels import from_array
from training.data import duplicates, sources
from training.explore import command, leaks, report
from training.explore.summary import DataSetFindings, summary
from training.explore.survey import look

PATIENTS = 14


def chest(seed: int, edge: int = 256) -> np.ndarray:
    """A picture with two dark fields, ribs and fine structure; like any other in its coarse form."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:edge, 0:edge] / edge
    dark = np.zeros((edge, edge))
    for centre in (0.3, 0.7):
        place, wide = centre + rng.normal(0, 0.01), 0.15 + rng.normal(0, 0.01)
        dark += np.exp(-(((x - place) / wide) ** 4) - ((y - 0.5) / 0.33) ** 4)
    ribs = 0.06 * np.sin(2 * np.pi * (9 + rng.normal(0, 0.4)) * (y + 0.25 * (x - 0.5) ** 2) + rng.uniform(0, 6))
    texture = cv2.GaussianBlur(rng.normal(0, 1, (edge, edge)), (0, 0), 3)
    picture = 0.75 - 0.5 * dark + ribs * dark + 0.08 * texture / texture.std()
    return np.clip(picture * 255, 0, 255).astype(np.uint8)


def encoded_again(picture: np.ndarray) -> np.ndarray:
    written, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])
    assert written
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


def cropped(picture: np.ndarray, part: float = 0.03) -> np.ndarray:
    cut = round(part * len(picture))
    return picture[cut:-cut, cut // 2 : -cut]


def brightened(picture: np.ndarray) -> np.ndarray:
    return np.clip(255 * (picture / 255.0) ** 0.8 + 10, 0, 255).astype(np.uint8)


CHANGES = {"encoded": encoded_again, "cropped": cropped, "brightened": brightened}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NIH's layout of DATA.md: 14 patients with 2 images each, and what is planted."""
    pictures = {f"p{n:02d}_{k}": chest(10 * n + k) for n in range(PATIENTS) for k in range(2)}
    pictures["p00_same"] = pictures["p00_0"]  # exact, same patient
    pictures["p90_other"] = pictures["p01_0"]  # exact, under another patient
    pictures["p02_jpeg"] = encoded_again(pictures["p02_0"])
    pictures["p03_crop"] = cropped(pictures["p03_0"])
    pictures["p91_bright"] = brightened(pictures["p04_0"])
    place = tmp_path_factory.mktemp("data")
    root = place / "nih"
    (root / "images").mkdir(parents=True)
    header = (
        "id,patient,findings,view,age,sex,follow_up,siim_positive,pneumothorax_mask,rsna_class,"
        "rsna_boxes_xywh_1024,nih_boxes_xywh_1024,google_pneumothorax,source_form,source_under_512\n"
    )
    lines = []
    for name, picture in pictures.items():
        # Lossless under this suffix: what reads it goes by the content.
        Image.fromarray(picture).save(root / "images" / f"{name}.jpg", format="PNG")
        finding = "Mass" if name.endswith(("_1", "_other")) else "No Finding"
        lines.append(f"{name},{name[:3]},{finding},PA,50,F,0,,0,,,,,png,0\n")
    Image.fromarray(chest(999)).save(root / "images" / "p80_cut.jpg", format="PNG")
    whole = (root / "images" / "p80_cut.jpg").read_bytes()
    (root / "images" / "p80_cut.jpg").write_bytes(whole[: len(whole) // 2])
    lines.append("p80_cut,p80,Mass,AP,,M,0,,0,,,,,png,0\n")
    lines.append("p81_gone,p81,Mass,AP,44,M,0,,0,,,,,png,0\n")
    (root / "table.csv").write_text(header + "".join(lines))
    return place


def split_file(path: Path, folder: Path) -> Path:
    """By patient but for p05; so the leaks of p90 and p91 are those of images."""
    ids = [line.split(",")[0] for line in (folder / "nih" / "table.csv").read_text().splitlines()[1:]]
    test = {one for one in ids if one[:3] in ("p90", "p91", "p06", "p07")} | {"p05_1"}
    lines = [f"{one},{one[:3]},{'test' if one in test else 'train'}\n" for one in ids if one != "p08_0"]
    path.write_text("id,patient,split\n" + "".join(lines) + "elsewhere,p99,train\n")
    return path


@pytest.fixture(scope="module")
def found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> DataSetFindings:
    split = split_file(tmp_path_factory.mktemp("split") / "split.csv", folder)
    return report.examine(sources.read("nih", folder), split=split)


def test_exactly_the_planted_duplicates_are_found(found: DataSetFindings) -> None:
    assert found.exact == (("p00_0", "p00_same"), ("p01_0", "p90_other"))
    near = {(pair.first, pair.second): pair for pair in found.twins if pair.similarity < 1}
    assert set(near) == {("p02_0", "p02_jpeg"), ("p03_0", "p03_crop"), ("p04_0", "p91_bright")}
    assert {pair for pair in near if not near[pair].same_patient} == {("p04_0", "p91_bright")}


def test_duplicates_with_different_labels_are_told(found: DataSetFindings) -> None:
    assert [(pair.first, pair.second) for pair in found.twins if not pair.same_labels] == [("p01_0", "p90_other")]


def test_exactly_the_planted_leaks_are_found(found: DataSetFindings) -> None:
    assert found.leaks is not None
    assert found.leaks.patients == {"p05": ("test", "train")}
    assert [(pair.first, pair.second) for pair in found.leaks.images] == [
        ("p01_0", "p90_other"),
        ("p04_0", "p91_bright"),
    ]
    assert found.leaks.unassigned == ("p08_0",)
    assert "elsewhere" in found.leaks.absent


def test_exactly_the_broken_files_are_found(found: DataSetFindings) -> None:
    assert {(problem.kind, Path(problem.where).name) for problem in found.problems} == {
        ("unreadable", "p80_cut.jpg"),
        ("missing", "p81_gone.jpg"),
    }


def test_a_clean_set_has_nothing_to_tell(tmp_path: Path) -> None:
    path = tmp_path / "chest_xray"
    for part in ("train/NORMAL", "train/PNEUMONIA", "val/NORMAL", "val/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA"):
        (path / part).mkdir(parents=True)
    for n in range(12):
        name = f"NORMAL/IM-{n:04d}-0001" if n % 2 else f"PNEUMONIA/person{n}_virus_{n}"
        Image.fromarray(chest(n)).save(path / "train" / f"{name}.jpeg", quality=95)
    clean = report.examine(sources.read("kermany", tmp_path))
    assert (clean.problems, clean.exact, clean.twins, clean.leaks) == ((), (), (), None)
    assert len(clean.sights) == 12


def test_the_page_stands_alone_and_shows_no_image_of_the_test_split(found: DataSetFindings, tmp_path: Path) -> None:
    report.write(found, tmp_path / "out" / "report.html")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "http" not in page.replace("https://nihcc.app.box.com/v/ChestXray-NIHCC", "")
    assert "<script" not in page
    assert page.count("data:image/jpeg;base64,") > 10
    for said in ("mass", "p80_cut", "near duplicate", "Patients in more than one part: 1", "two patients"):
        assert said in page
    samples_shown = page[page.index("<h2>Samples") : page.index("<h2>Problems")]
    assert "p02_" in samples_shown
    assert not any(name in samples_shown for name in ("p90_", "p91_", "p06_", "p07_", "p05_1"))


def test_the_json_says_what_the_page_says(found: DataSetFindings, tmp_path: Path) -> None:
    report.write(found, tmp_path / "report.html")
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts == json.loads(json.dumps(summary(found)))
    assert facts["records"] == 2 * PATIENTS + 6
    assert facts["readable"] == 2 * PATIENTS + 5
    assert facts["labels"]["mass"]["all"]["positive"] == PATIENTS + 2
    assert facts["labels"]["mass"]["test"]["positive"] == 4
    assert facts["exact_duplicates"] == [["p00_0", "p00_same"], ["p01_0", "p90_other"]]
    assert facts["leaks"]["patients"] == {"p05": ["test", "train"]}
    assert facts["sizes"]["256 x 256"] == 2 * PATIENTS + 4
    assert facts["ages"] == {"40 to 59": 2 * PATIENTS + 5, "unknown": 1}


def test_names_from_files_cannot_write_the_page(found: DataSetFindings) -> None:
    from training.explore.page import page

    facts = summary(found) | {"notes": ["<script>alert(1)</script>"]}
    assert "<script>" not in page(found, facts)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_copy_is_told_from_other_images(change: object) -> None:
    pictures = [chest(n) for n in range(8)]
    prints = [duplicates.fingerprint(from_array(np.ascontiguousarray(one))) for one in (*pictures, change(pictures[3]))]
    (pair,) = duplicates.near(prints).pairs
    assert (pair.first, pair.second) == (3, 8)


def test_few_or_flat_images_have_no_near_duplicates() -> None:
    flat = [duplicates.fingerprint(from_array(np.full((40, 40), grey, np.uint8))) for grey in (9, 90, 200)]
    assert duplicates.near(flat).pairs == ()
    assert duplicates.near(flat[:1]).pairs == ()
    assert duplicates.near([]).pairs == ()


def test_too_many_candidates_lower_the_bound() -> None:
    pictures = [chest(n) for n in range(8)]
    copies = (encoded_again(pictures[3]), np.ascontiguousarray(cropped(pictures[5])))
    prints = [duplicates.fingerprint(from_array(one)) for one in (*pictures, *copies)]
    assert [(pair.first, pair.second) for pair in duplicates.near(prints).pairs] == [(3, 8), (5, 9)]
    bounded = duplicates.near(prints, limit=1)
    assert bounded.compared == 1
    assert bounded.bits < duplicates.BITS
    assert [(pair.first, pair.second) for pair in bounded.pairs] == [(3, 8)]


def test_an_image_of_nearly_one_grey_is_told(tmp_path: Path) -> None:
    root = tmp_path / "chest_xray" / "train"
    (root / "PNEUMONIA").mkdir(parents=True)
    (root / "NORMAL").mkdir()
    Image.fromarray(chest(1)).save(root / "NORMAL" / "IM-0001-0001.png")
    Image.fromarray(239 + chest(2) // 17).save(root / "NORMAL" / "IM-0002-0001.png")
    sights, problems = look(sources.read("kermany", tmp_path))
    assert len(sights) == 2
    assert [(problem.kind, Path(problem.where).name) for problem in problems] == [("contrast", "IM-0002-0001.png")]


def test_three_copies_in_three_parts_leak() -> None:
    pairs = [leaks.Twins("a", "b", 1, True, True), leaks.Twins("a", "c", 1, True, True)]
    told = leaks.leaks({"a": "p", "b": "p", "c": "p"}, {"a": "train", "b": "train", "c": "val"}, pairs)
    assert [(pair.first, pair.second) for pair in told.images] == [("a", "c")]
    assert told.patients == {"p": ("train", "val")}


def test_a_volume_is_looked_at_by_its_middle_slice(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,rows,columns,slices\na,64,64,5\nb,64,64,5\n")
    for seed, name in enumerate("ab"):
        image = np.stack([chest(10 * seed + n, 64) for n in range(5)], axis=-1)
        np.savez(tmp_path / f"{name}.npz", image=image, label=image > 200)
    sights, problems = look(sources.read("atrium", tmp_path))
    assert [sight.shape for sight in sights] == [(64, 64)] * 2
    assert problems == []


app = typer.Typer()
app.command()(command.explore)
app.command()(command.split)


def test_explore_runs_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    split = split_file(tmp_path / "split.csv", folder)
    ran = CliRunner().invoke(app, ["explore", "nih", "--data", str(folder), "--out", str(out), "--split", str(split)])
    assert ran.exit_code == 0, ran.output
    assert "34 images of 17 patients, 2 problems, 2 groups of exact and 3 pairs of near duplicates" in ran.output
    assert "1 patients and 2 pairs of images leak" in ran.output
    assert out.exists()
    assert out.with_suffix(".json").exists()


def test_the_command_line_knows_every_source() -> None:
    assert set(get_args(command.Name)) == set(sources.SOURCES)


def test_a_folder_of_another_set_is_refused_in_words(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["explore", "rsna", "--data", str(tmp_path), "--out", str(tmp_path / "r.html")])
    assert ran.exit_code == 2
    assert "stage_2_train_labels" in ran.output
    assert "Traceback" not in ran.output


def test_split_writes_a_list_that_explore_finds_clean(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "splits" / "mine.csv"
    given = ["split", "nih", "--data", str(folder), "--out", str(out), "--by", "mass,view"]
    ran = CliRunner().invoke(app, given)
    assert ran.exit_code == 0, ran.output
    assert "train: " in ran.output
    found = report.examine(sources.read("nih", folder), split=out, near=False)
    assert found.leaks is not None
    assert (found.leaks.patients, found.leaks.unassigned, found.leaks.absent) == ({}, (), ())
    again = CliRunner().invoke(app, given)
    assert again.exit_code == 2
    assert "exists" in again.output


def test_split_makes_folds_beside_the_test_part(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "folds.csv"
    ran = CliRunner().invoke(app, ["split", "nih", "--data", str(folder), "--out", str(out), "--folds", "3"])
    assert ran.exit_code == 0, ran.output
    from training.data import splits

    assert set(splits.parts(out).values()) == {"fold-0", "fold-1", "fold-2", "test"}
    refused = CliRunner().invoke(
        app, ["split", "nih", "--data", str(folder), "--out", str(tmp_path / "x"), "--val", "0.9"]
    )
    assert refused.exit_code == 2
    assert "leave nothing to train" in refused.output
