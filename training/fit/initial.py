"""Initial weights of a network: random, by name from torchvision or timm, from a file, or from another network of ours.

A source is one of
- `random`: nothing is filled;
- `torchvision:NAME`, `timm:NAME`: ImageNet weights, downloaded once where the machine may;
- the path of a safetensors file in torchvision's or timm's layout;
- the folder of a run or of a bundle: its encoder (transfer).

Only the encoder is filled, all of it but the ImageNet head, and strictly: a tensor that is missing, left over or of
another shape is an error that names it. Weights by name were trained on RGB of mean (0.485, 0.456, 0.406) and deviation
(0.229, 0.224, 0.225), in recipes `input: {scale: 4.43, offset: -1.99}`; the MobileNetV2 file on x / 127.5 - 1.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import timm
import torch
import torchvision
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models import networks
from models.bundle import store
from models.errors import ModelsError
from models.inference import runner
from training.config import RECIPE

RANDOM = "random"
# What stands behind the features in torchvision's and timm's classifiers; an encoder of timm ends before conv_head.
HEADS = ("classifier.", "fc.", "head.")
BEHIND_FEATURES = ("conv_head.", "bn2.")
# Prefix that the library of the U-Nets puts before timm's names.
TIMM_PREFIX = "model."
# DenseNet's files still have the names of a torchvision of 2017: norm.1 for norm1.
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)")


class WeightsUnavailable(ModelsError):
    """Weights by name could not be downloaded; the message says what to do instead."""


def fill(net: nn.Module, source: str) -> int:
    """Fill the encoder of `net` from a source (see above); return how many tensors fitted.

    Raises
    ------
    ValueError
        The source is of no known form, or a tensor does not fit.
    WeightsUnavailable
        This machine could not download the weights.
    """
    kind, named, name = source.partition(":")
    path = Path(source)
    if source == RANDOM:
        return 0
    if kind == "torchvision" and named:
        return put(encoder_of(net), _torchvision(name), source)
    if kind == "timm" and named:
        return put(encoder_of(net), _timm(name), source)
    if path.is_file():
        return put(encoder_of(net), _file(path), path.name)
    if (path / store.MANIFEST).is_file():
        return put(encoder_of(net), _of_bundle(path), path.name)
    if (path / "recipe.yaml").is_file():
        return put(encoder_of(net), _of_run(path), path.name)
    raise ValueError(
        f"initial weights {source!r}: expected random, torchvision:NAME, timm:NAME, an existing safetensors file, or "
        "the folder of a run or a bundle"
    )


def encoder_of(net: nn.Module) -> nn.Module:
    """Return the part of a network that initial weights fill.

    Raises
    ------
    ValueError
        There is none.
    """
    encoder = getattr(net, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise ValueError(f"{type(net).__name__} has no encoder to fill")
    return encoder


def put(encoder: nn.Module, given: dict[str, Tensor], name: str) -> int:
    """Copy `given` into an encoder, strictly but for the ImageNet head; return how many tensors were copied.

    A first convolution of one channel takes the sum over the channels of a given one of three.

    Raises
    ------
    ValueError
        A tensor is missing, left over, or of another shape; `name` is what the message calls the source.
    """
    own = encoder.state_dict()
    wanted = {key: tensor for key, tensor in own.items() if not key.startswith(HEADS)}
    offered = {_name_in(wanted, key): value for key, value in given.items() if not key.startswith(HEADS)}
    left = [
        key for key in offered if key not in wanted and not key.removeprefix(TIMM_PREFIX).startswith(BEHIND_FEATURES)
    ]
    missing = [key for key in wanted if key not in offered and not key.endswith("num_batches_tracked")]
    if missing or left:
        said = f"lacks {missing[0]}" if missing else f"holds {left[0]}, which the encoder has not"
        raise ValueError(f"{name} does not fit the encoder: it {said} ({len(missing)} missing, {len(left)} left over)")
    fitting = {key: _one_channel(offered[key], tensor) for key, tensor in wanted.items() if key in offered}
    for key, value in fitting.items():
        if value.shape != wanted[key].shape:
            shapes = f"{tuple(value.shape)}, {tuple(wanted[key].shape)} was expected"
            raise ValueError(f"{name} does not fit the encoder: {key} is {shapes}")
    with torch.no_grad():
        for key, value in fitting.items():
            wanted[key].copy_(value)
    return len(fitting)


def _name_in(wanted: dict[str, Tensor], key: str) -> str:
    """Return the name of a tensor as the encoder has it."""
    return TIMM_PREFIX + key if TIMM_PREFIX + key in wanted else key


def _one_channel(value: Tensor, wanted: Tensor) -> Tensor:
    """Sum a convolution's weights over three channels where one is wanted: the same answer to equal channels."""
    if value.ndim == 4 and wanted.ndim == 4 and (value.shape[1], wanted.shape[1]) == (3, 1):
        return value.float().sum(dim=1, keepdim=True)
    return value


def _torchvision(name: str) -> dict[str, Tensor]:
    """Download weights of torchvision: a model's newest, or one by its full name (ResNet18_Weights.IMAGENET1K_V1)."""
    try:
        if "." in name:
            weights = torchvision.models.get_weight(name)
        else:
            weights = torchvision.models.get_model_weights(name).DEFAULT
    except (ValueError, KeyError) as error:
        raise ValueError(f"torchvision has no weights {name!r}") from error
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise _unavailable(f"torchvision:{name}", error) from error
    return {OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}


def _timm(name: str) -> dict[str, Tensor]:
    """Download weights of timm."""
    if not timm.is_model_pretrained(name):
        raise ValueError(f"timm has no weights {name!r}")
    try:
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        raise _unavailable(f"timm:{name}", error) from error
    return state


def _unavailable(source: str, error: Exception) -> WeightsUnavailable:
    """Say what failed and what to do."""
    return WeightsUnavailable(
        f"{source} could not be downloaded ({type(error).__name__}: {str(error)[:160]}). Without a network, give a "
        "local safetensors file, the folder of another run or bundle, or random."
    )


def _file(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name} is no safetensors file: {error}") from error


def _of_bundle(path: Path) -> dict[str, Tensor]:
    """Return the encoder of a verified bundle."""
    bundle = store.load(path)
    manifest = bundle.manifest
    return _encoder_state(manifest.architecture, len(manifest.labels), runner.read_weights(bundle).network)


def _of_run(path: Path) -> dict[str, Tensor]:
    """Return the encoder of a run's best checkpoint; only tensors and plain values are read from it."""
    recipe = yaml.safe_load((path / RECIPE).read_text())
    state = torch.load(path / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    prefix = "net."
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return _encoder_state(recipe["architecture"], len(recipe["labels"]), own)


def _encoder_state(architecture: str, labels: int, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Build the network that the weights are of, fill it, and return its encoder's tensors."""
    net = networks.build(architecture, labels)
    net.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    return encoder_of(net).state_dict()
