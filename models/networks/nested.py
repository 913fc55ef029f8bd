"""U-Net++ (nested U-Net, Zhou et al. 2018) over a library's encoders: dense skips instead of plain ones."""

from __future__ import annotations

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from models.networks.output import Output
from models.networks.segmenters import DECODER_CHANNELS


class NestedSegmenter(nn.Module):
    """A U-Net++ that also gives the pooled features of its encoder.

    The decoder has the same widths as that of the plain U-Net, so that the two differ in their skips alone.
    """

    def __init__(self, encoder: str, labels: int) -> None:
        super().__init__()
        self.unet = smp.UnetPlusPlus(encoder, encoder_weights=None, classes=labels, decoder_channels=DECODER_CHANNELS)

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        module: nn.Module = self.unet.encoder
        return module

    def forward(self, image: Tensor) -> Output:
        """Return logits (batch, labels, size, size) and pooled features of (batch, 3, size, size).

        `size` is a multiple of 32.
        """
        features = self.unet.encoder(image)
        logits = self.unet.segmentation_head(self.unet.decoder(features))
        return Output(logits, features=features[-1].float().mean(dim=(2, 3)))
