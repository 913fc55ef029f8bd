"""The analyser: intended use, source grid, measurements, determinism; with the shipped bundles and the phantom."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from models import phantom
from models.bundle import store
from models.chest import anatomy
from models.chest.analyser import ChestAnalyser, measurements
from models.chest.anatomy import Anatomy
from models.errors import BundleRefused
from models.image import pixels
from models.image.geometry import Orientation
from models.image.pixels import Radiograph
from models.values import codes
from models.values.findings import BundleIdentity, Edge, NotComputedReason

IDENTITY = BundleIdentity("lungs-heart", "1.0.0", "00")


@pytest.fixture(scope="module")
def analyser() -> ChestAnalyser:
    """Load lungs and heart, and one classifier: that for children."""
    wanted = ("lungs-heart", "paediatric-pneumonia")
    loaded = ChestAnalyser.load([one for one in store.find(store.shipped()) if one.manifest.name in wanted], threads=2)
    loaded.warm_up()
    return loaded


@pytest.fixture(scope="module")
def chest() -> Radiograph:
    """Generate one chest."""
    made = phantom.generate(3, rows=640, columns=512)
    scaled = np.clip(made.pixels / made.pixels.max() * 255, 0, 255).astype(np.uint8)
    return dataclasses.replace(pixels.from_array(scaled), spacing_mm=(0.6, 0.6))


def test_an_adult_gets_masks_and_measurements(analyser: ChestAnalyser, chest: Radiograph) -> None:
    found = analyser.analyse(chest, sop_instance_uid="2.25.7", age_years=60, view="PA")
    assert found.gate.passed
    assert found.sop_instance_uid == "2.25.7"
    assert [(s.property_type, s.laterality) for s in found.segments] == [
        (codes.LUNG, codes.RIGHT),
        (codes.LUNG, codes.LEFT),
        (codes.HEART, None),
    ]
    for segment in found.segments:
        assert segment.mask.shape == chest.source_shape
        assert segment.mask.dtype == np.bool_
        assert segment.mask.any()
    columns = [np.nonzero(segment.mask)[1].mean() for segment in found.segments]
    assert columns[0] < columns[2] < columns[1]
    values = {m.label: m for m in found.measurements}
    assert 0.3 < values["cardiothoracic ratio"].value < 0.75
    assert values["transverse cardiac diameter"].unit == codes.MILLIMETRE
    assert values["right lung area"].unit == codes.SQUARE_CENTIMETRE
    assert found.heart_box == anatomy.bounding_box(found.segments[2].mask)
    assert found.cut_off == ()


@pytest.mark.parametrize("age", [3, 60])
def test_every_shipped_bundle_answers_or_says_why_not(chest: Radiograph, age: float) -> None:
    everything = ChestAnalyser.load(store.find(store.shipped()), threads=2)
    found = everything.analyse(chest, sop_instance_uid="1", age_years=age, view="PA")
    answers = (found.findings, found.segments, found.segmentation_empty, found.not_computed)
    assert {one.bundle for group in answers for one in group} == {one.bundle.identity for one in everything.networks}
    assert all(0 <= finding.probability <= 1 for finding in found.findings)
    outlined = {segment.property_type for segment in found.segments} - {codes.LUNG, codes.HEART}
    assert outlined <= {finding.code for finding in found.findings if finding.present}


def test_the_same_image_gives_the_same_result(analyser: ChestAnalyser, chest: Radiograph) -> None:
    one, other = (analyser.analyse(chest, sop_instance_uid="1", age_years=60, view=None) for _ in range(2))
    assert one.measurements == other.measurements
    for first, second in zip(one.segments, other.segments, strict=True):
        np.testing.assert_array_equal(first.mask, second.mask)


def test_a_child_gets_no_masks(analyser: ChestAnalyser, chest: Radiograph) -> None:
    found = analyser.analyse(chest, sop_instance_uid="1", age_years=3, view="AP")
    assert found.gate.passed
    assert found.segments == ()
    assert found.measurements == ()
    reasons = {one.bundle.name: one.reason for one in found.not_computed}
    assert reasons == {"lungs-heart": NotComputedReason.AGE_OUTSIDE_INTENDED_USE}
    (finding,) = found.findings
    assert finding.code == codes.PNEUMONIA
    assert 0 <= finding.probability <= 1
    assert finding.bundle.name == "paediatric-pneumonia"


@pytest.mark.parametrize(
    ("age", "view", "reason"),
    [
        (0.9, "AP", NotComputedReason.AGE_OUTSIDE_INTENDED_USE),
        (1.0, "AP", None),
        (5.99, None, None),
        (6.0, "AP", NotComputedReason.AGE_OUTSIDE_INTENDED_USE),
        (None, "AP", NotComputedReason.AGE_UNKNOWN),
        (3.0, "XX", NotComputedReason.VIEW_OUTSIDE_INTENDED_USE),
    ],
)
def test_pneumonia_is_only_asked_of_children_of_one_to_five(
    analyser: ChestAnalyser, chest: Radiograph, age: float | None, view: str | None, reason: NotComputedReason | None
) -> None:
    found = analyser.analyse(chest, sop_instance_uid="1", age_years=age, view=view)
    refused = {one.bundle.name: one.reason for one in found.not_computed}
    assert refused.get("paediatric-pneumonia") == reason
    assert bool(found.findings) is (reason is None)


def test_an_unknown_age_is_noted(analyser: ChestAnalyser, chest: Radiograph) -> None:
    found = analyser.analyse(chest, sop_instance_uid="1", age_years=None, view=None)
    assert found.segments
    assert any("age unknown" in note for note in found.pixel_notes)


def test_a_lateral_view_is_answered_without_running_anything(analyser: ChestAnalyser, chest: Radiograph) -> None:
    found = analyser.analyse(chest, sop_instance_uid="1", age_years=60, view="LL")
    assert found.gate.reason is NotComputedReason.VIEW_OUTSIDE_INTENDED_USE
    assert found.segments == ()


def test_a_refused_image_has_nothing_but_the_reason(analyser: ChestAnalyser) -> None:
    blank = Radiograph(np.zeros((64, 64), np.float32))
    found = analyser.analyse(blank, sop_instance_uid="1", age_years=60, view="PA")
    assert found.gate.reason is NotComputedReason.NOT_A_CHEST
    assert (found.findings, found.segments, found.measurements, found.heart_box) == ((), (), (), None)


def test_masks_return_to_a_turned_source(analyser: ChestAnalyser, chest: Radiograph) -> None:
    turned = Orientation(transpose=True, flip_rows=False, flip_columns=True)
    source = turned.to_source(chest.pixels)
    laid = dataclasses.replace(chest, orientation=turned)
    plain = analyser.analyse(chest, sop_instance_uid="1", age_years=60, view=None)
    found = analyser.analyse(laid, sop_instance_uid="1", age_years=60, view=None)
    assert found.segments[0].mask.shape == source.shape
    np.testing.assert_array_equal(turned.to_canonical(found.segments[0].mask), plain.segments[0].mask)
    assert found.heart_box == anatomy.bounding_box(found.segments[2].mask)


def test_bfloat16_stays_close(analyser: ChestAnalyser, chest: Radiograph) -> None:
    segmenters = [one for one in store.find(store.shipped()) if one.manifest.task == "segmentation"]
    half = ChestAnalyser.load(segmenters, dtype="bfloat16")
    one, other = (
        found.analyse(chest, sop_instance_uid="1", age_years=60, view=None).segments[2].mask
        for found in (analyser, half)
    )
    assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.97


def test_no_segmenter_or_two_are_refused() -> None:
    with pytest.raises(BundleRefused, match="exactly one"):
        ChestAnalyser.load([])
    segmenter = next(one for one in store.find(store.shipped()) if one.manifest.task == "segmentation")
    with pytest.raises(BundleRefused, match="exactly one"):
        ChestAnalyser.load([segmenter, segmenter])


def drawn() -> Anatomy:
    """Draw lungs 10 to 90 and a heart 30 to 70 columns wide."""
    masks = [np.zeros((100, 100), bool) for _ in range(3)]
    masks[0][20:80, 10:40] = True
    masks[1][20:80, 60:90] = True
    masks[2][50:80, 30:70] = True
    return Anatomy(*masks)


def test_the_ratio_is_that_of_the_widest_extents() -> None:
    size = anatomy.measure(drawn())
    assert (size.cardiac_width, size.thoracic_width) == (40, 80)
    assert size.cardiothoracic_ratio == 0.5
    assert size.heart_box == anatomy.Box(30, 50, 70, 80)


def test_without_a_lung_or_a_heart_there_is_no_ratio() -> None:
    whole = drawn()
    assert anatomy.measure(dataclasses.replace(whole, left_lung=None)).cardiothoracic_ratio is None
    size = anatomy.measure(dataclasses.replace(whole, heart=None))
    assert size.cardiothoracic_ratio is None
    assert size.thoracic_width == 80


def test_units_follow_the_spacing() -> None:
    size = anatomy.measure(drawn())
    picture = Radiograph(np.zeros((100, 100), np.float32))
    in_pixels = {m.label: m for m in measurements(size, picture, IDENTITY)}
    assert in_pixels["transverse cardiac diameter"].value == 40
    assert in_pixels["transverse cardiac diameter"].unit == codes.PIXEL
    assert in_pixels["right lung area"].unit == codes.SQUARE_PIXEL
    in_mm = {m.label: m for m in measurements(size, dataclasses.replace(picture, spacing_mm=(2.0, 4.0)), IDENTITY)}
    assert in_mm["transverse cardiac diameter"].value == 160
    assert in_mm["right lung area"].value == pytest.approx(1800 * 8 / 100)


ORIENTATIONS = [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)]


def _uneven() -> Anatomy:
    """Draw lungs and a heart whose outermost pixels lie in rows of their own, on a grid that is not square."""
    masks = [np.zeros((30, 20), bool) for _ in range(3)]
    masks[0][5:20, 3:8], masks[0][12, 1] = True, True
    masks[1][5:20, 12:17], masks[1][7:10, 17] = True, True
    masks[2][15:24, 6:13], masks[2][18, 5], masks[2][22, 13] = True, True, True
    return Anatomy(*masks)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_diameters_end_at_the_outermost_pixels_of_the_source_image(orientation: Orientation) -> None:
    drawing = _uneven()
    picture = Radiograph(np.zeros((30, 20), np.float32), spacing_mm=(0.5, 0.25), orientation=orientation)
    values = {m.label: m for m in measurements(anatomy.measure(drawing), picture, IDENTITY)}
    across = 0 if orientation.transpose else 1  # the axis of the source that is horizontal in the patient
    for name, mask in (
        ("transverse cardiac diameter", drawing.heart),
        ("transverse thoracic diameter", drawing.right_lung | drawing.left_lung),
    ):
        ((right, left),) = values[name].extents
        assert abs(left[across] - right[across]) * 0.25 == values[name].value
        on_source = picture.to_source(mask)
        inwards = np.sign(left[across] - right[across])
        for point, step in ((right, inwards), (left, -inwards)):
            pixel = list(point)
            pixel[across] += step / 2
            assert on_source[int(pixel[0]), int(pixel[1])]
            pixel[across] -= step
            assert not on_source[int(pixel[0]), int(pixel[1])]
    ratio = values["cardiothoracic ratio"]
    assert ratio.extents == sum((values[f"transverse {n} diameter"].extents for n in ("cardiac", "thoracic")), ())


def test_areas_have_no_extent() -> None:
    values = measurements(anatomy.measure(drawn()), Radiograph(np.zeros((100, 100), np.float32)), IDENTITY)
    assert all(m.extents == () for m in values if m.code == codes.AREA)


def test_lungs_within_the_image_are_not_cut_off() -> None:
    assert anatomy.cut_off(drawn()) == ()
    assert anatomy.cut_off(Anatomy(None, None, None)) == ()


@pytest.mark.parametrize(
    ("rows", "columns", "edge"),
    [
        (slice(0, 30), slice(40, 60), Edge.TOP),
        (slice(70, 100), slice(40, 60), Edge.BOTTOM),
        (slice(40, 60), slice(0, 30), Edge.RIGHT),
        (slice(40, 60), slice(70, 100), Edge.LEFT),
    ],
)
def test_a_lung_at_the_edge_of_the_image_is_cut_off(rows: slice, columns: slice, edge: Edge) -> None:
    mask = np.zeros((100, 100), bool)
    mask[rows, columns] = True
    assert anatomy.cut_off(Anatomy(mask, None, None)) == (edge,)


def test_the_image_ends_where_the_padding_begins() -> None:
    valid = np.zeros((100, 100), bool)
    valid[20:100, 5:95] = True
    assert anatomy.cut_off(drawn(), valid) == (Edge.TOP,)


def test_cleaning_drops_small_pieces_and_keeps_one_heart() -> None:
    mask = np.zeros((60, 60), bool)
    mask[5:30, 5:30] = True
    mask[40:55, 40:55] = True
    mask[58, 2] = True
    lungs = anatomy.clean(mask, keep_largest=False)
    heart = anatomy.clean(mask, keep_largest=True)
    assert lungs is not None
    assert heart is not None
    assert lungs.sum() == 25 * 25 + 15 * 15
    assert heart.sum() == 25 * 25
    assert anatomy.clean(np.zeros((4, 4), bool), keep_largest=True) is None
