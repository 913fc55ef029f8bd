"""The detector: average precision worked out by hand, drawing of images, training, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models import networks
from models.bundle import store
from models.inference.runner import Runner, run_image
from models.networks.detectors import MOST
from tests.support.data import training_data
from tests.support.paths import RECIPES
from training.bundles import weights
from training.config import Run
from training.tasks.boxes.data import BoxedImage
from training.tasks.detection import data as images
from training.tasks.detection import export, fit, metrics, module, recipe
from training.tasks.detection.metrics import Detections

RECIPE = RECIPES / "adult-pneumonia-boxes.yaml"
HERE, THERE = [0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 70.0, 70.0]


def image(found: list[list[float]], scores: list[float], truth: list[list[float]]) -> Detections:
    return Detections(np.array(found).reshape(-1, 4), np.array(scores), np.array(truth).reshape(-1, 4))


def test_overlap_of_boxes() -> None:
    found = metrics.overlap(np.array([HERE, THERE]), np.array([[5.0, 0.0, 15.0, 10.0], THERE]))
    np.testing.assert_allclose(found, [[1 / 3, 0], [0, 1]])
    assert metrics.overlap(np.zeros((1, 4)), np.zeros((1, 4)))[0, 0] == 0


def test_a_true_box_is_found_once() -> None:
    one = image([HERE, HERE, THERE], [0.5, 0.9, 0.3], [HERE, THERE])
    assert metrics.hits(one, 0.5).tolist() == [False, True, True]
    assert metrics.hits(image([HERE], [0.5], []), 0.5).tolist() == [False]
    assert metrics.hits(image([], [], [HERE]), 0.5).tolist() == []


def test_an_overlap_must_be_exceeded() -> None:
    half = image([[0, 0, 10, 5]], [0.9], [HERE])
    assert not metrics.hits(half, 0.5).any()
    assert metrics.hits(half, 0.49).all()


def test_average_precision_by_hand() -> None:
    # Ranked: right (0.9), wrong on a negative image (0.8), right (0.6); three true boxes. Precision at the hits is 1
    # and 2/3, so the area is (1 + 2/3 + 0) / 3.
    images = [
        image([HERE], [0.9], [HERE]),
        image([HERE], [0.8], []),
        image([THERE], [0.6], [THERE, HERE]),
    ]
    assert metrics.average_precision(images, 0.5) == pytest.approx(5 / 9)
    assert metrics.mean_average_precision(images) == pytest.approx(5 / 9)


def test_average_precision_takes_the_envelope() -> None:
    # Wrong first, then two right: precision 1/2 and 2/3 at the hits, the envelope lifts the former to 2/3.
    images = [image([THERE, HERE], [0.9, 0.8], [HERE]), image([THERE], [0.7], [THERE])]
    assert metrics.average_precision(images, 0.5) == pytest.approx(2 / 3)


def test_average_precision_without_boxes_is_undefined_and_without_detections_zero() -> None:
    assert np.isnan(metrics.average_precision([image([HERE], [0.9], [])], 0.5))
    assert metrics.average_precision([image([], [], [HERE])], 0.5) == 0


def test_the_challenges_score_leaves_out_rightly_empty_images() -> None:
    images = [image([HERE], [0.9], [HERE]), image([HERE], [0.2], []), image([], [], [])]
    assert metrics.challenge_score(images, 0.5) == 1
    assert metrics.challenge_score(images, 0.1) == 0.5
    assert np.isnan(metrics.challenge_score(images[2:], 0.1))
    threshold, score = metrics.best_threshold(images)
    assert 0.2 < threshold <= 0.9
    assert score == 1


def test_images_with_boxes_are_drawn_as_often_as_told() -> None:
    def one(boxes: int) -> BoxedImage:
        return BoxedImage("x", np.zeros((8, 8), np.uint8), np.zeros((boxes, 4), np.float32), None)  # type: ignore[arg-type]

    drawn = images.draw_weights([one(1), one(0), one(0), one(0), one(2)], 0.6)
    torch.testing.assert_close(drawn, torch.tensor([0.3, 0.4 / 3, 0.4 / 3, 0.4 / 3, 0.3]))
    with pytest.raises(ValueError, match="with and without"):
        images.draw_weights([one(1)], 0.5)


def test_boxes_that_augmentation_left_nothing_of_are_dropped() -> None:
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [5.0, 5.0, 5.0, 30.0]])
    batch = images.collate([{"image": torch.zeros(1, 8, 8), "boxes": boxes}])
    assert batch["boxes"][0].tolist() == [[0, 0, 20, 20]]


def test_the_network_answers_with_a_table_of_fixed_height() -> None:
    torch.manual_seed(0)
    net = networks.build("retinanet-mobilenet_v2", 1).eval()
    with torch.inference_mode():
        rows = net(torch.rand(2, 3, 128, 128)).logits
    assert rows.shape == (2, MOST, 6)
    assert (rows[:, :, 4].diff(dim=1) <= 0).all()
    assert (rows[:, :, 5] == 0).all()


def test_the_whole_way_on_drawn_chests(tmp_path: Path) -> None:
    data = training_data.write(tmp_path / "data")
    run = Run(tmp_path / "run", data)
    fit.train(recipe.smoke(recipe.read(RECIPE)), run)
    assert list((tmp_path / "run").glob("metrics/*/metrics.csv"))
    (folder,) = export.export(run)
    found = store.load(folder)
    assert found.manifest.task == "detection"
    assert found.manifest.training_data[1].images == 16
    network = module.DetectionModule(recipe.read(run.recipe))
    weights.fill(network, run.out)
    picture = np.random.default_rng(0).random((128, 128), np.float32)
    answer = run_image(Runner(found, device="cpu", dtype="float32"), picture)
    with torch.inference_mode():
        expected = network(torch.from_numpy(picture)[None, None])[0].numpy()
    np.testing.assert_array_equal(answer.logits, expected)
