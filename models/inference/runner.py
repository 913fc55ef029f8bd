"""Run a bundle's network: verified weights to device, fp32 or bf16, channels last, numpy in and out."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

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

Dtype = Literal["float32", "bfloat16"]
NETWORK = "network."
GATE = "gate."


@dataclass(frozen=True)
class Weights:
    """What a weights file holds: the network's tensors and, where there is a gate, its statistics."""

    network: dict[str, Tensor]
    gate: dict[str, Tensor]


class Answer(NamedTuple):
    """What a network says about one image; see models/networks/output.py.

    Attributes
    ----------
    logits : (labels,) of a classifier, (labels, size, size) of a segmenter.
    features : (channels,), the pooled encoder features, or None.
    maps : (labels, rows, columns), coarse logits by place, or None.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32] | None
    maps: NDArray[np.float32] | None


class Runner:
    """One network in memory, in evaluation mode on its device."""

    def __init__(self, bundle: Bundle, *, device: str, dtype: Dtype) -> None:
        weights = read_weights(bundle)
        self.bundle = bundle
        self.device = torch.device(device)
        self.dtype = dtype
        self.network = _filled(bundle, weights).to(self.device).to(memory_format=torch.channels_last)
        self.statistics = statistics_of(weights.gate) if weights.gate else None

    def run(self, image: NDArray[np.float32], patient: Patient = UNKNOWN) -> Answer:
        """Run one image (size, size) in [0, 1]; a network that takes age and sex is told what is known of them."""
        spec = self.bundle.manifest.input
        batch = torch.from_numpy(np.ascontiguousarray(image))[None, None].to(self.device)
        with torch.inference_mode(), self._precision():
            given = networks.three_channels(batch, scale=spec.scale, offset=spec.offset)
            out = self.network(given, *self.told(patient))
        features, maps = (None if part is None else _numpy(part) for part in (out.features, out.maps))
        return Answer(_numpy(out.logits), features, maps)

    def told(self, patient: Patient) -> tuple[Tensor, ...]:
        """Give what the network takes of a patient, besides the image."""
        takes = isinstance(self.network, WithPatient)
        return (torch.tensor([patient.numbers()], device=self.device),) if takes else ()

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        """Give bf16 autocast on request."""
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
        network.load_state_dict({key: _float(value) for key, value in weights.network.items()}, strict=True)
    except (ValueError, RuntimeError) as error:
        raise BundleRefused(f"weights of bundle {manifest.name} do not fit: {str(error)[:200]}") from error
    return network.eval().requires_grad_(False)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Give the tensors under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _float(tensor: Tensor) -> Tensor:
    """Give fp16 weights as fp32; counters stay integers."""
    return tensor.float() if tensor.is_floating_point() else tensor


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    """Give the only image of a batch as float32."""
    array: NDArray[np.float32] = tensor[0].float().cpu().numpy()
    return array
