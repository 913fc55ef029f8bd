"""Thresholds of a site: what they change, what they leave, and what is refused."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import pytest

from models.bundle import site, store
from models.bundle.manifest import CHOSEN
from models.bundle.store import Bundle
from tests.support.data import tiny_bundles


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundles.classifier(tmp_path_factory.mktemp("bundles"), "pneumothorax", {"pneumothorax": 0.5})


def test_without_thresholds_it_is_the_same_bundle(shipped: Bundle) -> None:
    assert site.configured(shipped, {}) is shipped
    assert shipped.identity.shipped_digest is None


def test_a_number_decides_and_says_who_set_it(shipped: Bundle) -> None:
    mine = site.configured(shipped, {"pneumothorax": 0.35})
    point = mine.manifest.operating_point("pneumothorax")
    assert point.threshold == 0.35
    assert point.rule == "set by this site's configuration (manifest: 0.4, rule a rule)"
    others = {one.name: one.threshold for one in mine.manifest.operating_points if one.name != CHOSEN}
    assert others == {"strict": 0.9}
    assert shipped.manifest.operating_point("pneumothorax").threshold == 0.4


def test_a_name_takes_that_operating_point_of_the_manifest(shipped: Bundle) -> None:
    point = site.configured(shipped, {"pneumothorax": "strict"}).manifest.operating_point("pneumothorax")
    assert (point.threshold, point.name) == (0.9, CHOSEN)
    assert "operating point 'strict', rule another rule (manifest: 0.4, rule a rule)" in point.rule


def test_a_name_takes_the_range_of_that_point_and_a_number_has_none(shipped: Bundle) -> None:
    ranges = {CHOSEN: (0.3, 0.5), "strict": (0.8, 0.95)}
    points = [one.model_copy(update={"doubt": ranges[one.name]}) for one in shipped.manifest.operating_points]
    bundle = replace(shipped, manifest=shipped.manifest.model_copy(update={"operating_points": tuple(points)}))
    given: tuple[float | str, ...] = (CHOSEN, "strict", 0.4)
    taken = [site.configured(bundle, {"pneumothorax": one}).manifest.operating_point("pneumothorax") for one in given]
    assert [one.doubt for one in taken] == [(0.3, 0.5), (0.8, 0.95), None]


def test_the_digest_is_that_of_bundle_and_canonical_json(shipped: Bundle) -> None:
    mine = site.configured(shipped, {"pneumothorax": 0.35})
    expected = hashlib.sha256((shipped.digest + '{"pneumothorax":0.35}').encode()).hexdigest()
    assert mine.digest == mine.identity.digest == expected
    assert mine.identity.shipped_digest == shipped.digest
    assert mine.identity.name == shipped.identity.name


def test_equal_thresholds_give_equal_digests_and_others_do_not() -> None:
    first = site.digest_of("ab", {"a": 0.25, "b": "youden"})
    assert site.digest_of("ab", {"b": "youden", "a": 0.25}) == first
    others = {site.digest_of("ab", {"a": 0.26, "b": "youden"}), site.digest_of("ac", {"a": 0.25, "b": "youden"})}
    assert first not in others
    assert len(others) == 2


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"nodule": 0.5}, "no threshold for a label 'nodule'; there are: pneumothorax"),
        ({"pneumothorax": "youden"}, "no operating point 'youden' for pneumothorax; there are: chosen, strict"),
        ({"pneumothorax": math.nan}, "number from 0 to 1"),
        ({"pneumothorax": 1.5}, "number from 0 to 1"),
        ({"pneumothorax": -math.inf}, "number from 0 to 1"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    shipped: Bundle, thresholds: dict[str, float | str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        site.configured(shipped, thresholds)


def test_the_limits_of_an_outline_are_not_set_by_one_threshold(tmp_path: Path) -> None:
    outliner = tiny_bundles.lesion_segmenter(tmp_path, "pneumothorax-segmentation", 0.5, gated_by="pneumothorax")
    with pytest.raises(ValueError, match="several limits"):
        site.configured(outliner, {"pneumothorax": 0.5})


def test_a_bundle_read_from_disk_knows_no_site(shipped: Bundle) -> None:
    assert store.load(shipped.path, shipped.digest) == shipped
