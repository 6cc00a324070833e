"""A variational autoencoder of strided convolutions."""

from collections.abc import Sequence

from torch import nn

from ..errors import at_least
from ..networks.layers.axes import conv, conv_class
from .encoder_decoder import EncoderDecoder


class ConvVAE(EncoderDecoder):
    """Variational autoencoder of convolutions, each of stride 2, and back; x (B, channels, *S) in [-1, 1] <-> z (B, latent, *S / 2^levels).

    widths  channels after each halving of the sides;  latent  channels of z
    On the way back pixels are repeated before each convolution, which leaves no checkerboard (Odena et al. 2016). x is bounded by a tanh.
    """

    variational = bounded = True

    def __init__(self, channels: int = 3, axes: int = 2, widths: Sequence[int] = (32, 64), latent: int = 4):
        super().__init__()
        at_least(1, "conv_vae", widths=min(widths, default=0), latent=latent)
        self.latent, self.factor = latent, 2 ** len(widths)
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for before, wide in zip((channels, *widths), widths, strict=False):
            down += [conv_class(axes)(before, wide, 4, 2, 1), nn.SiLU()]
            up = [nn.SiLU(), nn.Upsample(scale_factor=2), conv(axes, wide, before), *up]
        self.encoder = nn.Sequential(*down, conv(axes, widths[-1], 2 * latent))
        self.decoder = nn.Sequential(conv(axes, latent, widths[-1]), *up, nn.Tanh())
