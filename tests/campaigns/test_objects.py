"""The short form of the campaign of mutated objects."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns import objects


def test_mutated_objects_are_judged_or_quarantined(tmp_path: Path):
    found = objects.campaign(400, 1, tmp_path, work=objects.through_intake)
    assert found.findings == []
    assert found.growth["descriptors"] == found.growth["files"] == 0


def test_a_study_with_a_mutated_object_is_answered(tmp_path: Path):
    for name in ("objects", "bundles", "good"):
        (tmp_path / name).mkdir()
    networks = objects.small_networks(tmp_path / "bundles")
    work = objects.pipeline_of(networks, objects.good_image(tmp_path / "good" / "good.dcm"))
    found = objects.campaign(12, 1, tmp_path / "objects", work=work)
    assert found.findings == []
