"""Several networks, or several views of one image, for one answer.

Checkpoints of one architecture that lie in the same valley (epochs of one run, or runs from the same initial weights)
can be averaged weight by weight, which costs nothing in serving ("model soup", Wortsman et al. 2022). Any others answer
together by the mean of their calibrated logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from models.calibration import sigmoid
from models.networks import Output

Float = NDArray[np.float64]
# Probabilities nearer to 0 and 1 than this have no logit worth averaging.
SMALLEST = 1e-6


def average(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Give the mean of the weights of several checkpoints (.ckpt) or safetensors files.

    Counters and other integers are taken from the last one. The statistics of norms are averaged like weights, which is
    near enough within one run; for runs of their own, estimate them anew (`refresh_norms`).

    Raises
    ------
    ValueError
        There are none, or they do not hold the same tensors.
    """
    if not paths:
        raise ValueError("no checkpoints to average")
    states = [_state(path) for path in paths]
    shapes = [{key: tensor.shape for key, tensor in state.items()} for state in states]
    for path, shape in zip(paths, shapes, strict=True):
        if shape != shapes[0]:
            other = sorted(key for key in shape.keys() | shapes[0].keys() if shape.get(key) != shapes[0].get(key))
            raise ValueError(f"{path.name} is of another network than {paths[0].name}: {other[0]}")
    return {key: _mean([state[key] for state in states]) for key in states[0]}


def _state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file; a checkpoint is read as tensors and plain values only."""
    if path.suffix == ".safetensors":
        return load_file(path)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return state


def _mean(tensors: list[Tensor]) -> Tensor:
    """Average in double precision; the last of integers."""
    if not tensors[0].is_floating_point():
        return tensors[-1].clone()
    return torch.stack([tensor.double() for tensor in tensors]).mean(dim=0).to(tensors[0].dtype)


def refresh_norms(net: nn.Module, batches: Sequence[Tensor]) -> None:
    """Estimate the statistics of a network's norms anew, as plain means over batches that it can take."""
    torch.optim.swa_utils.update_bn(batches, net)


def mean_probability(probabilities: Sequence[NDArray[np.floating]]) -> Float:
    """Give the answer of an ensemble: the sigmoid of the mean logit of calibrated probabilities, of any one shape."""
    stacked = np.clip(np.stack([np.asarray(one, np.float64) for one in probabilities]), SMALLEST, 1 - SMALLEST)
    return sigmoid(np.log(stacked / (1 - stacked)).mean(axis=0))


@dataclass(frozen=True)
class View:
    """One way to look at an image; what is moved in has the value of the border that serving has: 0 before scaling.

    Attributes
    ----------
    mirror : exchange left and right. Only where the side does not matter to the answer.
    down, across : shift, as parts of the edge.
    zoom : factor about the middle.
    """

    mirror: bool = False
    down: float = 0.0
    across: float = 0.0
    zoom: float = 1.0

    def matrix(self) -> Tensor:
        """Give the affine map (2, 3) from places of the view to places of the image, in [-1, 1]."""
        side = -1.0 if self.mirror else 1.0
        return torch.tensor(
            [
                [side / self.zoom, 0.0, -2 * self.across / self.zoom * side],
                [0.0, 1 / self.zoom, -2 * self.down / self.zoom],
            ]
        )


PLAIN = View()
MIRRORED = (PLAIN, View(mirror=True))
SHIFTED = (
    PLAIN,
    *(View(down=down, across=across) for down, across in ((0.03, 0.0), (-0.03, 0.0), (0.0, 0.03), (0.0, -0.03))),
    *(View(zoom=zoom) for zoom in (0.94, 1.06)),
)


def seen(net: nn.Module, image: Tensor, views: Sequence[View]) -> Output:
    """Run a network on several views of the images and average (test-time augmentation).

    Parameters
    ----------
    net : takes (batch, channels, size, size) and gives an `Output`.
    image : (batch, channels, size, size) in [0, 1]; 0 is moved in at the borders.
    views : `MIRRORED` for findings that occur on either side and are not told apart by side, `SHIFTED` for others.

    Returns
    -------
    The mean logits and maps, where they have places brought back to those of the image; no features.
    """
    outputs = [net(moved(image, view.matrix())) for view in views]
    logits = [_back(out.logits, view) for out, view in zip(outputs, views, strict=True)]
    maps = [_back(out.maps, view) for out, view in zip(outputs, views, strict=True) if out.maps is not None]
    return Output(torch.stack(logits).mean(dim=0), maps=torch.stack(maps).mean(dim=0) if maps else None)


def moved(values: Tensor, matrix: Tensor, *, border: str = "zeros") -> Tensor:
    """Sample (batch, channels, rows, columns) through an affine map (2, 3), bilinear."""
    batch = matrix.to(values).expand(len(values), -1, -1)
    grid = functional.affine_grid(batch, list(values.shape), align_corners=False)
    return functional.grid_sample(values, grid, padding_mode=border, align_corners=False)


def _back(values: Tensor, view: View) -> Tensor:
    """Bring (batch, labels, rows, columns) from a view to the image; (batch, labels) has no places."""
    if values.ndim < 4 or view == PLAIN:
        return values.float()
    square = torch.cat([view.matrix(), torch.tensor([[0.0, 0.0, 1.0]])])
    return moved(values.float(), torch.linalg.inv(square)[:2], border="border")
