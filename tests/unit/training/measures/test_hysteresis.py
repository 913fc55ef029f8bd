"""The triplet is the best of its grid, and the fast count agrees with the plain one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bundle.manifest import HysteresisThreshold
from models.chest.lesions import lesion
from training.measures import hysteresis
from training.measures.hysteresis import choose, image_dice


def planted(images: int = 40, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return maps and masks: each third has a square lesion of 0.4 with a sure core of 0.9, the others faint ones."""
    rng = np.random.default_rng(1)
    truth = np.zeros((images, size, size), bool)
    probability = rng.uniform(0, 0.2, truth.shape).astype(np.float32)
    for number in range(images):
        row, column = rng.integers(0, size - 10, 2)
        if number % 3 == 0:
            truth[number, row : row + 10, column : column + 10] = True
            probability[number, row : row + 10, column : column + 10] = 0.4
            probability[number, row + 2 : row + 7, column + 2 : column + 7] = 0.9
        else:
            probability[number, row : row + 8, column : column + 8] = 0.45
            probability[number, row, column] = 0.95
    return probability, truth


def test_the_choice_separates_what_can_be_separated() -> None:
    probability, truth = planted()
    chosen = choose(probability, truth)
    assert chosen.score == pytest.approx(1.0)
    assert (chosen.positives, chosen.negatives) == (14, 26)
    assert (lesion(probability, chosen.triplet) == truth).all()
    assert "22%" in chosen.triplet.rule


def challenge_metric(
    probability: NDArray[np.floating],
    truth: NDArray[np.bool_],
    triplet: HysteresisThreshold,
    *,
    prevalence: float = hysteresis.PREVALENCE,
    allowed: NDArray[np.bool_] | None = None,
) -> float:
    """Return the metric of one triplet, as the challenge defined it."""
    found = lesion(probability, triplet)
    if allowed is not None:
        found = found & allowed[:, None, None]
    return float(np.dot(image_dice(found, truth), hysteresis.image_weights(hysteresis.positives(truth), prevalence)))


def test_the_score_is_that_of_the_plain_metric() -> None:
    rng = np.random.default_rng(2)
    truth = np.zeros((30, 16, 16), bool)
    truth[:12, 4:9, 4:9] = True
    probability = np.clip(rng.normal(0.35, 0.25, truth.shape) + 0.2 * truth, 0, 1).astype(np.float32)
    allowed = rng.random(30) < 0.8
    for given in (None, allowed):
        chosen = choose(probability, truth, prevalence=0.3, allowed=given)
        plain = challenge_metric(probability, truth, chosen.triplet, prevalence=0.3, allowed=given)
        assert chosen.score == pytest.approx(plain)


def test_no_triplet_of_the_coarse_grid_is_better() -> None:
    probability, truth = planted(images=20, size=16)
    probability = (probability + np.random.default_rng(3).uniform(0, 0.4, probability.shape)).clip(0, 1)
    chosen = choose(probability, truth)
    tried = [
        challenge_metric(
            probability,
            truth,
            HysteresisThreshold(top_threshold=top, minimum_area=area, bottom_threshold=bottom, rule=""),
        )
        for top, area, bottom in itertools.product(hysteresis.TOPS[::3], hysteresis.AREAS[::4], hysteresis.BOTTOMS[::3])
        if bottom <= top
    ]
    assert len(tried) > 50
    assert chosen.score >= max(tried) - 1e-9


def test_the_count_above_a_threshold_is_strict_and_agrees_with_numpy() -> None:
    probability = np.array([[[0.1, 0.5], [0.5, 0.9]]], np.float32)
    truth = np.array([[[True, True], [False, False]]])
    counts = hysteresis.counted(probability, truth, np.array([0.05, 0.1, 0.5, 0.9]))
    assert counts.above.tolist() == [[4, 3, 1, 0]]
    assert counts.overlap.tolist() == [[2, 1, 0, 0]]
    assert counts.truth.tolist() == [2]


def test_the_metric_counts_empty_against_empty_as_one() -> None:
    empty, full = np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool)
    half = np.array([[[True, True], [False, False]]])
    found, truth = np.concatenate([empty, full, empty, half]), np.concatenate([empty, empty, full, full])
    assert image_dice(found, truth).tolist() == pytest.approx([1, 0, 0, 2 / 3])


def test_prevalence_weighs_the_two_kinds() -> None:
    truth = np.zeros((4, 2, 2), bool)
    truth[0] = True
    triplet = HysteresisThreshold(top_threshold=0.5, minimum_area=0, bottom_threshold=0.5, rule="")
    silent, everywhere = np.zeros((4, 2, 2)), np.ones((4, 2, 2))
    assert challenge_metric(silent, truth, triplet) == pytest.approx(0.78)
    assert challenge_metric(everywhere, truth, triplet) == pytest.approx(0.22)


def test_one_kind_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="0 of 3 images have a lesion"):
        choose(np.zeros((3, 4, 4)), np.zeros((3, 4, 4), bool))
