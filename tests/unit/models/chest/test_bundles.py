"""The analyser with many bundles: which run, on what, and what the outline's gate lets through."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from models import phantom
from models.bundle import store
from models.bundle.manifest import Calibration, HysteresisThreshold, IntendedUse
from models.bundle.store import Bundle
from models.chest.analyser import ChestAnalyser
from models.errors import BundleRefused
from models.image import pixels
from models.image.geometry import Orientation
from models.image.inputs import InputSpec
from models.image.pixels import Radiograph
from models.inference.runner import Answer, Runner
from models.values import codes
from models.values.findings import Decision, ImageFindings, NotComputedReason
from tests.support.data import tiny_bundles
from training.data import cache
from training.data.collection import Collection
from training.data.sources import Record

Analyse = Callable[..., ImageFindings]
CHILDREN = tiny_bundles.ADULTS.model_copy(update={"age_years_from": 1, "age_years_below": 6})


@pytest.fixture(scope="module")
def chest() -> Radiograph:
    made = phantom.generate(3, rows=640, columns=512)
    scaled = np.clip(made.pixels / made.pixels.max() * 255, 0, 255).astype(np.uint8)
    return dataclasses.replace(pixels.from_array(scaled), spacing_mm=(0.6, 0.6))


@pytest.fixture(scope="module")
def segmenter() -> Bundle:
    return next(one for one in store.find(store.shipped()) if one.manifest.task == "segmentation")


@pytest.fixture
def analyse(segmenter: Bundle, chest: Radiograph) -> Analyse:
    """Analyse the phantom with the segmenter and other bundles."""

    def run(
        *others: Bundle, age: float | None = 60, image: Radiograph = chest, heat_maps: bool = False
    ) -> ImageFindings:
        analyser = ChestAnalyser.load([*others, segmenter])
        return analyser.analyse(image, sop_instance_uid="1", age_years=age, view="PA", heat_maps=heat_maps)

    return run


def test_each_classifier_gives_its_calibrated_probability_and_decision(tmp_path: Path, analyse: Analyse) -> None:
    table = Calibration(temperature=2.0, method="a test", isotonic=((0.0, 0.0), (0.5, 0.2), (1.0, 1.0)))
    found = analyse(
        tiny_bundles.classifier(tmp_path, "pneumothorax", {"pneumothorax": 0.8}),
        tiny_bundles.classifier(tmp_path, "adult-pneumonia", {"lung-opacity": 0.3}, concepts=[codes.LUNG_OPACITY]),
        tiny_bundles.classifier(
            tmp_path, "atelectasis", {"atelectasis": 0.5}, concepts=[codes.ATELECTASIS], calibration=table
        ),
    )
    rows = {one.label: (one.bundle.name, one.code, one.present, one.laterality) for one in found.findings}
    assert rows == {
        "pneumothorax": ("pneumothorax", codes.PNEUMOTHORAX, True, None),
        "lung-opacity": ("adult-pneumonia", codes.LUNG_OPACITY, False, None),
        "atelectasis": ("atelectasis", codes.ATELECTASIS, False, None),
    }
    values = {one.label: one.probability for one in found.findings}
    assert values == pytest.approx({"pneumothorax": 0.8, "lung-opacity": 0.3, "atelectasis": 0.2}, abs=1e-6)
    assert found.heat_maps == ()
    assert len(found.segments) == 3


def test_a_classifier_with_several_labels_gives_as_many_findings(tmp_path: Path, analyse: Analyse) -> None:
    both = {"pneumothorax": 0.8, "atelectasis": 0.1}
    found = analyse(tiny_bundles.classifier(tmp_path, "two", both, concepts=[codes.PNEUMOTHORAX, codes.ATELECTASIS]))
    assert [(one.label, one.present) for one in found.findings] == [("pneumothorax", True), ("atelectasis", False)]


@pytest.mark.parametrize(
    ("probability", "decision"),
    [(0.8, Decision.PRESENT), (0.42, Decision.INDETERMINATE), (0.38, Decision.INDETERMINATE), (0.1, Decision.ABSENT)],
)
def test_a_probability_within_the_range_of_the_threshold_is_indeterminate(
    tmp_path: Path, analyse: Analyse, probability: float, decision: Decision
) -> None:
    doubtful = tiny_bundles.classifier(tmp_path, "pneumothorax", {"pneumothorax": probability}, doubt=(0.35, 0.5))
    (finding,) = analyse(doubtful).findings
    assert (finding.decision, finding.indeterminate_range) == (decision, (0.35, 0.5))


def test_what_the_classifier_finds_is_outlined(tmp_path: Path, analyse: Analyse, chest: Radiograph) -> None:
    # In the order of their names the outline comes before its classifier.
    found = analyse(
        tiny_bundles.lesion_segmenter(tmp_path, "a-outline", 0.9, gated_by="pneumothorax"),
        tiny_bundles.classifier(tmp_path, "pneumothorax", {"pneumothorax": 0.8}),
    )
    segment = found.segments[-1]
    assert segment.bundle.name == "a-outline"
    assert segment.property_category == codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE
    assert segment.laterality == codes.BILATERAL
    assert segment.mask.shape == chest.source_shape
    lungs = np.logical_or(found.segments[0].mask, found.segments[1].mask)
    assert segment.mask[lungs].all()
    assert not segment.mask.all()
    (finding,) = found.findings
    assert finding.laterality == codes.BILATERAL
    assert {m.label for m in found.measurements} >= {"pneumothorax area", "pneumothorax, part of both lungs"}
    assert found.not_computed == ()


def test_what_the_classifier_does_not_find_is_not_outlined(tmp_path: Path, analyse: Analyse) -> None:
    found = analyse(
        tiny_bundles.classifier(tmp_path, "pneumothorax", {"pneumothorax": 0.2}),
        tiny_bundles.lesion_segmenter(tmp_path, "pneumothorax-segmentation", 0.9, gated_by="pneumothorax"),
    )
    assert len(found.segments) == 3
    (refused,) = found.not_computed
    assert refused.bundle.name == "pneumothorax-segmentation"
    assert refused.reason is NotComputedReason.NOT_FOUND_BY_CLASSIFIER


def test_a_classifier_that_does_not_exist_opens_no_gate(tmp_path: Path, analyse: Analyse) -> None:
    found = analyse(tiny_bundles.lesion_segmenter(tmp_path, "outline", 0.9, gated_by="nobody"))
    (refused,) = found.not_computed
    assert refused.reason is NotComputedReason.CLASSIFIER_NOT_RUN
    assert "nobody" in refused.detail
    assert len(found.segments) == 3


def test_a_positive_classifier_without_a_region_is_said(tmp_path: Path, analyse: Analyse) -> None:
    strict = HysteresisThreshold(top_threshold=0.95, minimum_area=0.01, bottom_threshold=0.4, rule="a rule")
    found = analyse(
        tiny_bundles.classifier(tmp_path, "pneumothorax", {"pneumothorax": 0.8}),
        tiny_bundles.lesion_segmenter(tmp_path, "outline", 0.9, gated_by="pneumothorax", limits=strict),
    )
    assert len(found.segments) == 3
    assert [one.label for one in found.segmentation_empty] == ["pneumothorax"]
    assert found.findings[0].laterality is None
    assert found.not_computed == ()


def test_an_outline_without_a_classifier_is_refused_when_loaded(tmp_path: Path, segmenter: Bundle) -> None:
    with pytest.raises(BundleRefused, match="names no classifier"):
        ChestAnalyser.load([segmenter, tiny_bundles.lesion_segmenter(tmp_path, "outline", 0.9, gated_by=None)])


def test_every_bundle_keeps_to_its_own_ages(tmp_path: Path, analyse: Analyse) -> None:
    found = analyse(
        tiny_bundles.classifier(tmp_path, "adults", {"pneumothorax": 0.8}),
        tiny_bundles.classifier(tmp_path, "children", {"pneumonia": 0.8}, concepts=[codes.PNEUMONIA], use=CHILDREN),
        tiny_bundles.lesion_segmenter(tmp_path, "outline", 0.9, gated_by="adults"),
        age=3,
    )
    assert [one.bundle.name for one in found.findings] == ["children"]
    assert found.segments == ()
    assert {one.bundle.name: one.reason for one in found.not_computed} == {
        "lungs-heart": NotComputedReason.AGE_OUTSIDE_INTENDED_USE,
        "adults": NotComputedReason.AGE_OUTSIDE_INTENDED_USE,
        "outline": NotComputedReason.AGE_OUTSIDE_INTENDED_USE,
    }


def test_an_outline_for_more_ages_than_its_classifier_stays_closed(tmp_path: Path, analyse: Analyse) -> None:
    any_age = IntendedUse(**(tiny_bundles.ADULTS.model_dump() | {"age_years_from": 0}))
    found = analyse(
        tiny_bundles.classifier(tmp_path, "adults", {"pneumothorax": 0.8}),
        tiny_bundles.lesion_segmenter(tmp_path, "outline", 0.9, gated_by="adults", use=any_age),
        age=10,
    )
    reasons = {one.bundle.name: one.reason for one in found.not_computed}
    assert reasons["outline"] is NotComputedReason.CLASSIFIER_NOT_RUN
    assert found.segments == ()


@pytest.mark.parametrize("task", ["box", "detection", "volume-segmentation"])
def test_bundles_that_are_not_for_chest_radiographs_are_left_out(tmp_path: Path, segmenter: Bundle, task: str) -> None:
    stranger = tiny_bundles.other(tmp_path, "stranger", task)
    analyser = ChestAnalyser.load([stranger, segmenter])
    assert [one.bundle.manifest.name for one in analyser.networks] == [segmenter.manifest.name]


def test_a_label_without_a_threshold_is_refused_when_loaded(tmp_path: Path, segmenter: Bundle) -> None:
    made = tiny_bundles.classifier(tmp_path, "pneumothorax", {"pneumothorax": 0.8})
    silent = dataclasses.replace(made, manifest=made.manifest.model_copy(update={"operating_points": ()}))
    with pytest.raises(BundleRefused, match="no threshold for pneumothorax"):
        ChestAnalyser.load([segmenter, silent])


def test_heat_maps_of_what_is_present_lie_on_the_source(tmp_path: Path, analyse: Analyse, chest: Radiograph) -> None:
    turned = dataclasses.replace(chest, orientation=Orientation(transpose=True, flip_rows=True))
    found = analyse(
        tiny_bundles.classifier(tmp_path, "pneumothorax", {"pneumothorax": 0.8}, architecture="locating-mobilenet_v2"),
        tiny_bundles.classifier(tmp_path, "absent", {"atelectasis": 0.1}, concepts=[codes.ATELECTASIS]),
        tiny_bundles.classifier(tmp_path, "plain", {"pneumothorax": 0.9}),
        image=turned,
        heat_maps=True,
    )
    assert [heat.bundle.name for heat in found.heat_maps] == ["pneumothorax", "plain"]
    for heat in found.heat_maps:
        assert heat.values.shape == turned.source_shape
        assert heat.values.dtype == np.float32
        assert 0 <= heat.values.min() <= heat.values.max() <= 1
    on_canonical = turned.orientation.to_canonical(found.heat_maps[0].values)
    assert not on_canonical[0].any()
    assert on_canonical.any()


class Recording:
    """A classifier that keeps what it is given."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.seen: list[np.ndarray] = []

    def run(self, batch: np.ndarray, patient: object = None) -> Answer:
        self.seen.extend(batch)
        return Answer(np.zeros((len(batch), 1), np.float32))


def test_a_network_that_takes_age_and_sex_is_told_what_the_header_says(
    segmenter: Bundle, chest: Radiograph, tmp_path: Path
) -> None:
    bundle = tiny_bundles.classifier(tmp_path, "a", {"pneumothorax": 0.5}, architecture="mobilenet_v2-patient")
    gate, asked = (Runner(one, device="cpu", dtype="float32") for one in (segmenter, bundle))
    with torch.no_grad():
        # The last four inputs are age / 100, sex, and whether each is known.
        asked.network.classify.weight[0, -4:] = torch.tensor([1.0, 0.2, 0.0, 0.0])
    analyser = ChestAnalyser(gate, (asked,))

    def logit(age: float | None, sex: str | None) -> float:
        found = analyser.analyse(chest, sop_instance_uid="1", age_years=age, view="PA", sex=sex, heat_maps=True)
        return math.log(found.findings[0].probability / (1 - found.findings[0].probability))

    assert logit(None, None) == pytest.approx(0, abs=1e-5)
    assert logit(60, None) == pytest.approx(0.6, abs=1e-5)
    assert logit(60, "M") == pytest.approx(0.8, abs=1e-5)
    assert logit(60, "F") == pytest.approx(0.4, abs=1e-5)
    assert logit(60, "O") == pytest.approx(0.6, abs=1e-5)


@pytest.mark.parametrize("region", ["lungs", "image"])
def test_serving_and_training_see_the_same_tensor(
    segmenter: Bundle, chest: Radiograph, tmp_path: Path, region: str
) -> None:
    """The decoded arrays of training hold the input of serving, quantised to 8 bits and nothing else."""
    spec = InputSpec(size=320, region=region, margin=0.05)
    recording = Recording(tiny_bundles.classifier(tmp_path, "pneumothorax", {"pneumothorax": 0.5}, spec=spec))
    runner = Runner(segmenter, device="cpu", dtype="float32")
    analyser = ChestAnalyser(runner, (cast(Runner, recording),))
    assert analyser.analyse(chest, sop_instance_uid="1", age_years=60, view="PA").findings
    (tmp_path / "file").touch()
    given = Collection("one", (), {"one": Record("one", "p", tmp_path / "file", lambda: chest)}, {"one": "train"})
    trained = cache.build(given, spec, tmp_path / "cache").images[0]
    (served,) = recording.seen
    np.testing.assert_array_equal(np.rint(served * 255).astype(np.uint8), trained)
