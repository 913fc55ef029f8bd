"""Cards: texts for every bundle of the plan, no number typed by hand."""

from __future__ import annotations

import re

import pytest

from models.bundle import store
from models.bundle.manifest import (
    Calibration,
    Coded,
    DataSource,
    Figure,
    HysteresisThreshold,
    IntendedUse,
    Label,
    Manifest,
    OperatingPoint,
)
from models.image.inputs import InputSpec
from models.values import catalogue, codes
from training.evaluation import cards, targets
from training.evaluation.report.outcome import EvaluationOutcome, Table
from training.evaluation.truths import Truth


def manifest(name: str = "pneumothorax-segmentation") -> Manifest:
    """Describe a bundle with everything that a manifest can hold."""
    return Manifest(
        name=name,
        version="2.1.0",
        task="lesion-segmentation",
        architecture="unet-mobilenet_v2",
        input=InputSpec(size=320, region="lungs", margin=0.08),
        labels=(Label(name="pneumothorax", code=Coded.of(codes.PNEUMOTHORAX)),),
        operating_points=(
            OperatingPoint(
                label="pneumothorax", threshold=0.4, rule="by the rule", doubt=(0.35, 0.52), doubt_rule="drawn by hand"
            ),
            OperatingPoint(label="pneumothorax", threshold=0.5, rule="fixed", name="0.5"),
        ),
        calibration=Calibration(temperature=1.25, method="by hand", isotonic=((0.0, 0.1), (1.0, 0.9))),
        training_data=(DataSource(name="a set", images=12, patients=7, licence="CC0", citation="Someone 1999"),),
        licence="academic",
        non_commercial=True,
        evaluation=(
            Figure(
                name="Dice, mean over true positives", value=0.4912, low=0.45, high=0.53, count=150, measured_on="nih"
            ),
        ),
        intended_use=IntendedUse(
            statement="Research use only, not for clinical use. Outlines.",
            age_years_from=16,
            age_years_below=None,
            age_unknown_allowed=False,
            views=("PA", "AP"),
        ),
        postprocessing=HysteresisThreshold(
            top_threshold=0.7, minimum_area=0.002, bottom_threshold=0.4, rule="on validation"
        ),
        gated_by="pneumothorax",
        files={},
    )


def written(name: str = "pneumothorax-segmentation") -> str:
    """Write the card of such a bundle."""
    outcome = EvaluationOutcome(
        report={
            "images": 245,
            "patients": 99,
            "outside_intended_use": 4,
            "undefined": {"empty against empty": 48},
            "gate": {"accepted": 244, "of": 245},
        },
        tables=[Table("Subgroups", "By sex.", ("column", "value"), (("sex", "F"),))],
    )
    return cards.card(manifest(name), Truth("nih", "as the experts saw it", ()), outcome)


def test_a_card_says_what_stands_in_manifest_and_report() -> None:
    text = written()
    for said in (
        "# pneumothorax-segmentation 2.1.0",
        "Research use only, not for clinical use.",
        "an unknown age is refused",
        "the box around both lungs, widened by 8%",
        "pneumothorax, chosen: 0.4 (by the rule)",
        "pneumothorax, 0.5: 0.5 (fixed)",
        "at least 0.200% of the grid lies above 0.7, then all above 0.4 (on validation)",
        "masks are given only where pneumothorax finds the disease",
        "pneumothorax: a probability from 0.35 to below 0.52 is called indeterminate, neither present nor absent, "
        "because the threshold itself is uncertain there (drawn by hand).",
        "temperature 1.25, then a monotone table of 2 points (by hand)",
        "0.4912",
        "0.4500 to 0.5300",
        "245 images of 99 patients",
        "4 images outside the intended use are left out",
        "Undefined, counted apart (empty against empty): 48.",
        "The gate lets 244 of these 245 images through",
        "| a set | 12 | 7 | CC0 | Someone 1999 |",
        "Terms of the weights: academic. Not for commercial use.",
    ):
        assert said in text, said


def test_a_card_says_which_targets_are_missed() -> None:
    text = written()
    assert "0 of 2 targets are reached." in text
    assert "| ≥ 0.5 | 0.4912 | not reached |" in text
    assert "| not measured |" in text


@pytest.mark.parametrize("name", sorted(catalogue.BUNDLES))
def test_every_bundle_with_targets_has_its_own_words(name: str) -> None:
    assert targets.of(name)
    own = catalogue.BUNDLES[name].note
    assert own.limits
    assert own.not_for
    assert set(cards.ALWAYS_NOT_FOR) < set(cards.note_of(name).not_for)
    text = written(name)
    assert all(line in text for line in (*own.limits, *own.not_for, *own.ethics))


def test_every_target_of_a_shipped_bundle_names_a_figure_that_is_measured() -> None:
    for shipped in store.find(store.shipped()):
        verdicts = {verdict for _, _, verdict in targets.judged(shipped.manifest.name, shipped.manifest.evaluation)}
        assert verdicts <= {"reached", "not reached"}, shipped.manifest.name


def test_no_measured_number_is_typed() -> None:
    for own in (row.note for row in catalogue.BUNDLES.values()):
        for line in (*own.not_for, *own.limits, *own.ethics, *own.missed):
            assert not re.search(r"\d[.,]\d|\d ?%", line), line


def test_a_bundle_without_words_says_so() -> None:
    assert "Nothing was written about the limits of this bundle yet." in written("something-else")
