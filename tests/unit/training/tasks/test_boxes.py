"""Box regression: boxes move with their images, the network's grid and back, training, resuming, export."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models import networks
from models.bundle import store
from models.image.geometry import Letterbox
from models.inference.runner import Runner, run_image
from tests.support.data import training_data
from tests.support.paths import RECIPES
from training.bundles import weights
from training.config import Augmentation, Run
from training.tasks.boxes import data as images
from training.tasks.boxes import export, fit, module, recipe
from training.tasks.boxes.augment import BoxAugment

RECIPE = RECIPES / "heart-box.yaml"
STILL = {"gamma": (1, 1), "contrast": (1, 1), "brightness": 0, "noise": 0, "blur_probability": 0}
SIZE = 128


def ellipse(box: tuple[int, int, int, int]) -> torch.Tensor:
    x0, y0, x1, y1 = box
    rows, columns = (torch.arange(SIZE) + 0.5 for _ in range(2))
    down, across = (rows - (y0 + y1) / 2) / ((y1 - y0) / 2), (columns - (x0 + x1) / 2) / ((x1 - x0) / 2)
    return (down[:, None] ** 2 + across[None, :] ** 2 < 1).float()[None]


def test_boxes_move_with_what_they_are_around() -> None:
    torch.manual_seed(0)
    box = (50, 40, 90, 64)
    augment = BoxAugment(Augmentation(rotation_degrees=25, shear_degrees=5, horizontal_flip=True, **STILL))
    for _ in range(12):
        image, boxes = augment(ellipse(box), torch.tensor([box], dtype=torch.float32))
        rows, columns = ((image[0] > 0.5).any(dim=axis).nonzero().flatten() for axis in (1, 0))
        seen = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
        assert (seen - boxes[0]).abs().max() < 1.6


def test_turned_corners_would_have_made_the_box_larger() -> None:
    torch.manual_seed(0)
    box = torch.tensor([[40.0, 40.0, 88.0, 88.0]])
    augment = BoxAugment(Augmentation(rotation_degrees=45, translation=0, scale=(1, 1), shear_degrees=0, **STILL))
    for _ in range(5):
        _, turned = augment(torch.zeros(1, SIZE, SIZE), box)
        torch.testing.assert_close(turned, box, atol=0.3, rtol=0)


def test_a_box_that_left_the_picture_has_no_area() -> None:
    augment = BoxAugment(Augmentation(rotation_degrees=0, translation=0, scale=(3, 3), shear_degrees=0, **STILL))
    _, boxes = augment(torch.zeros(1, SIZE, SIZE), torch.tensor([[0.0, 0.0, 10.0, 10.0]]))
    assert float((boxes[0, 2:] - boxes[0, :2]).prod()) == 0
    _, none = augment(torch.zeros(1, SIZE, SIZE), torch.zeros(0, 4))
    assert none.shape == (0, 4)


def test_boxes_go_to_the_model_grid_and_back() -> None:
    letterbox = Letterbox.of((300, 200), aspect=1.0, size=64)
    boxes = np.array([[10, 20, 110, 220], [0, 0, 200, 300]], np.float32)
    there = images.to_model(boxes, letterbox)
    np.testing.assert_allclose(there[1], [letterbox.left, 0, letterbox.left + letterbox.width, 64])
    np.testing.assert_allclose(images.to_image(there, letterbox), boxes, rtol=1e-5)


def test_hearts_are_never_mirrored() -> None:
    assert recipe.read(RECIPE).augmentation.horizontal_flip is False


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_data.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fit.train(recipe.smoke(recipe.read(RECIPE)), Run(folder, data))
    return folder


def test_an_exported_bundle_answers_as_the_network_does(run: Path, data: Path) -> None:
    (folder,) = export.export(Run(run, data))
    found = store.load(folder)
    assert found.manifest.task == "box"
    network = module.BoxModule(recipe.read(run / "recipe.yaml"))
    weights.fill(network, run)
    image = np.random.default_rng(0).random((64, 64), np.float32)
    answer = run_image(Runner(found, device="cpu", dtype="float32"), image)
    with torch.inference_mode():
        expected = network(torch.from_numpy(image)[None, None])[0].numpy()
    assert answer.logits.shape == (1, 4)
    np.testing.assert_array_equal(answer.logits, expected)
    assert ((expected > 0) & (expected < 1)).all()


def test_a_killed_run_resumes_to_the_same_weights(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    small = recipe.smoke(recipe.read(RECIPE))

    def die(self: module.BoxModule, *arguments: object) -> None:
        if self.current_epoch == 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module.BoxModule, "on_train_batch_start", die)
        with pytest.raises(Killed):
            fit.train(small, Run(tmp_path, data))
    shutil.copy(tmp_path / "checkpoints" / "last.ckpt", tmp_path / "first.ckpt")
    fit.train(small, Run(tmp_path, data, resume=True))
    whole, resumed, first = (
        torch.load(path, weights_only=True)["state_dict"]
        for path in (
            run / "checkpoints" / "last.ckpt",
            tmp_path / "checkpoints" / "last.ckpt",
            tmp_path / "first.ckpt",
        )
    )
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert any(not torch.equal(first[key], resumed[key]) for key in whole)


def test_the_network_takes_other_sizes_than_it_was_made_for() -> None:
    net = networks.build("box-mobilenet_v2", 2).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 96, 96)).logits.shape == (1, 2, 4)
