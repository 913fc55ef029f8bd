"""Where a classifier looked: Grad-CAM (Selvaraju 2017), or the network's own maps where it has them.

A heat map says what moved the answer, not where the disease is; training checks it against masks and boxes.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle.calibration import sigmoid
from models.inference.runner import Answer, Runner
from models.networks.ensemble import Ensemble
from models.values.patient import UNKNOWN, Patient

Float = NDArray[np.float32]


def heat_map(runner: Runner, image: Float, answer: Answer, label: int = 0, patient: Patient = UNKNOWN) -> Float:
    """Return the heat map of one label on the model grid; a network that answered with maps is not run again.

    Parameters
    ----------
    runner
        Of a classifier.
    image
        (size, size) in [0, 1].
    answer
        Of the runner about this image and this patient.
    label
        Position among the bundle's labels.
    patient
        Age and sex, for networks that take them.

    Returns
    -------
    (size, size) in [0, 1]. Of a network with maps of its own: the probability by place. Of any other: Grad-CAM, with
    its largest value at 1, or all 0 where nothing spoke for the label.
    """
    if answer.maps is not None:
        return enlarged(sigmoid(answer.maps[label]).astype(np.float32), image.shape)
    channels, others = runner.normalised(image[None]), runner.patient_features(patient, 1)
    members = runner.network.members if isinstance(runner.network, Ensemble) else [runner.network]
    heat: Float = np.stack([grad_cam(member, channels, label, others) for member in members]).mean(axis=0)
    return enlarged(heat / np.float32(max(heat.max(), 1e-6)), image.shape)


def grad_cam(network: nn.Module, image: Tensor, label: int = 0, others: tuple[Tensor, ...] = ()) -> Float:
    """Return the Grad-CAM of one logit on the grid of the network's last convolutional stage.

    Each channel of that stage is weighted with the mean gradient of the logit; what speaks against the label is cut.

    Parameters
    ----------
    network
        In evaluation mode; its output is an `Output`, or a tensor, of logits (batch, labels).
    image
        One image (1, channels, rows, columns).
    others
        What the network takes besides.

    Returns
    -------
    (rows, columns) of the stage, in [0, 1], the largest value 1 or all 0.
    """
    kept: list[Tensor] = []

    def start_here(module: nn.Module, given: object, made: Tensor) -> Tensor:
        kept.append(made.detach().requires_grad_())
        # A copy, since the next layer may work in place, which a leaf does not allow.
        return kept[0].clone()

    handle = last_stage(network, image).register_forward_hook(start_here)
    try:
        with torch.enable_grad():
            logit = _logits(network(image, *others))[0, label]
            (gradient,) = torch.autograd.grad(logit, kept[0])
    finally:
        handle.remove()
    weight = gradient.float().mean(dim=(2, 3), keepdim=True)
    heat = (weight * kept[0].detach().float()).sum(dim=1)[0].clamp(min=0)
    largest = heat.max()
    return np.asarray((heat / largest if largest > 0 else heat).cpu().numpy(), np.float32)


def last_stage(network: nn.Module, image: Tensor) -> nn.Module:
    """Return the module that is the last to answer with more than one place, found by running the image once.

    Raises
    ------
    ValueError
        No module does.
    """
    found: list[nn.Module] = []

    def look(module: nn.Module) -> Callable[[nn.Module, object, object], None]:
        def note(_: nn.Module, given: object, made: object) -> None:
            if isinstance(made, Tensor) and made.ndim == 4 and made.shape[-1] * made.shape[-2] > 1:
                found.append(module)

        return note

    handles = [module.register_forward_hook(look(module)) for module in network.modules() if module is not network]
    try:
        with torch.inference_mode():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError("the network has no convolutional stage to look at")
    return found[-1]


def enlarged(heat: Float, shape: tuple[int, ...]) -> Float:
    """Bring a coarse map to (rows, columns), linearly; it stays in its range."""
    return np.asarray(cv2.resize(heat, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _logits(answer: object) -> Tensor:
    """Take the logits out of an `Output`, or the tensor itself."""
    logits = answer if isinstance(answer, Tensor) else getattr(answer, "logits", None)
    if not isinstance(logits, Tensor):
        raise ValueError("the network gives no logits")
    return logits
