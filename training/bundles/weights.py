"""The tensors of a bundle as they are stored, and the folder that waits for its evaluation."""

from __future__ import annotations

from pathlib import Path

import lightning
import torch
from safetensors.torch import save
from torch import Tensor, nn

from models.bundle.manifest import Manifest
from models.bundle.store import CARD, WEIGHTS, write_manifest
from models.inference.runner import NETWORK
from training.fit import loop


def stored(tensor: Tensor) -> Tensor:
    """Return a tensor as it is stored: matrices in fp16; norms, biases and counters as they are (small, wide range)."""
    return (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor).contiguous()


def round_to_fp16(net: nn.Module) -> None:
    """Round the weights to what will be stored, so that everything measured is of the bundle."""
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.copy_(stored(tensor).to(tensor.dtype))


def network_tensors(net: nn.Module) -> dict[str, Tensor]:
    """Return the network's tensors as they are stored."""
    return {NETWORK + key: stored(value) for key, value in net.state_dict().items()}


def fill(module: lightning.LightningModule, run: Path) -> None:
    """Fill a module with the weights of a run's best checkpoint, rounded as they are stored; evaluation mode."""
    state = loop.checkpoint(run, loop.BEST)["state_dict"]
    module.load_state_dict({key: stored(value).to(value.dtype) for key, value in state.items()})
    module.eval().requires_grad_(False)


def write(out: Path, manifest: Manifest, tensors: dict[str, Tensor]) -> Path:
    """Write a bundle that waits for its evaluation."""
    out.mkdir(parents=True, exist_ok=True)
    aside = out / f"{WEIGHTS}.part"
    aside.write_bytes(save(tensors))
    aside.replace(out / WEIGHTS)
    title = f"# {manifest.name} {manifest.version}"
    (out / CARD).write_text(f"{title}\n\nNot evaluated yet. Research use only, not for clinical use.\n")
    write_manifest(out, manifest)
    return out
