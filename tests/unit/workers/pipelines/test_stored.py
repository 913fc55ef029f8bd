"""Findings that are kept: equal to the last bit when read again, and refused when they are not what they were."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.bundle.manifest import Coded, Label
from models.values import codes
from models.values.findings import (
    BundleIdentity,
    Edge,
    Finding,
    Gate,
    HeatMap,
    ImageFindings,
    NotComputed,
    NotComputedReason,
    Segment,
)
from models.volume.findings import VolumeFindings
from node.delivery.profiles import BUILT_IN, OHIF
from node.spool.findings import FindingsKey
from tests.support.data import sources
from tests.support.results import optional_results
from tests.support.results import result_requests as made
from workers.pipelines import stored
from workers.results.encode import encode
from workers.results.request import SeriesFindings
from workers.results.text.summary import summary

KEY = FindingsKey("chest", "12" * 32, "34" * 32)
BUNDLE = BundleIdentity("bundle", "1.0.0", "ab" * 32)
PROBABILITIES = st.floats(0, 1)
CODES = st.sampled_from([codes.PNEUMOTHORAX, codes.PNEUMONIA, codes.HEART, codes.LEFT])
MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))
FINDINGS = st.builds(
    Finding,
    label=st.text(max_size=12),
    code=CODES,
    probability=PROBABILITIES,
    threshold=PROBABILITIES,
    threshold_rule=st.text(max_size=20),
    bundle=st.just(BUNDLE),
    laterality=st.none() | CODES,
)
SEGMENTS = st.builds(
    Segment,
    label=st.text(max_size=12),
    property_type=CODES,
    property_category=CODES,
    laterality=st.none() | CODES,
    colour_rgb=st.tuples(*[st.integers(0, 255)] * 3),
    mask=MASKS,
    bundle=st.just(BUNDLE),
)
HEAT_MAPS = st.builds(
    HeatMap,
    label=st.text(max_size=12),
    bundle=st.just(BUNDLE),
    values=arrays.arrays(np.float32, (7, 5), elements=st.floats(0, 1, width=32)),
)
IMAGES = st.builds(
    ImageFindings,
    sop_instance_uid=st.just("1.2.3"),
    gate=st.builds(Gate, reason=st.none() | st.sampled_from(NotComputedReason), detail=st.text(max_size=20)),
    findings=st.lists(FINDINGS, max_size=3).map(tuple),
    segments=st.lists(SEGMENTS, max_size=3).map(tuple),
    not_computed=st.lists(
        st.builds(
            NotComputed,
            bundle=st.just(BUNDLE),
            label=st.text(max_size=9),
            reason=st.sampled_from(NotComputedReason),
            detail=st.text(max_size=9),
        ),
        max_size=2,
    ).map(tuple),
    pixel_notes=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    heat_maps=st.lists(HEAT_MAPS, max_size=1).map(tuple),
    cut_off=st.none() | st.lists(st.sampled_from(Edge), max_size=2).map(tuple),
)


def same(one: Any, other: Any) -> bool:
    """Whether two values are of one type and equal, arrays to the last bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@settings(deadline=None)
@given(IMAGES)
def test_what_is_read_is_what_was_written(image):
    assert same(stored.decoded(stored.encoded(image, KEY), ImageFindings, KEY), image)


@settings(deadline=None)
@given(arrays.arrays(np.bool_, (3, 9, 7)), st.floats(0, 1e4))
def test_a_volume_is_read_as_it_was_written(mask, volume_ml):
    label = Label(name="left-atrium", code=Coded.of(codes.HEART), colour_rgb=(1, 2, 3))
    found = SeriesFindings(
        "1.2", ("1.2.1", "1.2.2", "1.2.3"), 2.5, VolumeFindings(mask, volume_ml, BUNDLE, label, ("n",))
    )
    assert same(stored.decoded(stored.encoded(found, KEY), SeriesFindings, KEY), found)


@pytest.mark.parametrize("name", ["DX", "odd-width", "turned", "bare", "japanese", "window"])
def test_results_of_findings_that_were_kept_have_the_same_bytes(name: str, tmp_path: Path):
    request = optional_results.CASES[name](tmp_path)
    kept = tuple(stored.decoded(stored.encoded(image, KEY), ImageFindings, KEY) for image in request.images)
    again = replace(request, images=kept)
    assert all(one is not other for one, other in zip(request.images, kept, strict=True))
    for profile in (OHIF, BUILT_IN["complete"]):
        assert encode(again, profile=profile) == encode(request, profile=profile)
    assert summary(again) == summary(request)


@pytest.fixture
def content() -> bytes:
    return stored.encoded(made.with_doubt(made.image(sources.uid())), KEY)


@given(place=st.integers(0, 10_000), value=st.integers(1, 255))
def test_one_changed_byte_is_noticed(place, value):
    content = bytearray(stored.encoded(made.image(sources.uid(), 16, 16), KEY))
    content[place % len(content)] ^= value
    with pytest.raises(stored.Unusable):
        stored.decoded(bytes(content), ImageFindings, KEY)


@pytest.mark.parametrize("length", [0, 1, 64, 65, 300])
def test_a_cut_off_file_is_noticed(content, length):
    with pytest.raises(stored.Unusable):
        stored.decoded(content[:length], ImageFindings, KEY)


def test_another_version_is_as_good_as_absent(content, monkeypatch):
    monkeypatch.setattr(stored, "VERSION", stored.VERSION + 1)
    with pytest.raises(stored.Unusable, match="version 1"):
        stored.decoded(content, ImageFindings, KEY)


def test_findings_of_another_kind_are_not_taken(content):
    with pytest.raises(stored.Unusable, match="ImageFindings"):
        stored.decoded(content, SeriesFindings, KEY)


@pytest.mark.parametrize("field", ["pipeline", "unit_digest", "configuration_digest"])
def test_findings_of_something_else_are_not_taken(content, field):
    other = replace(KEY, **{field: "atrium" if field == "pipeline" else "56" * 32})
    with pytest.raises(stored.Unusable, match="another pipeline, image or configuration"):
        stored.decoded(content, ImageFindings, other)


def test_findings_that_were_made_without_heat_maps_do_not_serve_for_them(content):
    assert stored.decoded(content, ImageFindings, KEY, heat_maps=True) is None
    with_maps = stored.encoded(made.image(sources.uid()), KEY, heat_maps=True)
    assert stored.decoded(with_maps, ImageFindings, KEY) is not None


def test_ten_megapixels_with_five_masks_take_little_room():
    mask = np.zeros((3520, 2800), np.bool_)
    mask[400:2900, 300:1300] = True
    image = made.image("1.2.3")
    large = replace(
        image, segments=tuple(replace(segment, mask=mask) for segment in (*image.segments, *image.segments[:2]))
    )
    assert len(stored.encoded(large, KEY)) < 200_000
