"""Averages of weights, of probabilities and of views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.networks import Output
from training import ensembles
from training.ensembles import MIRRORED, PLAIN, SHIFTED, View


def test_weights_are_averaged_and_counters_taken_from_the_last(tmp_path: Path) -> None:
    first = {"weight": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)}
    second = {"weight": torch.tensor([3.0, -2.0]), "count": torch.tensor(7)}
    torch.save({"state_dict": first}, tmp_path / "a.ckpt")
    save_file(second, tmp_path / "b.safetensors")
    mean = ensembles.average([tmp_path / "a.ckpt", tmp_path / "b.safetensors"])
    assert mean["weight"].tolist() == [2.0, 0.0]
    assert mean["count"].item() == 7


def test_the_average_of_equal_checkpoints_is_each_of_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = nn.Linear(5, 3).state_dict()
    paths = [tmp_path / f"{number}.safetensors" for number in range(3)]
    for path in paths:
        save_file(state, path)
    assert all(torch.equal(value, state[key]) for key, value in ensembles.average(paths).items())


def test_checkpoints_of_two_networks_are_not_averaged(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    save_file({"weight": torch.zeros(3)}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"b\.safetensors is of another network than a\.safetensors: weight"):
        ensembles.average([tmp_path / "a.safetensors", tmp_path / "b.safetensors"])
    with pytest.raises(ValueError, match="no checkpoints"):
        ensembles.average([])


def test_norms_are_estimated_anew() -> None:
    net = nn.Sequential(nn.BatchNorm1d(1))
    batches = [torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]])]
    ensembles.refresh_norms(net, batches)
    assert net[0].running_mean.item() == pytest.approx(4.0)


def test_an_ensemble_answers_by_the_mean_logit() -> None:
    # Odds of 1 and of 9: the mean logit has odds of 3.
    assert ensembles.mean_probability([np.array([0.5]), np.array([0.9])])[0] == pytest.approx(0.75)
    assert ensembles.mean_probability([np.array([0.0]), np.array([1.0])])[0] == pytest.approx(0.5)
    assert ensembles.mean_probability([np.full((2, 3), 0.2)] * 2) == pytest.approx(np.full((2, 3), 0.2))


class Places(nn.Module):
    """Gives the image itself as logits and maps: its places must come back."""

    def forward(self, image: torch.Tensor) -> Output:
        return Output(image, features=image.mean(dim=(2, 3)), maps=image)


class Side(nn.Module):
    """Gives the difference of the image's halves."""

    def forward(self, image: torch.Tensor) -> Output:
        half = image.shape[-1] // 2
        return Output(image[..., :half].mean(dim=(2, 3)) - image[..., half:].mean(dim=(2, 3)))


def spot(row: int = 20, column: int = 40) -> torch.Tensor:
    """Give one image (1, 1, 64, 64) with a soft spot."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    return torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 50)[None, None]


@pytest.mark.parametrize("views", [MIRRORED, SHIFTED, (View(mirror=True, down=0.05, across=-0.1, zoom=1.1),)])
def test_what_has_places_comes_back_to_them(views: tuple[View, ...]) -> None:
    image = spot()
    out = ensembles.seen(Places(), image, views)
    assert float((out.logits - image).abs().max()) < 0.03
    assert out.maps is not None
    assert float((out.maps - image).abs().max()) < 0.03


def test_a_view_moves_where_it_says() -> None:
    moved = ensembles.moved(spot(), View(down=0.125, across=-0.25).matrix())
    assert divmod(int(moved.argmax()), 64) == (28, 24)
    larger = ensembles.moved(spot(32, 48), View(zoom=1.5).matrix())
    assert abs(divmod(int(larger.argmax()), 64)[1] - 56) <= 1
    mirrored = ensembles.moved(spot(), View(mirror=True, across=0.125).matrix())
    assert divmod(int(mirrored.argmax()), 64) == (20, 31)


def test_one_plain_view_changes_nothing() -> None:
    image = spot()
    torch.testing.assert_close(ensembles.seen(Places(), image, (PLAIN,)).logits, image, atol=1e-5, rtol=0)


def test_mirrored_views_cannot_tell_the_sides() -> None:
    assert float(Side()(spot()).logits) < -0.01
    assert float(ensembles.seen(Side(), spot(), MIRRORED).logits) == pytest.approx(0, abs=1e-6)
