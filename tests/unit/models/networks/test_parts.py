"""Every architecture: shapes, gradients, and what its parts promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models import networks
from models.networks.classifiers import SingleChannel
from models.networks.double import DoubleSegmenter
from models.networks.patient import headless, numbers

SIZE, LABELS = 64, 2
SEGMENTERS = [name for name in networks.ARCHITECTURES if name.startswith(("unet", "double-unet"))]
CLASSIFIERS = [
    *("baseline-cnn", "mobilenet_v2", "resnet18-1ch", "densenet121", "efficientnet_b0", "tf_efficientnet_lite0"),
    *("mobilenet_v2-patient", "densenet121-patient", "efficientnet_b0-patient", "locating-mobilenet_v2"),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)


def picture(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 1, SIZE, SIZE).expand(-1, 3, -1, -1)


def without_gradient(net: nn.Module, out: networks.Output) -> list[str]:
    """Run backwards through all that a loss may use; name the weights that nothing reached."""
    (out.logits.pow(2).sum() + (0 if out.maps is None else out.maps.pow(2).sum())).backward()
    return [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_segmenter_answers_on_the_grid_of_its_input_and_learns_everywhere(name: str) -> None:
    net = networks.build(name, LABELS)
    out = net(picture())
    assert out.logits.shape == (2, LABELS, SIZE, SIZE)
    assert out.features.ndim == 2
    assert isinstance(net.encoder, nn.Module)
    assert without_gradient(net, out) == []


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_gives_one_logit_a_label_and_learns_everywhere(name: str) -> None:
    net = networks.build(name, LABELS)
    out = net(picture())
    assert out.logits.shape == (2, LABELS)
    assert isinstance(net.encoder, nn.Module)
    assert without_gradient(net, out) == []


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="alexnet"):
        networks.build("alexnet", 1)


def test_the_double_unet_gives_the_first_mask_beside_the_second() -> None:
    net = networks.build("double-unet-vgg19-compact", LABELS)
    out = net(picture())
    assert out.maps.shape == out.logits.shape
    assert not torch.equal(out.maps, out.logits)


def test_the_second_network_sees_nothing_where_the_first_finds_nothing() -> None:
    net = DoubleSegmenter(1, width=0.25).eval()
    seen: list[torch.Tensor] = []
    net.second_encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        net.first_head.weight.zero_()
        net.first_head.bias.fill_(-40)
        net(picture())
        net.first_head.bias.fill_(40)
        net(picture())
    assert float(seen[0].abs().max()) < 1e-12
    assert float(seen[1].abs().max()) > 1


def test_the_full_double_unet_starts_with_vgg19_in_the_layout_of_torchvision() -> None:
    import torchvision

    theirs = torchvision.models.vgg19().features.state_dict()
    ours = networks.build("double-unet-vgg19", 1).encoder.features.state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


def test_the_single_channel_network_sees_only_the_first_of_three_equal_channels() -> None:
    net = networks.build("resnet18-1ch", 1).eval()
    assert isinstance(net, SingleChannel)
    assert net.net.conv1.weight.shape == (64, 1, 7, 7)
    image = picture()
    torch.testing.assert_close(net(image).logits, net(image[:, :1]).logits, rtol=0, atol=0)


def test_age_and_sex_become_four_numbers() -> None:
    given = torch.tensor([[50.0, -1.0], [torch.nan, 1.0], [3.0, torch.nan]])
    expected = torch.tensor([[0.5, -1, 1, 1], [0, 1, 0, 1], [0.03, 0, 1, 0]])
    torch.testing.assert_close(numbers(given), expected)


def test_a_network_that_may_be_told_the_patient_runs_without() -> None:
    net = networks.build("mobilenet_v2-patient", 1).eval()
    image = picture(3)
    alone = net(image).logits
    unknown = net(image, torch.full((3, 2), torch.nan)).logits
    told = net(image, torch.tensor([[20.0, 1.0]] * 3)).logits
    torch.testing.assert_close(alone, unknown, rtol=0, atol=0)
    assert float((told - alone).detach().abs().min()) > 0


def test_training_sometimes_forgets_the_patient() -> None:
    net = networks.build("mobilenet_v2-patient", 1).train()
    net.net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1280), nn.Flatten())
    image = torch.ones(400, 3, 8, 8)
    logits = net(image, torch.tensor([[80.0, 1.0]] * 400)).logits
    different = logits.round(decimals=5).unique()
    assert len(different) == 2
    forgotten = min(int((logits.round(decimals=5) == one).sum()) for one in different)
    assert 80 < forgotten < 160


def test_a_network_that_does_not_end_in_a_linear_layer_has_no_head_to_take_off() -> None:
    with pytest.raises(ValueError, match="ReLU"):
        headless(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
