"""Which bundles a worker runs, and what it refuses."""

import shutil

import pytest

from models import bundle as bundles
from node.errors import Misconfigured
from node.settings import AnalysisSettings
from workers.runtime import Networks, configuration_digest


@pytest.fixture
def networks(tmp_path):
    for path in bundles.shipped().iterdir():
        if path.is_dir():
            shutil.copytree(path, tmp_path / path.name)
    return Networks(AnalysisSettings(bundles=tmp_path), "cpu")


def names(chosen):
    return [bundle.manifest.name for bundle in chosen]


def test_all_bundles_run_unless_a_rule_names_some(networks):
    assert names(networks.choose(None)) == ["lungs-heart", "paediatric-pneumonia"]
    assert names(networks.choose(["lungs-heart"])) == ["lungs-heart"]


def test_the_bundle_that_the_gate_looks_through_always_runs(networks):
    assert names(networks.choose(["paediatric-pneumonia"])) == ["lungs-heart", "paediatric-pneumonia"]


def test_an_unknown_name_is_answered_with_those_that_are_there(networks):
    with pytest.raises(Misconfigured, match=r"no bundle named nodules .* lungs-heart, paediatric-pneumonia"):
        networks.choose(["nodules"])


def test_of_two_versions_none_is_guessed(networks, tmp_path):
    (found, *_) = networks.choose(["lungs-heart"])
    shutil.copytree(found.path, tmp_path / "lungs-heart-again")
    with pytest.raises(Misconfigured, match="two versions"):
        networks.choose(None)


def test_the_configuration_digest_follows_bundles_and_arithmetic(networks):
    chosen = networks.choose(None)
    digests = {
        configuration_digest(AnalysisSettings(dtype=dtype), some)
        for dtype in ("float32", "bfloat16")
        for some in (chosen, chosen[:1])
    }
    assert len(digests) == 4
    assert configuration_digest(networks.settings, chosen) == configuration_digest(networks.settings, chosen)
