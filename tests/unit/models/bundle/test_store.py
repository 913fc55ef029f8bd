"""Bundles: what is altered, incomplete or unknown is refused; what is shipped verifies."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.bundle import store
from models.bundle.manifest import Calibration, Coded, IntendedUse, Label, Manifest, OperatingPoint
from models.errors import BundleRefused
from models.image.inputs import InputSpec
from models.values import codes


def manifest(name: str = "example", version: str = "1.2.3") -> Manifest:
    """Make a small classification manifest."""
    return Manifest(
        name=name,
        version=version,
        task="classification",
        architecture="mobilenet_v2",
        input=InputSpec(size=64),
        labels=(Label(name="pneumonia", code=Coded.of(codes.PNEUMONIA)),),
        operating_points=(OperatingPoint(label="pneumonia", threshold=0.4, rule="a rule"),),
        calibration=Calibration(temperature=1.0, method="none"),
        training_data=(),
        licence="none",
        non_commercial=False,
        evaluation=(),
        intended_use=IntendedUse(
            statement="Research use only.",
            age_years_from=1,
            age_years_below=6,
            age_unknown_allowed=False,
            views=("PA", "AP"),
        ),
        files={},
    )


def written(root: Path, name: str = "example", version: str = "1.2.3") -> Path:
    """Write a complete bundle whose weights are no weights."""
    folder = root / f"{name}-{version}"
    (folder / "evaluation").mkdir(parents=True)
    (folder / store.WEIGHTS).write_bytes(b"weights")
    (folder / store.CARD).write_text("# card\n")
    (folder / "evaluation" / "report.json").write_text("{}\n")
    store.write_manifest(folder, manifest(name, version))
    return folder


def test_a_bundle_loads_by_its_digest(tmp_path: Path) -> None:
    folder = written(tmp_path)
    found = store.load(folder)
    assert store.load(folder, found.digest) == found
    assert found.identity.digest == store.file_digest(folder / store.MANIFEST)
    assert (found.identity.name, found.identity.version) == ("example", "1.2.3")


def test_another_digest_than_the_expected_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="was expected"):
        store.load(written(tmp_path), "0" * 64)


@pytest.mark.parametrize("name", [store.WEIGHTS, store.CARD, "evaluation/report.json"])
def test_an_altered_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(BundleRefused, match="not the file"):
        store.load(folder)


@pytest.mark.parametrize("name", [store.WEIGHTS, store.MANIFEST, "evaluation/report.json"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path)
    (folder / name).unlink()
    with pytest.raises(BundleRefused):
        store.load(folder)


def test_a_file_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "extra.py").write_text("")
    with pytest.raises(BundleRefused, match="does not list"):
        store.load(folder)


def test_a_link_out_of_the_bundle_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "evaluation" / "link").symlink_to("/etc/hostname")
    with pytest.raises(BundleRefused, match="link"):
        store.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"version": "latest"},
        {"name": "../elsewhere"},
        {"labels": []},
        {"format": "hilum-bundle-2"},
        {"files": {}},
    ],
)
def test_a_manifest_of_an_unknown_form_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    folder = written(tmp_path)
    content = json.loads((folder / store.MANIFEST).read_text())
    (folder / store.MANIFEST).write_text(json.dumps(content | change))
    with pytest.raises(BundleRefused):
        store.load(folder)


def test_a_manifest_that_is_no_json_or_too_large_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / store.MANIFEST).write_bytes(b"\xff\x00")
    with pytest.raises(BundleRefused):
        store.load(folder)
    (folder / store.MANIFEST).write_bytes(b" " * (store.MAX_MANIFEST_BYTES + 1))
    with pytest.raises(BundleRefused, match="larger"):
        store.load(folder)


def test_research_use_cannot_be_turned_off(tmp_path: Path) -> None:
    folder = written(tmp_path)
    content = json.loads((folder / store.MANIFEST).read_text())
    content["intended_use"]["research_use_only"] = False
    (folder / store.MANIFEST).write_text(json.dumps(content))
    with pytest.raises(BundleRefused, match="research_use_only"):
        store.load(folder)


def test_a_threshold_may_say_in_which_range_it_is_uncertain(tmp_path: Path) -> None:
    folder = written(tmp_path)
    content = json.loads((folder / store.MANIFEST).read_text())
    content["operating_points"][0]["doubt"] = [0.3, 0.4]
    (folder / store.MANIFEST).write_text(json.dumps(content))
    assert store.load(folder).manifest.operating_point("pneumonia").doubt == (0.3, 0.4)
    del content["operating_points"][0]["doubt"]
    (folder / store.MANIFEST).write_text(json.dumps(content))
    assert store.load(folder).manifest.operating_point("pneumonia").doubt is None


@pytest.mark.parametrize("doubt", [[0.41, 0.5], [0.3, 0.39], [-0.1, 0.5], [0.3, 1.1], [0.5, 0.3], [0.4], "wide"])
def test_a_range_that_does_not_hold_the_threshold_is_refused(tmp_path: Path, doubt: object) -> None:
    folder = written(tmp_path)
    content = json.loads((folder / store.MANIFEST).read_text())
    content["operating_points"][0]["doubt"] = doubt
    (folder / store.MANIFEST).write_text(json.dumps(content))
    with pytest.raises(BundleRefused, match="doubt"):
        store.load(folder)


def test_find_sorts_by_name_and_gives_nothing_for_nothing(tmp_path: Path) -> None:
    assert store.find(tmp_path) == ()
    written(tmp_path, "zebra")
    written(tmp_path, "aardvark")
    assert [found.manifest.name for found in store.find(tmp_path)] == ["aardvark", "zebra"]


def test_versions_are_sorted_as_numbers(tmp_path: Path) -> None:
    for version in ("1.10.0", "1.9.0", "1.9.12"):
        written(tmp_path, version=version)
    assert [one.manifest.version for one in store.find(tmp_path)] == ["1.9.0", "1.9.12", "1.10.0"]


def test_a_bundle_is_found_by_its_name_where_it_is_there_once(tmp_path: Path) -> None:
    written(tmp_path, version="1.9.0")
    assert store.named(tmp_path, "example").manifest.version == "1.9.0"
    with pytest.raises(BundleRefused, match=r"no bundle named other in .*; there are: example"):
        store.named(tmp_path, "other")
    written(tmp_path, version="1.10.0")
    with pytest.raises(BundleRefused, match=r"2 versions of bundle example .*1\.9\.0, 1\.10\.0.*keep the one"):
        store.named(tmp_path, "example")


def test_an_unknown_label_has_no_threshold() -> None:
    with pytest.raises(BundleRefused, match="no threshold"):
        manifest().operating_point("fracture")


def test_listing_bundles_loads_no_torch() -> None:
    code = "import sys, models.bundle.store as b; b.find(b.shipped()); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_shipped_bundles_verify_and_stay_small() -> None:
    found = store.find(store.shipped())
    assert {one.manifest.name for one in found} >= {"lungs-heart", "paediatric-pneumonia"}
    for one in found:
        assert one.path.name == f"{one.manifest.name}-{one.manifest.version}"
        assert one.weights.stat().st_size < 20e6
        assert "not for clinical use" in (one.path / store.CARD).read_text()


def test_shipped_classifiers_say_where_their_thresholds_are_uncertain() -> None:
    classifiers = [one for one in store.find(store.shipped()) if one.manifest.task == "classification"]
    assert len(classifiers) == 4
    for found in classifiers:
        for point in found.manifest.operating_points:
            chosen_by_data = not point.rule.startswith("fixed")
            assert (point.doubt is not None) == (point.doubt_rule is not None) == chosen_by_data
        (label,) = found.manifest.labels
        decides = found.manifest.operating_point(label.name)
        assert decides.doubt_rule is not None
        assert decides.doubt_rule in (found.path / store.CARD).read_text()


def test_a_manifest_may_state_its_intended_use_in_other_languages_and_need_not(tmp_path: Path) -> None:
    folder = written(tmp_path)
    content = json.loads((folder / store.MANIFEST).read_text(encoding="utf-8"))
    content["intended_use"]["translations"] = {"de": "Nur für Forschungszwecke."}
    (folder / store.MANIFEST).write_text(json.dumps(content), encoding="utf-8")
    assert store.load(folder).manifest.intended_use.translations == {"de": "Nur für Forschungszwecke."}
    for shipped in store.find(store.shipped()):
        text = (shipped.path / store.MANIFEST).read_bytes()
        assert b"translations" not in text and shipped.manifest.intended_use.translations == {}
        assert shipped.digest == hashlib.sha256(text).hexdigest()
