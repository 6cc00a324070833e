"""What autoencoders of an encoder and a decoder have in common."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..networks.layers.axes import cropped, padded
from .autoencoder import Autoencoder


class EncoderDecoder(Autoencoder):
    """An encoder (B, C, *S) -> (B, C'', *S / factor), whose answer `parted` makes mean and log-variance of, and a decoder (B, C', *S') -> (B, C, *S' factor)."""

    encoder: nn.Module
    decoder: nn.Module

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.parted(self.features(padded(x, self.factor)))

    def features(self, x: Tensor) -> Tensor:
        """What the encoder makes of x, whose sides `factor` divides."""
        return self.encoder(x)

    def parted(self, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and log-variance, halves of the channels; the latter within [-30, 20], beyond which its exponential overflows (Rombach et al. 2022)."""
        mean, log_variance = h.chunk(2, 1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        return cropped(self.decoder(z), size)

    def release_encoder(self) -> None:
        self.encoder, self.released = nn.Identity(), True

    @property
    def last_layer(self) -> Tensor:
        """The weight of the decoder's last layer, at which an adversarial loss is weighed against the others (Esser et al. 2021, eq. 7)."""
        return [p for p in self.decoder.parameters() if p.ndim > 1][-1]
