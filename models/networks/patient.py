"""Classifiers that may also be told the patient's age and sex."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.output import Output

# The network sees age / 100.
CENTURY = 100.0
# How often a training image loses what is known of its patient, so that the network learns to do without.
FORGOTTEN = 0.3


class WithPatient(nn.Module):
    """A classifier whose last layer sees the encoder's features and four numbers of the patient.

    Parameters
    ----------
    net
        A classifier that gives its pooled features (batch, channels), its last layer taken off (`headless`).
    channels
        Of those features.
    """

    def __init__(self, net: nn.Module, channels: int, labels: int) -> None:
        super().__init__()
        self.net = net
        self.classify = nn.Linear(channels + 4, labels)

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        return self.net

    def forward(self, image: Tensor, patient: Tensor | None = None) -> Output:
        """Return one logit for each label, and the pooled features.

        Parameters
        ----------
        image
            (batch, 3, size, size).
        patient
            (batch, 2): age in years, and sex as -1 (female), 0 (other) or 1 (male); NaN is unknown. None: nothing is
            known of any patient.
        """
        features = self.net(image)
        known = image.new_full((len(image), 2), torch.nan) if patient is None else patient
        if self.training:
            forgotten = torch.rand(len(image), 1, device=image.device) < FORGOTTEN
            known = torch.where(forgotten, torch.nan, known)
        return Output(self.classify(torch.cat([features, numbers(known)], dim=1)), features=features)


def numbers(patient: Tensor) -> Tensor:
    """Turn (batch, 2) age in years and sex, NaN unknown, into (batch, 4): age / 100, sex, and whether each is known."""
    known = ~patient.isnan()
    scaled = patient.nan_to_num(0.0) / patient.new_tensor([CENTURY, 1.0])
    return torch.cat([scaled, known.to(patient.dtype)], dim=1)


def headless(net: nn.Module) -> tuple[nn.Module, int]:
    """Take the last linear layer off a torchvision classifier; return the rest and the number of its features.

    Raises
    ------
    ValueError
        The classifier does not end in a linear layer.
    """
    name, last = [(name, module) for name, module in net.named_modules() if not list(module.children())][-1]
    if not isinstance(last, nn.Linear):
        raise ValueError(f"{type(net).__name__} ends in {type(last).__name__}, a linear layer was expected")
    net.set_submodule(name, nn.Identity())
    return net, last.in_features
