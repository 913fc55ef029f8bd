"""Figures of merit against scikit-learn, scipy and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist, directed_hausdorff
from sklearn import metrics as reference

from models.values.findings import Box
from training.measures import bootstrap, overlap, places, scores
from training.measures.places import ScoredBox
from training.measures.scores import Scores


def drawn(count: int = 400, *, seed: int = 0, decimals: int = 2) -> Scores:
    """Draw scores with ties, two images a patient."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.3
    logits = rng.normal(0, 1.5, count) + np.where(truth, 1.0, -1.0)
    return Scores(np.round(1 / (1 + np.exp(-logits)), decimals), truth, [f"p{i // 2}" for i in range(count)])


def hand() -> Scores:
    """Return three positives and two negatives."""
    return Scores(np.array([0.9, 0.8, 0.3, 0.2, 0.6]), np.array([True, True, True, False, False]), list("abcde"))


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_auc_average_precision_and_brier_are_those_of_scikit_learn(decimals: int) -> None:
    found = drawn(decimals=decimals)
    truth, probability = found.truth, found.probability
    assert scores.plain(scores.auc, found) == pytest.approx(reference.roc_auc_score(truth, probability))
    average = reference.average_precision_score(truth, probability)
    assert scores.plain(scores.average_precision, found) == pytest.approx(average)
    assert scores.plain(scores.brier, found) == pytest.approx(reference.brier_score_loss(truth, probability))


def test_weights_count_an_image_as_often_as_they_say() -> None:
    found = drawn(60)
    rng = np.random.default_rng(1)
    often = rng.integers(0, 4, (3, 60))
    for measure in (scores.auc, scores.average_precision, scores.brier, scores.calibration_error):
        weighted = measure(found, often.astype(float))
        for row, value in zip(often, weighted, strict=True):
            again = Scores(np.repeat(found.probability, row), np.repeat(found.truth, row), ())
            assert value == pytest.approx(scores.plain(measure, again))


def test_curves_are_those_of_scikit_learn() -> None:
    found = drawn()
    once = np.ones((1, len(found.truth)))
    false_positive, true_positive = scores.roc_points(found, once)
    expected = reference.roc_curve(found.truth, found.probability, drop_intermediate=False)
    np.testing.assert_allclose(false_positive[0], expected[0])
    np.testing.assert_allclose(true_positive[0], expected[1])
    recall, precision = scores.precision_recall_points(found, once)
    expected = reference.precision_recall_curve(found.truth, found.probability)
    np.testing.assert_allclose(recall[0], expected[1][:-1][::-1])
    np.testing.assert_allclose(precision[0], expected[0][:-1][::-1])


def test_figures_of_a_known_table() -> None:
    found = hand()
    assert scores.plain(scores.sensitivity(0.5), found) == pytest.approx(2 / 3)
    assert scores.plain(scores.specificity(0.5), found) == 0.5
    assert scores.plain(scores.accuracy(0.5), found) == 0.6
    assert scores.plain(scores.auc, found) == pytest.approx(5 / 6)
    assert scores.plain(scores.positive_predictive_value(0.5), found) == pytest.approx(2 / 3)
    assert scores.plain(scores.negative_predictive_value(0.5), found) == pytest.approx(1 / 2)
    assert scores.confusion(found, 0.5).tolist() == [[1, 1], [1, 2]]


def test_predictive_values_follow_the_stated_prevalence() -> None:
    # Sensitivity 2/3 and specificity 1/2 at a prevalence of 10 %: 0.0667 / (0.0667 + 0.45), 0.45 / (0.45 + 0.0333).
    found = hand()
    assert scores.plain(scores.positive_predictive_value(0.5, 0.1), found) == pytest.approx(0.129032, abs=1e-6)
    assert scores.plain(scores.negative_predictive_value(0.5, 0.1), found) == pytest.approx(0.931034, abs=1e-6)


def test_what_one_class_cannot_tell_is_not_a_number() -> None:
    only = Scores(np.array([0.2, 0.8]), np.array([True, True]), ["a", "b"])
    for measure in (scores.auc, scores.specificity(0.5)):
        assert np.isnan(scores.plain(measure, only))
        figure = bootstrap.score_figure("x", scores.accuracy(0.5), only, "here")
        assert figure.value == 0.5
        assert all(np.isnan(end) for end in bootstrap.interval(measure, only))


def test_a_calibrated_score_has_no_calibration_error() -> None:
    probability = np.repeat([0.25, 0.75], 4)
    truth = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert scores.plain(scores.calibration_error, Scores(probability, truth, ())) == 0


def test_calibration_error_by_hand() -> None:
    # Bin 0.2: mean 0.25, observed 1/2, two of four images. Bin 0.9: mean 0.95, observed 1/2. 0.5 * 0.25 + 0.5 * 0.45.
    found = Scores(np.array([0.22, 0.28, 0.94, 0.96]), np.array([True, False, True, False]), list("abcd"))
    assert scores.plain(scores.calibration_error, found) == pytest.approx(0.35)
    bins = scores.reliability(found)
    assert [one.count for one in bins] == [2, 2]
    assert [one.observed for one in bins] == [0.5, 0.5]
    assert [one.probability for one in bins] == pytest.approx([0.25, 0.95])


def test_the_bootstrap_draws_patients_with_all_their_images() -> None:
    patients = ["b", "a", "b", "c", "a", "b"]
    rows = bootstrap.weights(patients, 500)
    assert rows.shape == (500, 6)
    np.testing.assert_array_equal(rows[:, 0], rows[:, 2])
    np.testing.assert_array_equal(rows[:, 0], rows[:, 5])
    np.testing.assert_array_equal(rows[:, 1], rows[:, 4])
    np.testing.assert_array_equal(rows[:, [0, 1, 3]].sum(axis=1), 3)
    assert rows[:, 0].mean() == pytest.approx(1, abs=0.1)


def test_the_fast_bootstrap_is_the_slow_one() -> None:
    found = drawn(80)
    names = sorted(set(found.patients))
    members = {name: np.flatnonzero(np.asarray(found.patients) == name) for name in names}
    rng = np.random.default_rng(bootstrap.SEED)
    values: list[float] = []
    for _ in range(bootstrap.DRAWS):
        rows = np.concatenate([members[names[i]] for i in rng.integers(0, len(names), len(names))])
        values.append(float(reference.roc_auc_score(found.truth[rows], found.probability[rows])))
    assert bootstrap.interval(scores.auc, found) == pytest.approx(tuple(np.quantile(values, bootstrap.ENDS)))


def test_many_images_of_one_patient_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=40), 10)
    alone = bootstrap.mean_figure("x", values.tolist(), [str(i) for i in range(400)], "here")
    grouped = bootstrap.mean_figure("x", values.tolist(), [str(i // 10) for i in range(400)], "here")
    assert alone is not None
    assert grouped is not None
    assert alone.low is not None
    assert grouped.low is not None
    assert grouped.value - grouped.low > 2 * (alone.value - alone.low)


def test_undefined_values_are_left_out_and_not_counted() -> None:
    figure = bootstrap.mean_figure("Dice", [1.0, float("nan"), 0.5], ["a", "b", "c"], "here")
    assert figure is not None
    assert (figure.value, figure.count) == (0.75, 2)
    assert bootstrap.mean_figure("Dice", [float("nan")], ["a"], "here") is None


def test_overlap_of_masks() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    half = full.copy()
    half[2:] = False
    assert np.isnan(overlap.dice(empty, empty))
    assert np.isnan(overlap.intersection_over_union(empty, empty))
    assert overlap.dice(full, empty) == 0
    assert overlap.dice(full, full) == 1
    assert overlap.dice(half, full) == pytest.approx(2 / 3)
    assert overlap.intersection_over_union(half, full) == 0.5


def test_hausdorff_distance_of_shifted_squares_and_of_nothing() -> None:
    one, other = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    one[5:15, 5:15], other[5:15, 12:22] = True, True
    assert overlap.hausdorff95(one, one) == 0
    assert overlap.hausdorff95(one, other) == 7
    assert overlap.hausdorff95(one, other, (0.5, 0.5)) == 3.5
    assert overlap.hausdorff95(one, other, (9.0, 0.5)) == 3.5
    assert np.isnan(overlap.hausdorff95(one, np.zeros_like(one)))


def test_hausdorff_distance_is_that_of_all_pairs_of_surface_points() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:50, :50]
    one = (rows - 20) ** 2 + (columns - 20) ** 2 < 150
    other = (rows - 27) ** 2 / 2 + (columns - 25) ** 2 < 120
    other[rng.integers(0, 50, 3), rng.integers(0, 50, 3)] = True
    points = [np.argwhere(overlap._surface(mask)) for mask in (one, other)]
    away = cdist(*points)
    expected = max(np.quantile(away.min(axis=0), 0.95), np.quantile(away.min(axis=1), 0.95))
    assert overlap.hausdorff95(one, other) == pytest.approx(expected)
    whole = max(directed_hausdorff(*points)[0], directed_hausdorff(*reversed(points))[0])
    assert overlap.hausdorff95(one, other) < whole


def test_hausdorff_distance_of_volumes() -> None:
    one, other = np.zeros((6, 20, 20), bool), np.zeros((6, 20, 20), bool)
    one[1:3, 5:10, 5:10], other[3:5, 5:10, 5:10] = True, True
    assert overlap.hausdorff95(one, other, (2.5, 1.0, 1.0)) == 5.0


def test_the_challenge_counts_empty_against_empty_as_one_and_weighs_to_its_prevalence() -> None:
    dice = np.array([0.8, 0.6, np.nan, np.nan, 0.0, 0.0])
    positive = np.array([True, True, True, False, False, False])
    called = np.array([True, True, False, False, False, True])
    values = overlap.challenge_values(dice, positive, called)
    assert values.tolist() == [0.8, 0.6, 0, 1, 1, 0]
    # Positives: (0.8 + 0.6 + 0) / 3; negatives: 2 of 3 empty.
    expected = 0.22 * 1.4 / 3 + 0.78 * 2 / 3
    assert overlap.challenge_score(dice, positive, called) == pytest.approx(expected)
    assert overlap.challenge_score(dice, positive, called, 0.5) == pytest.approx(values.mean())


def test_overlap_of_boxes() -> None:
    assert places.box_overlap(Box(0, 0, 2, 2), Box(0, 0, 2, 2)) == 1
    assert places.box_overlap(Box(0, 0, 2, 2), Box(2, 2, 4, 4)) == 0
    assert places.box_overlap(Box(0, 0, 2, 2), Box(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert places.box_overlap(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0


def test_precision_of_the_rsna_challenge_by_hand() -> None:
    truth = [Box(0, 0, 10, 10), Box(50, 50, 60, 60)]
    exact, loose, stray = Box(0, 0, 10, 10), Box(50, 50, 60, 56), Box(80, 80, 90, 90)
    # The loose box overlaps by 0.6: a hit at 0.4, 0.45, 0.5, 0.55, not at 0.6 (it has to exceed it) and beyond.
    found = [ScoredBox(exact, 0.9), ScoredBox(loose, 0.8), ScoredBox(stray, 0.1)]
    expected = (4 * 2 / 3 + 4 * 1 / 4) / 8
    assert places.image_precision(found, truth) == pytest.approx(expected)
    assert places.image_precision([], truth) == 0
    assert places.image_precision([ScoredBox(stray, 0.1)], []) == 0
    assert np.isnan(places.image_precision([], []))
    assert places.CHALLENGE_THRESHOLDS == (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)


def test_the_surer_box_takes_the_truth_and_the_other_is_false() -> None:
    truth = [Box(0, 0, 10, 10)]
    found = [ScoredBox(Box(0, 0, 10, 10), 0.3), ScoredBox(Box(0, 0, 10, 9), 0.7)]
    assert places.matched(found, truth, 0.5) == (1, 1, 0)
    assert places.matched(found[:1], truth, 0.5) == (1, 0, 0)
    assert places.matched([], truth, 0.5) == (0, 0, 1)


def test_pointing_game() -> None:
    heat = np.zeros((20, 20))
    heat[4, 15] = 1
    truth = np.zeros((20, 20), bool)
    truth[2:6, 12:18] = True
    assert places.points_into(heat, truth) is True
    assert places.points_into(heat, np.roll(truth, 10, axis=0)) is False
    assert places.points_into(np.zeros((20, 20)), truth) is None
    assert places.same_side(heat, truth, 10.0) is True
    assert places.same_side(heat, np.fliplr(truth), 10.0) is False
    assert places.same_side(heat, truth | np.fliplr(truth), 10.0) is True
    assert places.same_side(np.zeros((20, 20)), truth, 10.0) is None


def test_boxes_fill_a_mask() -> None:
    mask = places.filled([Box(1, 2, 3, 5), Box(2, 2, 4, 3)], (6, 6))
    assert mask.sum() == 7
    assert mask[2:5, 1:3].all()
