"""What a newcomer does first: the demo, and analysis of files without a PACS."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner

from models import phantom
from workers.cli import app
from workers.results.readback import findings_of_segs


def hilum(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", *arguments], check=False, capture_output=True, text=True, timeout=280
    )


def test_the_demo_ends_with_a_seg_and_an_sr_in_the_pacs(tmp_path):
    out = tmp_path / "out"
    outcome = hilum("demo", "--out", str(out))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    for word in ("cardiothoracic ratio", "right", "probability", "threshold", "delivery", "open with"):
        assert word in outcome.stdout.lower(), word
    study = out / "study"
    source, seg, sr = (dcmread(study / f"{name}.dcm") for name in ("source", "seg", "sr"))
    assert source.StudyInstanceUID == seg.StudyInstanceUID == sr.StudyInstanceUID
    assert "job.done" in (study / "audit.txt").read_text()
    with Image.open(study / "overlay.png") as picture:
        assert min(picture.size) > 400


def test_the_demo_takes_a_folder_of_ones_own_and_says_when_no_seg_came_back(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    ds = phantom.dataset(phantom.generate(5, rows=400, columns=350))
    ds.BodyPartExamined, ds.AnatomicRegionSequence = "HAND", None
    ds.save_as(folder / "hand.dcm", enforce_file_format=True)
    (folder / "readme.txt").write_text("no DICOM")
    out = tmp_path / "out"
    outcome = hilum("demo", "--out", str(out), str(folder))
    assert outcome.returncode == 1
    assert "left out" in outcome.stdout
    assert "no SEG" in outcome.stdout
    assert (out / "study" / "sr.dcm").exists()


def test_the_demo_does_not_overwrite_a_folder_that_is_not_its_own(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    outcome = hilum("demo", "--out", str(tmp_path))
    assert outcome.returncode == 2
    assert "choose another folder" in outcome.stderr
    assert (tmp_path / "precious.txt").exists()


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("analyse")
    (folder / "in").mkdir()
    phantom.write(folder / "in" / "one.dcm", phantom.generate(9, rows=600, columns=504))
    outcome = CliRunner().invoke(app, ["analyse", str(folder / "in"), "--out", str(folder / "out")])
    assert outcome.exit_code == 0, outcome.output
    (study,) = (folder / "out").iterdir()
    return study, outcome.output


def test_analyse_writes_seg_sr_png_and_json(analysed):
    study, output = analysed
    assert {path.name for path in study.iterdir()} == {"seg-1.dcm", "sr.dcm", "overlay-1.png", "summary.json"}
    summary = json.loads((study / "summary.json").read_text())
    (image,) = summary["images"]
    ratio = next(m["value"] for m in image["measurements"] if "ratio" in m["label"].lower())
    assert 0.3 < ratio < 0.7
    assert f"{ratio:.2f}" in output
    seg = findings_of_segs([study / "seg-1.dcm"])
    heart = np.argwhere(next(segment.mask for segment in seg.segments if segment.label == "Heart"))
    (y0, x0), (y1, x1) = heart.min(axis=0), heart.max(axis=0) + 1
    assert image["heart_box"] == {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
    assert "Heart box" in output


def test_analyse_says_what_is_wrong_with_a_file_and_goes_on(tmp_path):
    (tmp_path / "broken.dcm").write_bytes(b"not DICOM at all")
    outcome = CliRunner().invoke(app, ["analyse", str(tmp_path), "--out", str(tmp_path / "out")])
    assert outcome.exit_code != 0
    assert "left out" in outcome.output
