"""Run a bundle's network, of images or of volumes: verified weights to device, fp32 or bf16, numpy in and out."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from models import networks
from models.bundle.store import WEIGHTS, Bundle
from models.errors import BundleRefused
from models.networks.patient import WithPatient
from models.values.features import FeatureStatistics
from models.values.patient import UNKNOWN, Patient

Float = NDArray[np.float32]
Dtype = Literal["float32", "bfloat16"]
NETWORK = "network."
GATE = "gate."


@dataclass(frozen=True)
class Weights:
    """What a weights file holds: the network's tensors and, where there is a gate, its statistics."""

    network: dict[str, Tensor]
    gate: dict[str, Tensor]


class Answer(NamedTuple):
    """What a network says about a batch, or about one image of it, without the first axis; see networks/output.py.

    Attributes
    ----------
    logits
        (batch, labels) of a classifier, (batch, labels, *grid) of a segmenter.
    features
        (batch, channels), the pooled encoder features, or None.
    maps
        (batch, labels, rows, columns), coarse logits by place, or None.
    """

    logits: Float
    features: Float | None = None
    maps: Float | None = None


class Network(Protocol):
    """What answers a batch: the network of a bundle, as arrays in and out."""

    @property
    def bundle(self) -> Bundle:
        """Whose network it is."""

    def run(self, batch: Float, patient: Patient = UNKNOWN) -> Answer:
        """Answer a batch (batch, *grid) of images, or of windows of a volume, in [0, 1], all of one patient."""


def run_image(network: Network, image: Float, patient: Patient = UNKNOWN) -> Answer:
    """Return the answer about one image (size, size) in [0, 1], without the axis of the batch."""
    logits, features, maps = network.run(image[None], patient)
    return Answer(logits[0], None if features is None else features[0], None if maps is None else maps[0])


class Runner:
    """One network in memory, in evaluation mode on its device."""

    def __init__(self, bundle: Bundle, *, device: str, dtype: Dtype) -> None:
        weights = read_weights(bundle)
        self.bundle = bundle
        self.device = torch.device(device)
        self.dtype = dtype
        self.network = _filled(bundle, weights).to(self.device)
        self.statistics = statistics_of(weights.gate) if weights.gate else None

    def run(self, batch: Float, patient: Patient = UNKNOWN) -> Answer:
        """Answer a batch (batch, *grid) in [0, 1]; a network that takes age and sex gets what is known of them."""
        with torch.inference_mode(), self._precision():
            out = self.network(self.normalised(batch), *self.patient_features(patient, len(batch)))
        features, maps = (None if part is None else _numpy(part) for part in (out.features, out.maps))
        return Answer(_numpy(out.logits), features, maps)

    def normalised(self, batch: Float) -> Tensor:
        """Return a batch as the network takes it: on its device, with its channels and range of values."""
        spec = self.bundle.manifest.input
        given = torch.from_numpy(np.ascontiguousarray(batch))[:, None].to(self.device)
        if self.bundle.manifest.volume is not None:
            return given * spec.scale + spec.offset
        return networks.three_channels(given, scale=spec.scale, offset=spec.offset)

    def patient_features(self, patient: Patient, count: int) -> tuple[Tensor, ...]:
        """Return what the network takes of a patient besides `count` images; () where it takes nothing."""
        takes = isinstance(self.network, WithPatient)
        return (torch.tensor([patient.numbers()] * count, device=self.device),) if takes else ()

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        """Return bf16 autocast on request."""
        if self.dtype == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()


def read_weights(bundle: Bundle) -> Weights:
    """Read the weights into memory and verify exactly these bytes.

    Raises
    ------
    BundleRefused
        The file changed since the bundle was loaded, or is no safetensors file.
    """
    content = bundle.weights.read_bytes()
    if hashlib.sha256(content).hexdigest() != bundle.manifest.files[WEIGHTS]:
        raise BundleRefused(f"{WEIGHTS} of bundle {bundle.manifest.name} changed after it was verified")
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise BundleRefused(f"{WEIGHTS} of bundle {bundle.manifest.name}: {error}") from error
    return Weights(_part(tensors, NETWORK), _part(tensors, GATE))


def statistics_of(tensors: dict[str, Tensor]) -> FeatureStatistics:
    """Read the gate's feature statistics."""
    mean, components, scale = (tensors[name].float().numpy() for name in ("mean", "components", "scale"))
    return FeatureStatistics(mean, components, scale, float(tensors["residual_scale"]))


def _filled(bundle: Bundle, weights: Weights) -> nn.Module:
    """Build the network and fill it strictly."""
    manifest = bundle.manifest
    try:
        network = networks.build(manifest.architecture, len(manifest.labels))
        if manifest.volume is None:
            network = network.to(memory_format=torch.channels_last)
        network.load_state_dict({key: _float(value) for key, value in weights.network.items()}, strict=True)
    except (ValueError, RuntimeError) as error:
        raise BundleRefused(f"weights of bundle {manifest.name} do not fit: {str(error)[:200]}") from error
    return network.eval().requires_grad_(False)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _float(tensor: Tensor) -> Tensor:
    """Return fp16 weights as fp32; counters stay integers."""
    return tensor.float() if tensor.is_floating_point() else tensor


def _numpy(tensor: Tensor) -> Float:
    """Return a tensor as float32."""
    array: Float = tensor.float().cpu().numpy()
    return array
