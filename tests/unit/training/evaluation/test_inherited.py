"""A later version takes the evaluation of an earlier one over only where it answers alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from models.bundle import store
from models.bundle.manifest import CHOSEN, Figure, Manifest, OperatingPoint
from models.bundle.store import Bundle, write_manifest
from tests.support.data import tiny_bundles
from training.evaluation import inherited

DOUBT = {"doubt": (0.3, 0.5), "doubt_rule": "found by hand"}
CARD = """# pneumothorax 1.0.0

**Research use only.**

## Thresholds and calibration

- of before

## Measured on the test split

Truth: by hand.

## Limits

- none known
"""
Change = Callable[[Manifest], Manifest]


def version_of(folder: Path, version: str, *, measured: bool, change: Change | None = None) -> Path:
    """Write a classifier as one version of `pneumothorax`."""
    folder.mkdir()
    made = tiny_bundles.classifier(folder, "pneumothorax", {"pneumothorax": 0.5})
    manifest = made.manifest.model_copy(update={"version": version})
    if measured:
        figure = Figure(name="AUC", value=0.9, count=7, measured_on="by hand")
        manifest = manifest.model_copy(update={"evaluation": (figure,)})
        (made.path / store.CARD).write_text(CARD)
        report = made.path / "evaluation" / "report.json"
        report.parent.mkdir(exist_ok=True)
        report.write_text(json.dumps({"bundle": {"name": "pneumothorax", "version": version}}))
    write_manifest(made.path, change(manifest) if change else manifest)
    return made.path


def chosen(manifest: Manifest, **update: object) -> Manifest:
    """Change the point that decides."""
    points = tuple(
        OperatingPoint.model_validate({**one.model_dump(), **update}) if one.name == CHOSEN else one
        for one in manifest.operating_points
    )
    return manifest.model_copy(update={"operating_points": points})


@pytest.fixture
def earlier(tmp_path: Path) -> Bundle:
    return store.load(version_of(tmp_path / "earlier", "1.0.0", measured=True))


def test_the_evaluation_is_taken_over_beside_the_ranges_of_the_export(tmp_path: Path, earlier: Bundle) -> None:
    nearly = {**DOUBT, "threshold": 0.4 + 1e-9}
    folder = version_of(tmp_path / "new", "1.0.1", measured=False, change=lambda one: chosen(one, **nearly))
    found = inherited.inherit(folder, earlier.path).manifest
    assert (found.version, found.evaluation) == ("1.0.1", earlier.manifest.evaluation)
    point = found.operating_point("pneumothorax")
    assert (point.threshold, point.doubt, point.doubt_rule) == (0.4, (0.3, 0.5), "found by hand")
    assert found.files["evaluation/report.json"] == earlier.manifest.files["evaluation/report.json"]
    assert found.files[store.WEIGHTS] == earlier.manifest.files[store.WEIGHTS]


def test_the_card_is_that_of_before_but_for_title_and_thresholds(tmp_path: Path, earlier: Bundle) -> None:
    folder = version_of(tmp_path / "new", "1.0.1", measured=False, change=lambda one: chosen(one, **DOUBT))
    inherited.inherit(folder, earlier.path)
    text = (folder / store.CARD).read_text()
    assert text.startswith("# pneumothorax 1.0.1\n\n**Research use only.**\n")
    assert "of before" not in text
    assert "- pneumothorax, chosen: 0.4 (a rule)\n" in text
    assert "pneumothorax: a probability from 0.3 to below 0.5 is called indeterminate" in text
    assert "Measured with version 1.0.0, whose weights" in text
    assert text.endswith("Truth: by hand.\n\n## Limits\n\n- none known\n")


def test_a_second_inheritance_still_names_the_version_that_was_measured(tmp_path: Path, earlier: Bundle) -> None:
    first, second = (version_of(tmp_path / number, f"1.0.{number}", measured=False) for number in "12")
    inherited.inherit(first, earlier.path)
    inherited.inherit(second, first)
    text = (second / store.CARD).read_text()
    assert text.startswith("# pneumothorax 1.0.2\n")
    assert text.count("Measured with version") == text.count("Measured with version 1.0.0,") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.model_copy(update={"licence": "another"}), "differs from 1.0.0 in licence"),
        (lambda one: chosen(one, threshold=0.41), "threshold chosen of pneumothorax differs"),
        (lambda one: chosen(one, rule="another rule"), "operating points of pneumothorax are not those"),
        (lambda one: one.model_copy(update={"version": "0.9.0"}), "0.9.0 is not later than 1.0.0"),
        (lambda one: one.model_copy(update={"version": "1.0.0"}), "1.0.0 is not later than 1.0.0"),
        (
            lambda one: one.model_copy(update={"calibration": one.calibration.model_copy(update={"temperature": 1.1})}),
            "differs from 1.0.0 in calibration",
        ),
    ],
)
def test_what_answers_otherwise_is_refused(tmp_path: Path, earlier: Bundle, change: Change, message: str) -> None:
    folder = version_of(tmp_path / "new", "1.0.1", measured=False, change=change)
    with pytest.raises(ValueError, match=message):
        inherited.inherit(folder, earlier.path)


def test_other_weights_are_refused(tmp_path: Path, earlier: Bundle) -> None:
    folder = version_of(tmp_path / "new", "1.0.1", measured=False)
    weights = folder / store.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    write_manifest(folder, Manifest.model_validate_json((folder / store.MANIFEST).read_bytes()))
    with pytest.raises(ValueError, match="other weights"):
        inherited.inherit(folder, earlier.path)
