"""U-Nets over a library's encoders."""

from __future__ import annotations

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from models.networks.output import Output

# Half of the library's default decoder: on two cores 65 instead of 93 ms an image to train at 256 pixels (bf16).
DECODER_CHANNELS = (128, 64, 32, 16, 16)


class Segmenter(nn.Module):
    """A U-Net that also gives the pooled features of its encoder, which the gate compares with known chests."""

    def __init__(self, encoder: str, labels: int) -> None:
        super().__init__()
        self.unet = smp.Unet(encoder, encoder_weights=None, classes=labels, decoder_channels=DECODER_CHANNELS)

    @property
    def encoder(self) -> nn.Module:
        """The part that ImageNet weights fill."""
        module: nn.Module = self.unet.encoder
        return module

    def forward(self, image: Tensor) -> Output:
        """Return logits (batch, labels, size, size) and pooled features of (batch, 3, size, size)."""
        features = self.unet.encoder(image)
        logits = self.unet.segmentation_head(self.unet.decoder(features))
        return Output(logits, features=features[-1].float().mean(dim=(2, 3)))
