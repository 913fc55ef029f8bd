"""Outlines of a disease: the mask's gate, its side, its size, and the way back to the source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bundle.manifest import HysteresisThreshold
from models.bundle.store import Bundle
from models.chest import segmenter
from models.chest.anatomy import Anatomy
from models.image.geometry import Orientation
from models.image.inputs import prepare
from models.image.pixels import Radiograph
from models.inference.runner import Answer, Network
from models.values import codes
from models.values.findings import BundleIdentity, Finding, NotComputedReason
from tests.support.data import tiny_bundles

CLASSIFIER = BundleIdentity("pneumothorax", "0.1.0", "aa")
PRESENT = Finding("pneumothorax", codes.PNEUMOTHORAX, 0.8, 0.4, "a rule", CLASSIFIER)
ABSENT = replace(PRESENT, probability=0.1)


@dataclass
class Drawn:
    """A network that answers with a picture of logits."""

    bundle: Bundle
    logits: NDArray[np.float32]

    def run(self, batch: NDArray[np.float32], patient: object = None) -> Answer:
        return Answer(self.logits[None, None])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundles.lesion_segmenter(
        tmp_path_factory.mktemp("b"), "pneumothorax-segmentation", 0.5, gated_by="pneumothorax"
    )


def chest(*, orientation: Orientation | None = None, spacing: tuple[float, float] | None = (2.0, 2.0)) -> Radiograph:
    rng = np.random.default_rng(0)
    pixels = rng.random((128, 128)).astype(np.float32)
    return Radiograph(pixels, spacing_mm=spacing, orientation=orientation or Orientation())


def lungs() -> Anatomy:
    right, left = np.zeros((128, 128), bool), np.zeros((128, 128), bool)
    right[20:100, 16:56] = True
    left[20:100, 72:112] = True
    return Anatomy(right, left, None)


def drawn(bundle: Bundle, *regions: tuple[slice, slice], peak: float = 5.0) -> Network:
    """Draw logits on the model grid of 64: each region is above every limit, the rest below."""
    logits = np.full((64, 64), -5.0, np.float32)
    for region in regions:
        logits[region] = peak
    return Drawn(bundle, logits)


def outlined(network: Network, radiograph: Radiograph, *findings: Finding) -> segmenter.LesionSegmentation:
    spec = network.bundle.manifest.input.model_copy(update={"region": "image"})
    return segmenter.segment_lesions(network, prepare(radiograph, spec), radiograph, lungs(), findings)


APEX_RIGHT, APEX_LEFT = (slice(10, 16), slice(8, 20)), (slice(10, 16), slice(40, 50))


def test_a_region_becomes_a_segment_with_side_area_and_part_of_the_lung(bundle: Bundle) -> None:
    done = outlined(drawn(bundle, APEX_RIGHT), chest(), PRESENT)
    (segment,) = done.segments
    assert (segment.property_type, segment.property_category) == (
        codes.PNEUMOTHORAX,
        codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
    )
    assert segment.laterality == codes.RIGHT
    assert segment.colour_rgb == (235, 80, 225)
    assert segment.mask[20:32, 16:40].all()
    assert segment.mask.sum() == 12 * 24
    area, part = done.measurements
    assert (area.value, area.unit) == (pytest.approx(12 * 24 * 4 / 100), codes.SQUARE_CENTIMETRE)
    assert (part.value, part.unit) == (pytest.approx(100 * 12 * 24 / (80 * 40)), codes.PERCENT)
    assert {m.finding_site for m in done.measurements} == {codes.PLEURA}
    assert {m.laterality for m in done.measurements} == {codes.RIGHT}
    assert part.label == "pneumothorax, part of the right lung"


def test_regions_on_both_sides_are_one_bilateral_segment(bundle: Bundle) -> None:
    (segment,) = outlined(drawn(bundle, APEX_RIGHT, APEX_LEFT), chest(), PRESENT).segments
    assert segment.laterality == codes.BILATERAL


def test_areas_are_in_pixels_where_the_spacing_is_unknown(bundle: Bundle) -> None:
    area, _ = outlined(drawn(bundle, APEX_LEFT), chest(spacing=None), PRESENT).measurements
    assert area.unit == codes.SQUARE_PIXEL
    assert area.value == 12 * 20


def test_masks_return_to_a_turned_source(bundle: Bundle) -> None:
    turned = Orientation(transpose=True, flip_columns=True)
    (plain,) = outlined(drawn(bundle, APEX_LEFT), chest(), PRESENT).segments
    (laid,) = outlined(drawn(bundle, APEX_LEFT), chest(orientation=turned), PRESENT).segments
    np.testing.assert_array_equal(turned.to_canonical(laid.mask), plain.mask)
    assert laid.laterality == plain.laterality == codes.LEFT


def test_padding_is_never_outlined(bundle: Bundle) -> None:
    valid = np.ones((128, 128), bool)
    valid[:, :20] = False
    (segment,) = outlined(drawn(bundle, APEX_RIGHT), replace(chest(), valid=valid), PRESENT).segments
    assert not segment.mask[:, :20].any()


@pytest.mark.parametrize("regions", [(), ((slice(5, 8), slice(5, 8)),)], ids=["nothing", "too-small"])
def test_no_region_is_no_segment_and_is_said(bundle: Bundle, regions: tuple[tuple[slice, slice], ...]) -> None:
    done = outlined(drawn(bundle, *regions), chest(), PRESENT)
    assert (done.segments, done.measurements) == ((), ())
    (said,) = done.segmentation_empty
    assert (said.label, said.code, said.bundle) == ("pneumothorax", codes.PNEUMOTHORAX, bundle.identity)
    assert said.detail == "less than 1.00% of the picture is above 0.6"


def test_the_bottom_threshold_says_how_far_a_sure_lesion_reaches(bundle: Bundle) -> None:
    logits = np.full((64, 64), -5.0, np.float32)
    logits[10:20, 10:30] = 0.1  # 0.52: above the bottom threshold only
    logits[10:20, 10:15] = 5.0
    limits = HysteresisThreshold(top_threshold=0.6, minimum_area=0.01, bottom_threshold=0.4, rule="a rule")
    manifest = bundle.manifest.model_copy(update={"postprocessing": limits})
    probability = (1 / (1 + np.exp(-logits))).astype(np.float32)
    assert segmenter.region(probability, manifest, manifest.labels[0]).sum() == 10 * 20


def test_an_outline_is_refused_where_its_classifier_found_nothing(bundle: Bundle) -> None:
    assert segmenter.refusal(bundle, [PRESENT]) is None
    absent = segmenter.refusal(bundle, [ABSENT])
    assert absent is not None
    assert absent.reason is NotComputedReason.NOT_FOUND_BY_CLASSIFIER
    assert absent.detail == "absent by the classifier pneumothorax: pneumothorax"


@pytest.mark.parametrize(
    "findings",
    [
        [],
        [replace(PRESENT, bundle=replace(CLASSIFIER, name="another"))],
        [replace(PRESENT, code=codes.ATELECTASIS)],
    ],
    ids=["none", "another-bundle", "another-disease"],
)
def test_only_its_own_classifier_opens_the_gate(bundle: Bundle, findings: list[Finding]) -> None:
    refused = segmenter.refusal(bundle, findings)
    assert refused is not None
    assert refused.reason is NotComputedReason.CLASSIFIER_NOT_RUN
    assert "pneumothorax" in refused.detail


def test_a_bundle_that_names_itself_as_its_classifier_never_runs(tmp_path: Path) -> None:
    own = tiny_bundles.lesion_segmenter(tmp_path, "circle", 0.9, gated_by="circle")
    refused = segmenter.refusal(own, [PRESENT])
    assert refused is not None
    assert refused.reason is NotComputedReason.CLASSIFIER_NOT_RUN


def test_the_finding_gets_the_side_of_its_outline_and_other_findings_do_not(bundle: Bundle) -> None:
    stranger = replace(PRESENT, bundle=replace(CLASSIFIER, name="another"))
    segments = outlined(drawn(bundle, APEX_LEFT), chest(), PRESENT).segments
    located = segmenter.located([PRESENT, stranger], bundle, segments)
    assert [finding.laterality for finding in located] == [codes.LEFT, None]
    assert segmenter.located([PRESENT], bundle, ()) == (PRESENT,)
