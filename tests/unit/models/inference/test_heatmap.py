"""Heat maps of networks whose answer is known."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import networks
from models.bundle import store
from models.inference import heatmap
from models.inference.runner import Answer, Runner, run_image
from models.networks import Output

SIZE = 64


class Blocks(nn.Module):
    """Two channels, the mean of each 8 x 8 block and its negative; the label is the mean of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = nn.Conv2d(1, 2, 8, stride=8, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.stage.weight.copy_(torch.stack([torch.full((1, 8, 8), 1 / 64), torch.full((1, 8, 8), -1 / 64)]))
            self.head.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))

    def forward(self, image: Tensor) -> Output:
        places = nn.functional.relu(self.stage(image), inplace=True)
        return Output(self.head(places.mean(dim=(2, 3))))


def lit(row: int, column: int) -> Tensor:
    """Return a black picture with one bright block."""
    image = torch.zeros(1, 1, SIZE, SIZE)
    image[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 1
    return image


def test_the_map_is_bright_where_the_answer_comes_from_and_nowhere_else() -> None:
    heat = heatmap.grad_cam(Blocks().eval().requires_grad_(False), lit(2, 5))
    expected = np.zeros((8, 8), np.float32)
    expected[2, 5] = 1
    np.testing.assert_array_equal(heat, expected)


def test_what_speaks_against_a_label_is_not_shown() -> None:
    assert not heatmap.grad_cam(Blocks().eval(), lit(2, 5), label=1).any()


def test_half_as_much_evidence_is_half_as_bright() -> None:
    heat = heatmap.grad_cam(Blocks().eval(), lit(2, 5) + lit(6, 1) / 2)
    assert heat[2, 5] == 1
    assert heat[6, 1] == 0.5


def test_the_network_is_left_as_it_was() -> None:
    network = Blocks().eval()
    before = network(lit(1, 1)).logits
    heatmap.grad_cam(network, lit(1, 1))
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(before, network(lit(1, 1)).logits)


def test_a_network_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="no convolutional stage"):
        heatmap.grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 1)), lit(0, 0))


@pytest.mark.parametrize(
    "architecture",
    [name for name in networks.ARCHITECTURES if not name.startswith(("unet", "double", "box", "retinanet"))],
)
def test_every_classifier_has_a_stage(architecture: str) -> None:
    torch.manual_seed(0)
    network = networks.build(architecture, 2).eval()
    with torch.inference_mode():
        answer = network(torch.rand(1, 3, SIZE, SIZE))
    assert answer.logits.shape == (1, 2)
    heat = heatmap.grad_cam(network, torch.rand(1, 3, SIZE, SIZE), label=1)
    assert heat.ndim == 2
    assert min(heat.shape) >= 2
    assert 0 <= heat.min() <= heat.max() <= 1


def never_run() -> Runner:
    """Return a runner that cannot run."""
    return cast(Runner, object())


def test_maps_that_the_network_answered_with_are_taken_as_they_are_and_it_is_not_run_again() -> None:
    maps = np.full((2, 4, 4), -60.0, np.float32)
    maps[1, 0, 3] = 60
    answer = Answer(np.zeros(2, np.float32), maps=maps)
    heat = heatmap.heat_map(never_run(), np.zeros((SIZE, SIZE), np.float32), answer, 1)
    assert heat.shape == (SIZE, SIZE)
    assert np.unravel_index(int(heat.argmax()), heat.shape) == (0, 56)
    assert heat[:8, 56:].min() == pytest.approx(1, abs=1e-6)
    assert heat[32:].max() < 1e-6
    assert not heatmap.heat_map(never_run(), np.zeros((SIZE, SIZE), np.float32), answer, 0).max() > 1e-6


def test_the_shipped_classifier_gives_a_map_on_the_model_grid() -> None:
    for one in store.find(store.shipped()):
        if one.manifest.task == "classification":
            size = one.manifest.input.size
            image = np.random.default_rng(0).random((size, size)).astype(np.float32)
            runner = Runner(one, device="cpu", dtype="float32")
            heat = heatmap.heat_map(runner, image, run_image(runner, image))
            assert heat.shape == (size, size)
            assert 0 <= heat.min() <= heat.max() <= 1
            return
    pytest.skip("no classifier is shipped")
