"""Which bundles a worker runs, and what it refuses."""

import shutil

import pytest

from models.bundle import store
from node.errors import Misconfigured
from node.settings import AnalysisSettings, Rule
from tests.support.data import tiny_bundles
from workers.pipelines.chest.pipeline import PIPELINE as CHEST
from workers.pipelines.networks import Networks, configuration_digest


@pytest.fixture
def networks(tmp_path):
    for path in store.shipped().iterdir():
        if path.name.startswith(("lungs-heart-", "paediatric-pneumonia-")):
            shutil.copytree(path, tmp_path / path.name)
    return Networks(AnalysisSettings(bundles=tmp_path), "cpu")


def names(chosen):
    return [bundle.manifest.name for bundle in chosen]


def test_all_bundles_run_unless_a_rule_names_some(networks):
    assert names(networks.choose(CHEST, None)) == ["lungs-heart", "paediatric-pneumonia"]
    assert names(networks.choose(CHEST, ["lungs-heart"])) == ["lungs-heart"]


def test_the_bundle_that_the_gate_looks_through_always_runs(networks):
    assert names(networks.choose(CHEST, ["paediatric-pneumonia"])) == ["lungs-heart", "paediatric-pneumonia"]


def test_without_bundles_it_is_said_what_to_install(tmp_path):
    with pytest.raises(Misconfigured, match=f"no bundles in {tmp_path}: install the distribution hilum-bundles"):
        Networks(AnalysisSettings(bundles=tmp_path), "cpu").choose(CHEST, None)


def test_an_unknown_name_is_answered_with_those_that_are_there(networks):
    with pytest.raises(Misconfigured, match=r"no bundle named nodules .* lungs-heart, paediatric-pneumonia"):
        networks.choose(CHEST, ["nodules"])


def test_of_two_versions_none_is_guessed(networks, tmp_path):
    (found, *_) = networks.choose(CHEST, ["lungs-heart"])
    shutil.copytree(found.path, tmp_path / "lungs-heart-again")
    with pytest.raises(Misconfigured, match="two versions"):
        networks.choose(CHEST, None)


def test_the_configuration_digest_follows_bundles_and_arithmetic(networks):
    chosen = networks.choose(CHEST, None)
    digests = {configuration_digest(dtype, some) for dtype in ("float32", "bfloat16") for some in (chosen, chosen[:1])}
    assert len(digests) == 4
    assert configuration_digest(networks.settings.dtype, chosen) == configuration_digest(
        networks.settings.dtype, chosen
    )


def test_another_version_of_the_software_is_another_configuration(networks, monkeypatch):
    before = configuration_digest(networks.settings.dtype, networks.choose(CHEST, None))
    monkeypatch.setattr("workers.pipelines.networks.__version__", "9.9.9")
    assert configuration_digest(networks.settings.dtype, networks.choose(CHEST, None)) != before


def with_thresholds(networks, thresholds):
    """The same bundles under other settings."""
    return Networks(AnalysisSettings(bundles=networks.root, operating_points=thresholds), "cpu")


def by_name(chosen):
    return {bundle.manifest.name: bundle for bundle in chosen}


def test_a_sites_threshold_makes_another_algorithm_of_that_bundle_alone(networks):
    before = by_name(networks.choose(CHEST, None))
    mine = with_thresholds(networks, {"paediatric-pneumonia": {"pneumonia": 0.5}})
    after = by_name(mine.choose(CHEST, None))
    assert after["paediatric-pneumonia"].manifest.operating_point("pneumonia").threshold == 0.5
    assert after["paediatric-pneumonia"].identity.shipped_digest == before["paediatric-pneumonia"].digest
    assert after["paediatric-pneumonia"].digest != before["paediatric-pneumonia"].digest
    assert after["lungs-heart"] == before["lungs-heart"]


def test_the_configuration_digest_follows_a_sites_thresholds(networks):
    def digest(thresholds):
        mine = with_thresholds(networks, thresholds)
        return configuration_digest(mine.settings.dtype, mine.choose(CHEST, None))

    plain = configuration_digest(networks.settings.dtype, networks.choose(CHEST, None))
    assert digest({}) == digest({"paediatric-pneumonia": {}}) == plain
    changed = digest({"paediatric-pneumonia": {"pneumonia": 0.5}})
    assert changed == digest({"paediatric-pneumonia": {"pneumonia": 0.5}})
    assert len({plain, changed, digest({"paediatric-pneumonia": {"pneumonia": 0.25}})}) == 3


def test_the_shipped_digests_are_what_they_were_before_sites_could_set_thresholds(networks):
    chosen = by_name(networks.choose(CHEST, None))
    for bundle in chosen.values():
        assert bundle.identity.digest == store.file_digest(bundle.path / store.MANIFEST)
        assert bundle.identity.shipped_digest is None


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"pneumonia": {"pneumonia": 0.5}}, "no chest bundle named 'pneumonia' .* lungs-heart, paediatric-pneumonia"),
        ({"paediatric-pneumonia": {"covid": 0.5}}, "no threshold for a label 'covid'; there are: pneumonia"),
        ({"paediatric-pneumonia": {"pneumonia": "lisbon"}}, "no operating point 'lisbon' .* chosen"),
    ],
)
def test_thresholds_for_what_is_not_there_stop_the_start(networks, thresholds, message):
    wrong = with_thresholds(networks, thresholds)
    for use in (lambda: wrong.check([]), lambda: wrong.choose(CHEST, None), wrong.installed):
        with pytest.raises(Misconfigured, match=message):
            use()


def test_bundles_for_other_pictures_are_skipped_and_refused_by_name(networks, tmp_path):
    tiny_bundles.other(tmp_path, "atrium-3d", "volume-segmentation")
    tiny_bundles.other(tmp_path, "heart-box", "box")
    assert names(networks.choose(CHEST, None)) == ["lungs-heart", "paediatric-pneumonia"]
    assert names(networks.installed()) == ["atrium-3d", "heart-box", "lungs-heart", "paediatric-pneumonia"]
    with pytest.raises(Misconfigured, match="atrium-3d is for volume-segmentation"):
        networks.choose(CHEST, ["paediatric-pneumonia", "atrium-3d"])
    with pytest.raises(Misconfigured, match="no chest bundle named 'heart-box'"):
        with_thresholds(networks, {"heart-box": {"heart": 0.5}}).check([])


def test_rules_are_checked_at_the_start(networks):
    networks.check([Rule(name="all"), Rule(name="none", pipeline="none", bundles=["whatever"])])
    with pytest.raises(Misconfigured, match="no bundle named nodules"):
        networks.check([Rule(name="all"), Rule(name="nodules", bundles=["nodules"])])


def test_the_digest_of_other_bundles_does_not_matter_to_a_chest_radiograph(networks, tmp_path):
    before = configuration_digest(networks.settings.dtype, networks.choose(CHEST, None))
    tiny_bundles.other(tmp_path, "atrium-3d", "volume-segmentation")
    assert configuration_digest(networks.settings.dtype, networks.choose(CHEST, None)) == before


def test_a_bundle_that_is_asked_for_by_name_runs_only_where_a_rule_names_it(networks, tmp_path):
    tiny_bundles.classifier(tmp_path, "weak", {"pneumothorax": 0.5}, only_by_name=True)
    assert "weak" not in names(networks.choose(CHEST, None))
    assert names(networks.choose(CHEST, ["weak"])) == ["lungs-heart", "weak"]
    assert "weak" in names(networks.installed())
    with_thresholds(networks, {"weak": {"pneumothorax": 0.3}}).check([])
