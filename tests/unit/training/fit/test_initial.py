"""Initial weights from every kind of source, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from models import networks
from models.bundle import store
from tests.support.paths import ROOT
from training import config
from training.fit import initial
from training.tasks.chest import recipe as chest_recipe


def saved(net: nn.Module, path: Path, drop: str = "", **changed: torch.Tensor) -> Path:
    """Write the weights of a network; `drop` leaves one out, `changed` replaces some (double underscores are dots)."""
    state = net.state_dict() | {key.replace("__", "."): value for key, value in changed.items()}
    save_file({key: value.contiguous() for key, value in state.items() if key != drop}, path)
    return path


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(5)
    return torchvision.models.resnet18()


def test_random_fills_nothing(resnet: nn.Module) -> None:
    before = {key: value.clone() for key, value in resnet.state_dict().items()}
    assert initial.fill(networks.build("unet-resnet18", 1), "random") == 0
    assert all(torch.equal(before[key], value) for key, value in resnet.state_dict().items())


def test_a_file_fills_the_encoder_but_not_the_head(resnet: nn.Module, tmp_path: Path) -> None:
    path = saved(resnet, tmp_path / "r.safetensors")
    net = networks.build("unetpp-resnet18", 1)
    assert initial.fill(net, str(path)) == len(resnet.state_dict()) - 2
    assert torch.equal(net.encoder.state_dict()["layer4.1.conv2.weight"], resnet.state_dict()["layer4.1.conv2.weight"])


def test_a_single_channel_takes_the_sum_of_three_and_answers_alike(resnet: nn.Module, tmp_path: Path) -> None:
    net = networks.build("resnet18-1ch", 1000)
    initial.fill(net, str(saved(resnet, tmp_path / "r.safetensors")))
    net.net.fc.load_state_dict(resnet.fc.state_dict())
    image = torch.rand(2, 1, 64, 64).expand(-1, 3, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(image).logits, resnet.eval()(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("drop", "changed", "said"),
    [
        ("layer2.0.conv1.weight", {}, "lacks layer2.0.conv1.weight"),
        ("", {"layer9__weight": torch.zeros(3)}, "holds layer9.weight"),
        ("", {"layer1__0__conv1__weight": torch.zeros(64, 64, 1, 1)}, r"layer1.0.conv1.weight is \(64, 64, 1, 1\)"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    resnet: nn.Module, tmp_path: Path, drop: str, changed: dict[str, torch.Tensor], said: str
) -> None:
    path = saved(resnet, tmp_path / "r.safetensors", drop, **changed)
    net = networks.build("unet-resnet18", 1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=said):
        initial.fill(net, str(path))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_weights_of_another_network_do_not_fit(resnet: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks features\.0\.0\.weight"):
        initial.fill(networks.build("mobilenet_v2", 1), str(saved(resnet, tmp_path / "r.safetensors")))


def test_weights_of_timm_fill_the_classifier_and_the_unet(tmp_path: Path) -> None:
    import timm

    made = timm.create_model("tf_efficientnet_lite0")
    path = str(saved(made, tmp_path / "t.safetensors"))
    for name, key in (("tf_efficientnet_lite0", ""), ("unet-tu-efficientnet_lite0", "model.")):
        net = networks.build(name, 1)
        assert initial.fill(net, path) > 200
        assert torch.equal(net.encoder.state_dict()[key + "conv_stem.weight"], made.state_dict()["conv_stem.weight"])


def test_old_names_of_densenet_are_understood() -> None:
    old = "features.denseblock1.denselayer16.norm.2.weight"
    assert initial.OLD_DENSENET.sub(r"\1\2", old) == "features.denseblock1.denselayer16.norm2.weight"
    assert initial.OLD_DENSENET.sub(r"\1\2", "features.norm0.weight") == "features.norm0.weight"


@pytest.mark.parametrize("name", ["unet-mobilenet_v2", "unetpp-mobilenet_v2", "mobilenet_v2", "locating-mobilenet_v2"])
def test_the_imagenet_file_fills_every_mobilenet(data_folder: Path, name: str) -> None:
    path = data_folder / "weights" / "mobilenet_v2-imagenet.safetensors"
    if not path.is_file():
        pytest.skip(f"no ImageNet weights at {path}")
    net = networks.build(name, 1)
    given = [key for key in load_file(path) if not key.startswith("classifier")]
    assert initial.fill(net, str(path)) == len(given)


def test_a_bundle_gives_its_encoder() -> None:
    folder = next(store.shipped().glob("lungs-heart-*"))
    if not folder.is_dir():
        pytest.skip("the lungs-heart bundle is not there")
    net = networks.build("mobilenet_v2", 1)
    filled = initial.fill(net, str(folder))
    again = networks.build("unetpp-mobilenet_v2", 1)
    assert initial.fill(again, str(folder)) == filled > 300
    key = "features.18.0.weight"
    assert torch.equal(net.encoder.state_dict()[key], again.encoder.state_dict()[key])


def test_a_run_gives_its_encoder(tmp_path: Path) -> None:
    recipe = chest_recipe.read(ROOT / "training" / "recipes" / "paediatric-pneumonia.yaml")
    config.write(recipe, tmp_path / "recipe.yaml")
    source = networks.build(recipe.architecture, len(recipe.labels))
    (tmp_path / "checkpoints").mkdir()
    state = {f"net.{key}": value for key, value in source.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "checkpoints" / "best.ckpt")
    net = networks.build("unet-mobilenet_v2", 3)
    initial.fill(net, str(tmp_path))
    key = "features.18.0.weight"
    assert torch.equal(net.encoder.state_dict()[key], source.encoder.state_dict()[key])


def test_a_machine_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for source in ("torchvision:resnet18", "timm:tf_efficientnet_lite0"):
        with pytest.raises(initial.WeightsUnavailable, match=f"{source} could not be downloaded.*safetensors file"):
            initial.fill(networks.build("mobilenet_v2", 1), source)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("torchvision:nonesuch", "torchvision has no weights 'nonesuch'"),
        ("torchvision:ResNet18_Weights.NEVER", "torchvision has no weights"),
        ("timm:nonesuch", "timm has no weights 'nonesuch'"),
        ("/nowhere/at.all", "expected random, torchvision:NAME"),
        ("", "expected random, torchvision:NAME"),
    ],
)
def test_an_unknown_source_is_refused(source: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        initial.fill(networks.build("mobilenet_v2", 1), source)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not one")
    with pytest.raises(ValueError, match="no safetensors"):
        initial.fill(networks.build("mobilenet_v2", 1), str(path))
