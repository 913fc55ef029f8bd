"""`hilum bundles`: the table, the card, and everything as JSON; `analyse --heat-maps`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner

from models import phantom
from models.bundle import store
from models.bundle.manifest import Figure
from models.values import codes
from node.errors import Misconfigured
from node.settings import AnalysisSettings, Rule
from tests.support.data import tiny_bundles
from workers.cli import app
from workers.commands import catalogue
from workers.pipelines.networks import Networks


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundles: the shipped segmenter, a classifier, its outline, another classifier, and a stranger."""
    folder = tmp_path_factory.mktemp("bundles")
    tiny_bundles.segmenter(folder)
    tiny_bundles.classifier(folder, "pneumothorax", {"pneumothorax": 0.8}, architecture="locating-mobilenet_v2")
    tiny_bundles.classifier(folder, "atelectasis", {"atelectasis": 0.1}, concepts=[codes.ATELECTASIS])
    tiny_bundles.lesion_segmenter(folder, "pneumothorax-segmentation", 0.9, gated_by="pneumothorax")
    tiny_bundles.other(folder, "atrium-3d", "volume-segmentation")
    return folder


def hilum(root: Path, folder: Path, *arguments: str, columns: int = 200, **analysis: object) -> str:
    """Run the command line with these bundles; return what it printed."""
    config = folder / "hilum.yaml"
    config.write_text(yaml.safe_dump({"home": str(folder / "home"), "analysis": {"bundles": str(root), **analysis}}))
    outcome = CliRunner().invoke(app, ["--config", str(config), *arguments], env={"COLUMNS": str(columns)})
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_the_table_says_what_a_reader_asks_of_each_bundle(root: Path, tmp_path: Path) -> None:
    shown = hilum(root, tmp_path, "bundles")
    found = {bundle.manifest.name: bundle for bundle in store.find(root)}
    for name, bundle in found.items():
        assert name in shown
        assert bundle.digest[:12] in shown
        assert bundle.manifest.task in shown
    for words in (
        "Dice lungs 0.968",
        "AUC 0.900 [0.850 to 0.950]",
        "n = 12",
        "ages from 16 years",
        "views PA, AP",
        "pneumothorax 0.4",
        "0.6 on 1.00%, then 0.4",
        "only where pneumothorax finds it",
        "not in the chest pipeline",
        "not for commercial use",
        "terms of a test",
    ):
        assert words in shown, words
    assert "set by this site" not in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_names_and_digests_are_whole_on_a_narrow_terminal(root: Path, tmp_path: Path, columns: int) -> None:
    shown = hilum(root, tmp_path, "bundles", columns=columns)
    for bundle in store.find(root):
        assert bundle.manifest.name in shown
        assert bundle.digest[:12] in shown
    assert "…" not in shown


def test_the_table_shows_a_threshold_that_the_site_has_set(root: Path, tmp_path: Path) -> None:
    thresholds = {"pneumothorax": {"pneumothorax": 0.35}}
    shown = hilum(root, tmp_path, "bundles", columns=260, operating_points=thresholds)
    assert "threshold set by this site: pneumothorax 0.35" in shown
    before = next(one.digest for one in store.find(root) if one.manifest.name == "pneumothorax")
    assert f"shipped as {before[:12]}" in shown
    assert f"digest {before[:12]}" not in shown
    card = hilum(root, tmp_path, "bundles", "pneumothorax", operating_points=thresholds)
    assert "set by this site's configuration (manifest: 0.4, rule a rule)" in card


def test_json_holds_the_manifests_with_whole_digests(root: Path, tmp_path: Path) -> None:
    values = json.loads(
        hilum(root, tmp_path, "bundles", "--json", operating_points={"atelectasis": {"atelectasis": 0.2}})
    )
    by_name = {one["name"]: one for one in values}
    assert sorted(by_name) == [bundle.manifest.name for bundle in store.find(root)]
    for bundle in store.find(root):
        one = by_name[bundle.manifest.name]
        assert one["shipped_digest"] == bundle.digest
        assert (one["digest"] == bundle.digest) is (bundle.manifest.name != "atelectasis")
        assert one["manifest"]["labels"] == bundle.manifest.model_dump(mode="json")["labels"]
    assert by_name["atelectasis"]["thresholds"] == {"atelectasis": 0.2}
    assert by_name["atelectasis"]["thresholds_set_by_this_site"] is True
    assert by_name["atrium-3d"]["chest_pipeline"] is False


def test_the_registry_has_the_device_uids_that_results_carry(root: Path, tmp_path: Path) -> None:
    thresholds = {"atelectasis": {"atelectasis": 0.2}}
    phantom.write(tmp_path / "one.dcm", phantom.generate(9, rows=600, columns=501))
    out = tmp_path / "out"
    hilum(root, tmp_path, "analyse", str(tmp_path / "one.dcm"), "--out", str(out), operating_points=thresholds)
    for site, same in ((thresholds, True), ({}, False)):
        registry = json.loads(hilum(root, tmp_path, "bundles", "--json", operating_points=site))
        uids = {one["name"]: one["device_uids"].get(catalogue.UNASKED) for one in registry}
        assert uids["atrium-3d"] is None  # it makes no results of radiographs
        results = sorted(out.rglob("s*.dcm"))
        assert len(results) >= 2
        for path in results:
            ours = [i for i in dcmread(path).ContributingEquipmentSequence if "DeviceUID" in i]
            assert ours
            for item in ours:
                assert (uids[item.ManufacturerModelName] == item.DeviceUID) is same


def test_each_rule_with_bundles_of_its_own_has_device_uids_of_its_own(root: Path) -> None:
    networks = Networks(AnalysisSettings(bundles=root), "cpu")
    rules = [
        Rule(name="all"),
        Rule(name="one", bundles=["atelectasis"]),
        Rule(name="nothing", pipeline="none", bundles=["atelectasis"]),
        Rule(name="broken", bundles=["not there"]),
    ]
    uids = catalogue.device_uids(networks, rules)
    assert set(uids["atelectasis"]) == {catalogue.UNASKED, "one"}
    assert set(uids["pneumothorax"]) == {catalogue.UNASKED}
    assert len(set(uids["atelectasis"].values())) == 2


def test_a_card_is_printed_with_its_digest(root: Path, tmp_path: Path) -> None:
    shown = hilum(root, tmp_path, "bundles", "atelectasis")
    digest = next(one.digest for one in store.find(root) if one.manifest.name == "atelectasis")
    assert digest in shown
    assert "Not for clinical use." in shown


def test_an_unknown_bundle_and_an_unknown_label_are_clear_errors(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"no bundle named 'nothing' .* atelectasis"):
        hilum(root, tmp_path, "bundles", "nothing")
    with pytest.raises(Misconfigured, match="no threshold for a label 'nodule'"):
        hilum(root, tmp_path, "bundles", operating_points={"pneumothorax": {"nodule": 0.5}})


@pytest.mark.parametrize("command", [["work"], ["up"]])
def test_wrong_thresholds_stop_the_start(root: Path, tmp_path: Path, command: list[str]) -> None:
    wrong = {"pneumothorax": {"pneumothorax": "youden"}}
    with pytest.raises(Misconfigured, match="no operating point 'youden' for pneumothorax; there are: chosen, strict"):
        hilum(root, tmp_path, *command, operating_points=wrong)


def test_the_main_figure_of_a_disease_is_the_first_of_its_usual_name(root: Path) -> None:
    manifest = next(one.manifest for one in store.find(root) if one.manifest.name == "pneumothorax")
    figures = tuple(
        Figure(name=name, value=value, count=count, measured_on="a test split")
        for name, value, count in (("sensitivity", 0.9, 5), ("AUC", 0.93, 10), ("AUC", 0.97, 99))
    )
    assert catalogue.main_figures(manifest.model_copy(update={"evaluation": figures})) == figures[1:2]
    assert catalogue.main_figures(manifest.model_copy(update={"evaluation": figures[:1]})) == figures[:1]
    assert catalogue.main_figures(manifest.model_copy(update={"evaluation": ()})) == ()


@pytest.mark.parametrize(("options", "settings"), [(["--heat-maps"], {}), ([], {"heat_maps": True})])
def test_heat_maps_are_drawn_on_request(
    root: Path, tmp_path: Path, options: list[str], settings: dict[str, object]
) -> None:
    phantom.write(tmp_path / "one.dcm", phantom.generate(9, rows=600, columns=501))
    out = tmp_path / "out"
    shown = hilum(root, tmp_path, "analyse", str(tmp_path / "one.dcm"), "--out", str(out), *options, **settings)
    (study,) = out.iterdir()
    drawn = sorted(path.name for path in study.glob("heat-map-*"))
    assert drawn == ["heat-map-1-pneumothorax-pneumothorax.png"]
    assert drawn[0] in shown.replace("\n", "")
    with Image.open(study / drawn[0]) as picture:
        assert picture.info.get("Software") is None
        colours = picture.convert("RGB").getcolors(maxcolors=1 << 24)
    assert (
        sum(count for count, (red, green, blue) in colours if max(red, green, blue) - min(red, green, blue) > 40) > 5000
    )


def test_without_a_request_nothing_is_drawn_and_everything_else_is_there(root: Path, tmp_path: Path) -> None:
    phantom.write(tmp_path / "one.dcm", phantom.generate(9, rows=600, columns=501))
    out = tmp_path / "out"
    shown = hilum(root, tmp_path, "analyse", str(tmp_path / "one.dcm"), "--out", str(out))
    (study,) = out.iterdir()
    names = {path.name for path in study.iterdir()}
    assert "seg-1.dcm" in names
    others = {name for name in names if not name.startswith("seg-")}
    assert others == {"sr.dcm", "overlay-1.png", "summary.json"}
    (image,) = json.loads((study / "summary.json").read_text())["images"]
    assert {one["label"]: one["decision"] for one in image["findings"]} == {
        "Atelectasis": "absent",
        "Pneumothorax": "present",
    }
    assert [one["label"] for one in image["structures"]] == ["Right lung", "Left lung", "Heart", "Pneumothorax"]
    assert "present, bilateral" in shown
    assert "outlined, bilateral" in shown


def test_named_bundles_alone_are_run(root: Path, tmp_path: Path) -> None:
    phantom.write(tmp_path / "one.dcm", phantom.generate(9, rows=600, columns=501))
    out = tmp_path / "out"
    hilum(root, tmp_path, "analyse", str(tmp_path / "one.dcm"), "--out", str(out), "--bundle", "atelectasis")
    (study,) = out.iterdir()
    (image,) = json.loads((study / "summary.json").read_text())["images"]
    assert [one["label"] for one in image["findings"]] == ["Atelectasis"]
    with pytest.raises(Misconfigured, match="no bundle named nodules"):
        hilum(root, tmp_path, "analyse", str(tmp_path / "one.dcm"), "--out", str(out), "--bundle", "nodules")
